//! Many dispatches into the embedder's encoder, in one compute pass, with parameter memory of their own.

use super::scratch::{Bump, Source};
use super::view::Bound;
use super::{Binding, Gpu, Kernel, View};
use crate::Error;
use std::sync::{Arc, Mutex};

/// Bytes of one page of parameters.
const PAGE: u64 = 64 * 1024;
/// Loop iterations of one invocation stay below this on every adapter: llvmpipe ends loops silently at 65,535.
pub(crate) const MAX_ITERATIONS: u64 = 60_000;

/// A live knob: a number from the host, or one f32 in a buffer that is read when the commands run.
///
/// The buffer needs `COPY_SRC` usage; its value is copied into the recorder's uniform memory.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Knob<'a> {
    /// Known when recording.
    Host(f32),
    /// One f32 at a byte offset (a multiple of 4).
    Buffer(&'a wgpu::Buffer, u64),
}

impl Default for Knob<'_> {
    fn default() -> Self {
        Self::Host(1.0)
    }
}

impl<'a> Knob<'a> {
    /// The value to write into the parameters; a buffer's replaces it later.
    pub(crate) fn host_value(&self) -> f32 {
        match self {
            Self::Host(value) => *value,
            Self::Buffer(..) => 0.0,
        }
    }

    /// True where the host knows that the knob is at zero.
    pub(crate) fn is_host_zero(&self) -> bool {
        matches!(self, Self::Host(value) if *value == 0.0)
    }

    /// The number in its buffer, for the overlap check.
    pub(crate) fn view(&self) -> Option<View<'a>> {
        match self {
            Self::Host(_) => None,
            Self::Buffer(buffer, offset) => Some(View::vector(buffer, 1).at(*offset)),
        }
    }

    pub(crate) fn check(&self, op: &'static str, argument: &'static str) -> Result<(), Error> {
        match self {
            Self::Host(value) if !value.is_finite() => {
                Err(Error::argument(op, argument, value, "it must be finite", "clamp it"))
            }
            Self::Buffer(buffer, offset) if offset % 4 != 0 || offset.saturating_add(4) > buffer.size() => {
                let rule = format!("it must be a multiple of 4 inside {} bytes", buffer.size());
                Err(Error::argument(op, argument, format!("at byte {offset}"), rule, "move it"))
            }
            Self::Buffer(buffer, _) if !buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) => {
                let value = format!("in a buffer of usage {:?}", buffer.usage());
                Err(Error::argument(op, argument, value, "COPY_SRC is needed", "add the usage"))
            }
            _ => Ok(()),
        }
    }
}

/// Records ops into a borrowed encoder. It opens one compute pass for as many dispatches as follow each other
/// and owns the parameters' memory; it never submits and never waits. Drop it before the encoder is finished.
///
/// ```no_run
/// # fn f(gpu: &gtca::gpu::Gpu, encoder: &mut wgpu::CommandEncoder) {
/// let mut recorder = gpu.recorder(encoder);
/// // op.record(&mut recorder, …)?;
/// drop(recorder); // the encoder is the embedder's again
/// # }
/// ```
#[derive(Debug)]
pub struct Recorder<'e> {
    gpu: Gpu,
    encoder: &'e mut wgpu::CommandEncoder,
    pass: Option<wgpu::ComputePass<'static>>,
    pages: Vec<wgpu::Buffer>,
    used: u64,
    pub(super) source: Source,
    pub(super) bump: Arc<Mutex<Bump>>,
}

/// One dispatch, ready to be recorded.
#[derive(Debug)]
pub(crate) struct Dispatch<'a> {
    pub kernel: &'static Kernel,
    pub flags: &'a [&'static str],
    pub params: &'a [u8],
    /// Knobs that live in buffers: byte offset in `params`, and where the value comes from.
    pub knobs: &'a [(usize, Knob<'a>)],
    pub storage: &'a [Bound<'a>],
    /// Workgroups; folded into two dimensions above 65,535.
    pub groups: u64,
    /// Loop iterations of the busiest invocation.
    pub iterations: u64,
}

impl Gpu {
    /// Starts recording into the embedder's encoder.
    pub fn recorder<'e>(&self, encoder: &'e mut wgpu::CommandEncoder) -> Recorder<'e> {
        Recorder {
            gpu: self.clone(),
            encoder,
            pass: None,
            pages: Vec::new(),
            used: PAGE,
            source: Source::Own,
            bump: Arc::default(),
        }
    }
}

