//! Memory that ops need while their commands run: lent by the embedder, or allocated by the recorder.

use super::{Gpu, Recorder, View};
use crate::Error;
use std::sync::{Arc, Mutex, PoisonError};

/// Scratch ranges start at multiples of this, the largest storage alignment that WebGPU allows.
const ALIGNMENT: u64 = 256;

/// Where a recorder's scratch comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A buffer of its own for every request; wgpu keeps it alive with the encoder.
    Own,
    /// The embedder's range: buffer, first byte, bytes.
    Lent(wgpu::Buffer, u64, u64),
    /// Nothing is recorded, only counted. Every request has a buffer that is never written, so that ops may check views of it.
    Counted,
    /// Nothing is recorded, kernels are compiled; a lent range's buffer stands for all memory, else as `Counted`.
    Compiled(Option<wgpu::Buffer>),
}

/// Bump allocation that starts again where no range is in use: ops run in order, so each may use the same bytes.
#[derive(Debug, Default)]
pub(super) struct Bump {
    next: u64,
    live: u32,
    peak: u64,
}

fn locked<T>(bump: &Mutex<Bump>, f: impl FnOnce(&mut Bump) -> T) -> T {
    f(&mut bump.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A range of scratch; dropping it gives the bytes back to the ops that are recorded later.
#[derive(Debug)]
pub(crate) struct Scratch {
    buffer: wgpu::Buffer,
    offset: u64,
    bump: Arc<Mutex<Bump>>,
}

impl Scratch {
    /// Contiguous f32 `[samples, tokens, width]` from its start.
    pub(crate) fn tokens(&self, shape: [u32; 3]) -> View<'_> {
        View::tokens(&self.buffer, shape).at(self.offset)
    }

    /// Contiguous f32 `[rows, width]` from its start.
    pub(crate) fn matrix(&self, rows: u32, width: u32) -> View<'_> {
        self.tokens([rows, 1, width])
    }

    /// `len` f32 from its start.
    pub(crate) fn vector(&self, len: u32) -> View<'_> {
        self.tokens([1, 1, len])
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        locked(&self.bump, |bump| {
            bump.live -= 1;
            if bump.live == 0 {
                bump.next = 0;
            }
        });
    }
}

impl Gpu {
    /// Bytes of scratch that ops need, for [`Recorder::lend_scratch`]: `record` is called with a recorder that checks
    /// and counts but records nothing. The same code counts and records, so the number is exact; it depends on
    /// shapes, options and the device's limits alone.
    ///
    /// ```no_run
    /// # use gtca::{gpu::*, lora::*};
    /// # fn f(gpu: &Gpu, lora: &Lora, args: &Forward<'_>) -> Result<(), gtca::Error> {
    /// let bytes = gpu.scratch_bytes(|recorder| lora.forward(recorder, args))?;
    /// let scratch = gpu.zeros("scratch", bytes);
    /// let mut commands = gpu.encoder();
    /// let mut recorder = gpu.recorder(&mut commands);
    /// recorder.lend_scratch(Some(View::vector(&scratch, (bytes / 4) as u32)))?;
    /// lora.forward(&mut recorder, args)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What `record` refuses.
    pub fn scratch_bytes(
        &self,
        record: impl FnOnce(&mut Recorder<'_>) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        let mut unused = self.encoder();
        let mut recorder = self.recorder(&mut unused);
        recorder.source = Source::Counted;
        record(&mut recorder)?;
        Ok(locked(&recorder.bump, |bump| bump.peak))
    }
}

impl Gpu {
    /// Compiles the kernels of ops now instead of on first use: `record` is called with a recorder that checks and compiles
    /// but records nothing, so exactly the variants are made that the same call will use later, with its shapes, types and
    /// buffers. What was compiled before costs nothing.
    ///
    /// What it costs is the driver's affair, and less where it keeps what it compiled on disk. On lavapipe without that, the
    /// forward and backward of one layer with gates and a bias, in two layouts of memory, took 3.2 s of processor time.
    ///
    /// ```no_run
    /// # use gtca::{gpu::*, lora::*};
    /// # fn f(gpu: &Gpu, lora: &Lora, args: &Forward<'_>) -> Result<(), gtca::Error> {
    /// gpu.warm_up(|recorder| lora.forward(recorder, args))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What `record` refuses; a kernel that the driver cannot compile.
    pub fn warm_up(&self, record: impl FnOnce(&mut Recorder<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let mut unused = self.encoder();
        let mut recorder = self.recorder(&mut unused);
        recorder.source = Source::Compiled(None);
        record(&mut recorder)
    }
}

impl Recorder<'_> {
    /// From now on ops take their scratch from this range (f32, contiguous, at a multiple of 256 bytes) instead of
    /// allocating; `None` ends it. Ops that follow each other share the bytes: the range holds the largest need, not
    /// the sum. The embedder keeps it apart from every argument; what it holds afterwards is undefined.
    ///
    /// # Errors
    /// A view that leaves its buffer, is not contiguous or is misaligned. Ops recorded later refuse a range that is too
    /// small, and name the bytes that they need.
    pub fn lend_scratch(&mut self, range: Option<View<'_>>) -> Result<(), Error> {
        let Some(view) = range else {
            self.lend(None);
            return Ok(());
        };
        const OP: &str = "recorder";
        view.check(OP, "scratch", super::Dtype::F32)?;
        if !view.buffer.usage().contains(wgpu::BufferUsages::COPY_DST) {
            let value = format!("in a buffer of usage {:?}", view.buffer.usage());
            return Err(Error::argument(OP, "scratch", value, "COPY_DST is needed", "add the usage"));
        }
        let elements = view.rows() * u64::from(view.width());
        if view.span() != elements || !view.offset.is_multiple_of(ALIGNMENT) {
            let value = format!("at byte {} with gaps of {}", view.offset, view.span() - elements);
            let rule = "scratch is contiguous and starts at a multiple of 256 bytes";
            return Err(Error::argument(OP, "scratch", value, rule, "move the sub-allocation"));
        }
        self.lend(Some((view.buffer.clone(), view.offset, elements * 4)));
        Ok(())
    }

