//! The adapter's own roofs, measured in the same run as the jobs: add, read and write bandwidth, FMA rate.

use super::timing::{Timing, measure};
use gtca::gpu::Gpu;

/// Bytes of each of the three buffers: the largest that default limits bind.
const BYTES: u64 = 128 << 20;
/// Flops of one invocation of the FMA kernels.
const FMA_FLOPS: f64 = 65_536.0;
/// Invocations of the FMA kernels.
const FMA_INVOCATIONS: u32 = 1 << 16;

/// What the adapter can do.
#[derive(Clone, Copy, Debug)]
pub struct Roofs {
    /// Bytes a second of c = a + b.
    pub add: f64,
    /// Bytes a second of a pure read.
    pub read: f64,
    /// Bytes a second of a pure write.
    pub write: f64,
    /// Floating-point operations a second, the best of the forms tried.
    pub flops: f64,
}

impl Roofs {
    /// Share of the roof in percent: the time that the adapter would need for the bytes (at add bandwidth) or the
    /// flops, whichever is longer, over the time taken.
    pub fn percent(&self, timing: Timing, bytes: f64, flops: f64) -> f64 {
        100.0 * (bytes / self.add).max(flops / self.flops) / timing.median
    }
}

/// Measures the roofs.
pub fn calibrate(gpu: &Gpu, repeats: usize) -> Roofs {
    let device = gpu.device();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("roofs"),
        source: wgpu::ShaderSource::Wgsl(include_str!("roofs.wgsl").into()),
    });
    let entry = |binding, read_only| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("roofs"),
        entries: &[entry(0, true), entry(1, true), entry(2, false)],
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some("roofs"),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let buffers = [(); 3].map(|()| gpu.zeros("roof", BYTES));
    let entries: Vec<_> = (buffers.iter().enumerate())
        .map(|(binding, buffer)| wgpu::BindGroupEntry {
            binding: binding as u32,
            resource: buffer.as_entire_binding(),
        })
        .collect();
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &layout,
        entries: &entries,
    });
    let time = |name: &str, groups: u32| {
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(name),
            compilation_options: Default::default(),
            cache: None,
        });
        measure(gpu, repeats, |encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            // Two dimensions would change the indexing; 65,535 groups of 64 vec4s are 67 MB a buffer.
            pass.dispatch_workgroups(groups, 1, 1);
        })
    };
    let groups = 65_535;
    let vectors = f64::from(groups) * 64.0 * 16.0;
    // The read kernel reads 16 vec4s and writes one per invocation.
    let readers = (BYTES / 16 / 16 / 64) as u32;
    let fma = ["fma_eight", "fma_four"]
        .map(|name| f64::from(FMA_INVOCATIONS) * FMA_FLOPS / time(name, FMA_INVOCATIONS / 64).min);
    Roofs {
        add: 3.0 * vectors / time("add", groups).min,
        read: f64::from(readers) * 64.0 * 17.0 * 16.0 / time("read", readers).min,
        write: vectors / time("write", groups).min,
        flops: fma[0].max(fma[1]),
    }
}
