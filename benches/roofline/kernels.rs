//! Plain pipelines over three storage buffers (two read, one written), for the roofs and the naive compositions.

use gtca::gpu::Gpu;

/// A shader file whose entry points share bindings 0 and 1 (read) and 2 (written).
#[derive(Clone)]
pub(crate) struct Kernels {
    device: wgpu::Device,
    module: wgpu::ShaderModule,
    layout: wgpu::BindGroupLayout,
}

/// One entry point with its buffers, ready to record.
#[derive(Clone)]
pub(crate) struct Step {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    groups: u32,
}

impl Kernels {
    /// Compiles a shader.
    pub(crate) fn new(gpu: &Gpu, text: &str) -> Self {
        let device = gpu.device().clone();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("bench"),
            source: wgpu::ShaderSource::Wgsl(text.into()),
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
            label: Some("bench"),
            entries: &[entry(0, true), entry(1, true), entry(2, false)],
        });
        Self { device, module, layout }
    }

    /// An entry point with its overrides, buffers and number of workgroups.
    pub(crate) fn step(
        &self,
        entry_point: &str,
        constants: &[(&str, f64)],
        buffers: [wgpu::BufferBinding<'_>; 3],
        groups: u32,
    ) -> Step {
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("bench"),
            bind_group_layouts: &[Some(&self.layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry_point),
            layout: Some(&pipeline_layout),
            module: &self.module,
            entry_point: Some(entry_point),
            compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
            cache: None,
        });
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(buffer),
            })
            .collect();
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("bench"),
            layout: &self.layout,
            entries: &entries,
        });
        Step { pipeline, group, groups }
    }
}

impl Step {
    /// Records it as a pass of its own.
    pub(crate) fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        // 65,535 a dimension; the streams divide evenly.
        let x = if self.groups > 65_535 { 32_768 } else { self.groups };
        pass.dispatch_workgroups(x, self.groups / x, 1);
    }
}