impl Recorder<'_> {
    /// The GPU that this recorder records for.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Writes zeros over whole words of a buffer.
    pub(crate) fn clear(&mut self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) {
        if self.is_unused() {
            return;
        }
        self.pass = None;
        self.encoder.clear_buffer(buffer, offset, Some(bytes));
    }

    pub(crate) fn dispatch(&mut self, dispatch: &Dispatch<'_>) -> Result<(), Error> {
        let op = dispatch.kernel.name;
        if dispatch.groups == 0 {
            return Ok(());
        }
        self.gpu.check_alive()?;
        self.check_dispatch(dispatch)?;
        if let Source::Counted = self.source {
            return Ok(());
        }
        let pipeline = self.gpu.pipeline(dispatch.kernel, dispatch.flags, shares_written_buffer(dispatch))?;
        if self.is_unused() {
            return Ok(());
        }
        let (page, offset) = self.write_params(op, dispatch.params)?;
        for (at, knob) in dispatch.knobs {
            if let Knob::Buffer(buffer, from) = knob {
                self.pass = None;
                self.encoder.copy_buffer_to_buffer(buffer, *from, &page, offset + *at as u64, Some(4));
            }
        }
        let params = (&page, offset, dispatch.params.len() as u64);
        let storage = dispatch.storage.iter().map(|bound| (bound.buffer, bound.offset, bound.size));
        let entries: Vec<_> = std::iter::once(params)
            .chain(storage)
            .enumerate()
            .map(|(binding, (buffer, offset, size))| wgpu::BindGroupEntry {
                binding: binding as u32,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset,
                    size: std::num::NonZeroU64::new(size),
                }),
            })
            .collect();
        let group = self.gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(op),
            layout: &pipeline.layout,
            entries: &entries,
        });
        let [x, y] = fold(dispatch.groups, self.gpu.limits().max_compute_workgroups_per_dimension);
        let pass = self.pass();
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(x, y, 1);
        Ok(())
    }

    /// One barrier for buffers that were written and are read next, where wgpu would put one before each reader.
    pub(crate) fn read_next<'b>(&mut self, buffers: impl Iterator<Item = &'b wgpu::Buffer>) {
        let Some(pass) = &mut self.pass else { return };
        let state = wgpu::BufferUses::STORAGE_READ_ONLY;
        let transitions = buffers.map(|buffer| wgpu::BufferTransition { buffer, state });
        pass.transition_resources(transitions, std::iter::empty());
    }

    /// Only scratch is counted, or kernels compiled: no command is recorded.
    fn is_unused(&self) -> bool {
        matches!(self.source, Source::Counted | Source::Compiled(_))
    }

    fn check_dispatch(&self, dispatch: &Dispatch<'_>) -> Result<(), Error> {
        let op = dispatch.kernel.name;
        if dispatch.iterations >= MAX_ITERATIONS {
            let rule = format!("one invocation may loop {MAX_ITERATIONS} times");
            return Err(Error::argument(
                op,
                "shape",
                format!("{} iterations", dispatch.iterations),
                rule,
                "use narrower rows",
            ));
        }
        let per_dimension = u64::from(self.gpu.limits().max_compute_workgroups_per_dimension);
        if dispatch.groups > per_dimension * per_dimension {
            return Err(Error::argument(
                op,
                "shape",
                dispatch.groups,
                "too many workgroups",
                "split the batch",
            ));
        }
        let limit = self.gpu.limits().max_storage_buffer_binding_size;
        match dispatch.storage.iter().find(|bound| bound.size > limit) {
            Some(bound) => {
                let rule = format!("this device binds at most {limit} bytes");
                Err(Error::argument(op, "view", format!("{} bytes", bound.size), rule, "split the batch"))
            }
            None => Ok(()),
        }
    }

    fn pass(&mut self) -> &mut wgpu::ComputePass<'static> {
        let Self { pass, encoder, .. } = self;
        pass.get_or_insert_with(|| {
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime()
        })
    }

    /// Parameters go into pages that are mapped while recording, so no queue is needed and no slot is reused.
    fn write_params(&mut self, op: &'static str, params: &[u8]) -> Result<(wgpu::Buffer, u64), Error> {
        let alignment = u64::from(self.gpu.limits().min_uniform_buffer_offset_alignment);
        let size = (params.len() as u64).next_multiple_of(alignment);
        if self.used + size > PAGE {
            self.pages.push(self.gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("gtca params"),
                size: PAGE,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: true,
            }));
            self.used = 0;
        }
        let offset = self.used;
        self.used += size;
        let page = self.pages[self.pages.len() - 1].clone();
        let refuse = |error: wgpu::MapRangeError| Error::Device { op, message: error.to_string() };
        let mut mapped = page.get_mapped_range_mut(offset..offset + params.len() as u64).map_err(refuse)?;
        mapped.copy_from_slice(params);
        drop(mapped);
        Ok((page, offset))
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        self.pass = None;
        for page in &self.pages {
            page.unmap();
        }
    }
}

/// The same buffer bound twice with a writer among them.
fn shares_written_buffer(dispatch: &Dispatch<'_>) -> bool {
    let uses = dispatch.storage.iter().zip(dispatch.kernel.storage);
    let written: Vec<_> =
        uses.filter(|(_, access)| **access == Binding::Write).map(|(bound, _)| bound.buffer).collect();
    written.iter().any(|buffer| dispatch.storage.iter().filter(|bound| bound.buffer == *buffer).count() > 1)
}

/// Splits a count of workgroups into x and y; the kernel skips the few beyond the end.
fn fold(groups: u64, limit: u32) -> [u32; 2] {
    let limit = u64::from(limit);
    let y = groups.div_ceil(limit);
    let x = groups.div_ceil(y);
    [x as u32, y as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_covers_every_group_within_the_limit() {
        for groups in [1, 7, 65_535, 65_536, 65_537, 131_071, 1 << 24, 4_294_836_225] {
            let [x, y] = fold(groups, 65_535);
            assert!(u64::from(x) * u64::from(y) >= groups);
            assert!(x <= 65_535 && y <= 65_535);
        }
    }
}
