//! A kernel as data: its text, bindings and bounds; and its pipelines, made on first use.

use super::{Gpu, shader, table};
use crate::Error;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// How a kernel uses a storage binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Binding {
    /// Read only.
    Read,
    /// Written, or read and written.
    Write,
}

/// One row of the table of shipped kernels. Binding 0 is the parameters' uniform; storage bindings follow.
#[derive(Debug)]
#[non_exhaustive]
pub struct Kernel {
    /// Path under `shaders/` without extension, such as `linear/rows`.
    pub name: &'static str,
    /// The file's text, before assembly.
    pub source: &'static str,
    /// Storage bindings 1.. in order; at most eight.
    pub storage: &'static [Binding],
    /// Size of the parameter struct in bytes.
    pub params_bytes: usize,
    /// Every set of flags that ships, the empty one included. A member with bars, such as `|HALF=f16|HALF=bf16`, stands for
    /// one of its alternatives, an empty one for no flag: [`Kernel::variants`] writes the sets out.
    pub flags: &'static [&'static [&'static str]],
    /// Largest loop-iteration count of one invocation, as a formula of the parameters.
    pub loop_bound: &'static str,
    /// When the host chooses it.
    pub when: &'static str,
}

/// Flags that a shader condition may name; `NAME=value` also gives `$NAME` (and `#repeat`, of a number) a value.
pub const FLAGS: &[&str] = &[
    "ACCUMULATE",
    "ACT=gelu",
    "ACT=gelu_tanh",
    "ACT=relu",
    "ACT=silu",
    "APART",
    "BACKWARD",
    "BANK",
    "BF16",
    "BIAS",
    "BOTH",
    "CELL",
    "CLASSES=8",
    "CLASSES=16",
    "CLASSES=32",
    "CLIP",
    "DATE",
    "DROPOUT",
    "EIGHTS=2",
    "EIGHTS=4",
    "EIGHTS=8",
    "FOURS=1",
    "FOURS=2",
    "FOURS=4",
    "FOURS=8",
    "GATE",
    "GATES=5",
    "GATES=17",
    "GRADIENT",
    "HALF=bf16",
    "HALF=f16",
    "HARMONICS",
    "LENGTH",
    "LOCAL",
    "LONG",
    "MAP",
    "OTHER",
    "PAIRS",
    "PER_ROW",
    "PHASE",
    "PLACE",
    "POINT",
    "RANKS=4",
    "RANKS=8",
    "RANKS=16",
    "RANKS=32",
    "RANKS=64",
    "ROUTED",
    "ROWS=4",
    "ROWS=8",
    "ROW_MU",
    "SCALAR",
    "TOKENS",
    "VEC4",
    "WEIGHTED",
];

impl Kernel {
    /// Every set of flags that ships, written out.
    ///
    /// ```
    /// let kernels = gtca::gpu::kernels();
    /// let sum = kernels.iter().find(|kernel| kernel.name == "reduce/column_sum").unwrap();
    /// assert_eq!(sum.flags, [["|HALF=f16|HALF=bf16"]]);
    /// assert_eq!(sum.variants(), [vec![], vec!["HALF=f16"], vec!["HALF=bf16"]]);
    /// ```
    pub fn variants(&self) -> Vec<Vec<&'static str>> {
        self.flags.iter().flat_map(|set| written_out(set)).collect()
    }

    /// Whether it runs only on a device with [`wgpu::Features::SUBGROUP`].
    pub fn uses_subgroups(&self) -> bool {
        self.source.contains("@builtin(subgroup")
    }

    /// Whether its form under a set of flags runs only on a device with [`wgpu::Features::SHADER_INT64`].
    pub fn uses_long_words(&self, flags: &[&str]) -> bool {
        flags.contains(&"LONG")
    }

    /// The WGSL text under a set of flags; `one_buffer` makes every storage binding writable.
    pub fn wgsl(&self, flags: &[&str], one_buffer: bool) -> Result<String, shader::AssemblyError> {
        let text = shader::assemble(self.name, self.source, flags, FLAGS, &table::library)?;
        Ok(if one_buffer { shader::make_all_writable(&text) } else { text })
    }
}

/// The product of a set's alternatives.
fn written_out(set: &'static [&'static str]) -> Vec<Vec<&'static str>> {
    set.iter().fold(vec![Vec::new()], |sets, alternatives| {
        let longer = |set: Vec<&'static str>| {
            let one = move |flag: &'static str| {
                set.iter().copied().chain(Some(flag).filter(|flag| !flag.is_empty())).collect()
            };
            alternatives.split('|').map(one)
        };
        sets.into_iter().flat_map(longer).collect()
    })
}

/// Which pipeline of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    kernel: &'static str,
    flags: Vec<&'static str>,
    one_buffer: bool,
}

/// A pipeline with the layout that its bind groups need.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

impl Gpu {
    /// How many kernels, each variant counting, are compiled so far.
    pub fn compiled_kernels(&self) -> usize {
        self.inner.pipelines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len()
    }

    /// The pipeline of a kernel under flags; compiled on first use and kept.
    pub(crate) fn pipeline(
        &self,
        kernel: &'static Kernel,
        flags: &[&'static str],
        one_buffer: bool,
    ) -> Result<Arc<Pipeline>, Error> {
        let key = Key { kernel: kernel.name, flags: flags.to_vec(), one_buffer };
        // A poisoned lock only means that another thread panicked while compiling; the map itself is whole.
        let mut made = self.inner.pipelines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(pipeline) = made.get(&key) {
            return Ok(pipeline.clone());
        }
        let pipeline = Arc::new(self.compile(kernel, flags, one_buffer)?);
        made.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    fn compile(&self, kernel: &'static Kernel, flags: &[&str], one_buffer: bool) -> Result<Pipeline, Error> {
        let refuse = |message: String| Error::Device { op: kernel.name, message };
        let text = kernel.wgsl(flags, one_buffer).map_err(|error| refuse(error.to_string()))?;
        let device = self.device();
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let layout = self.layout(kernel, one_buffer);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(kernel.name),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            // Every kernel writes its workgroup memory before it reads it.
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        match poll_once(scope.pop()) {
            Some(Some(error)) => Err(refuse(error.to_string())),
            _ => Ok(Pipeline { pipeline, layout }),
        }
    }

    fn layout(&self, kernel: &Kernel, one_buffer: bool) -> wgpu::BindGroupLayout {
        let entry = |binding: u32, ty, size: usize| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty,
                has_dynamic_offset: false,
                min_binding_size: std::num::NonZeroU64::new(size as u64),
            },
            count: None,
        };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, kernel.params_bytes)];
        // Storage sizes are checked when commands run: one element may be a scalar or a vec4.
        for (index, binding) in kernel.storage.iter().enumerate() {
            let read_only = *binding == Binding::Read && !one_buffer;
            entries.push(entry(index as u32 + 1, wgpu::BufferBindingType::Storage { read_only }, 0));
        }
        self.device().create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(kernel.name),
            entries: &entries,
        })
    }
}

/// Native error scopes are ready at once; where one is not (the web), the device's own handler reports instead.
fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