    fn lend(&mut self, range: Option<(wgpu::Buffer, u64, u64)>) {
        match (&mut self.source, range) {
            (Source::Counted, _) => {}
            (Source::Compiled(lent), range) => *lent = range.map(|(buffer, ..)| buffer),
            (source, Some((buffer, start, bytes))) => *source = Source::Lent(buffer, start, bytes),
            (source, None) => *source = Source::Own,
        }
    }

    /// Bytes for the op that is being recorded; what they hold is undefined.
    pub(crate) fn scratch(&mut self, op: &'static str, bytes: u64) -> Result<Scratch, Error> {
        let limit = self.gpu().limits().max_buffer_size;
        if bytes > limit {
            let rule = format!("a buffer of this device holds at most {limit}");
            return Err(Error::argument(op, "scratch", format!("{bytes} bytes"), rule, "split the batch"));
        }
        let at = locked(&self.bump, |bump| bump.next);
        let end = at + bytes.max(4).next_multiple_of(4);
        let (buffer, offset) = match &self.source {
            Source::Own | Source::Counted | Source::Compiled(None) => {
                (self.gpu().zeros("gtca scratch", bytes), 0)
            }
            Source::Compiled(Some(buffer)) => (buffer.clone(), 0),
            Source::Lent(_, _, size) if end > *size => {
                let rule = format!("this op needs {end} at this point");
                let value = format!("{size} bytes");
                return Err(Error::argument(op, "scratch", value, rule, "ask Gpu::scratch_bytes"));
            }
            Source::Lent(buffer, start, _) => (buffer.clone(), start + at),
        };
        locked(&self.bump, |bump| {
            bump.live += 1;
            bump.next = end.next_multiple_of(ALIGNMENT);
            bump.peak = bump.peak.max(end);
        });
        Ok(Scratch { buffer, offset, bump: self.bump.clone() })
    }

    /// As [`Self::scratch`], zeroed.
    pub(crate) fn zeroed_scratch(&mut self, op: &'static str, bytes: u64) -> Result<Scratch, Error> {
        let scratch = self.scratch(op, bytes)?;
        // A buffer of its own is born zeroed.
        if let Source::Lent(..) = self.source {
            self.clear(&scratch.buffer, scratch.offset, bytes.max(4).next_multiple_of(4));
        }
        Ok(scratch)
    }
}
