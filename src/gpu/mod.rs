//! The device: opened or borrowed; views of buffers; recording; pipelines.
//!
//! Nothing here is hidden: no global state, no submit and no wait except in methods whose names say so
//! ([`Gpu::submit`], [`Gpu::read_f32`] …).

mod kernel;
mod open;
mod read;
mod recorder;
pub(crate) mod reduce;
mod scratch;
mod shader;
mod table;
pub(crate) mod view;

pub use kernel::{Binding, FLAGS, Kernel};
pub use open::OpenOptions;
pub use recorder::{Knob, Recorder};
pub use reduce::Mode;
pub use shader::{AssemblyError, assemble};
pub use table::kernels;
pub use view::{Dtype, View};

pub(crate) use recorder::{Dispatch, MAX_ITERATIONS};
pub(crate) use scratch::Scratch;
pub(crate) use view::{Access, Bound, Rows, check_overlap};

use crate::Error;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A device and queue with their limits and our compiled kernels. Cheap to clone; `Send + Sync`.
///
/// `{}` prints one line: adapter, backend and driver.
#[derive(Clone, Debug)]
pub struct Gpu {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    limits: wgpu::Limits,
    pipelines: Mutex<HashMap<kernel::Key, Arc<kernel::Pipeline>>>,
    lost: Mutex<Option<String>>,
}

impl Gpu {
    /// Uses the embedder's device and queue. Installs nothing on them: if the device is lost, the embedder
    /// hears of it and calls [`Gpu::mark_lost`].
    pub fn adopt(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let (info, limits) = (device.adapter_info(), device.limits());
        let (pipelines, lost) = (Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Inner { device, queue, info, limits, pipelines, lost }) }
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// The device's own limits.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.inner.limits
    }

    /// What the adapter says of itself.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.inner.info
    }

    /// Tells that the device is lost; from now on every call that records, submits or reads says so.
    pub fn mark_lost(&self, reason: impl Into<String>) {
        let mut lost = self.inner.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get_or_insert_with(|| reason.into());
    }

    pub(crate) fn check_alive(&self) -> Result<(), Error> {
        let lost = self.inner.lost.lock().unwrap_or_else(PoisonError::into_inner);
        match &*lost {
            Some(reason) => Err(Error::DeviceLost { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Whether kernels may use subgroups, and all of them have this many lanes.
    pub(crate) fn has_subgroups_of(&self, lanes: u32) -> bool {
        let info = self.info();
        let widths = [info.subgroup_min_size, info.subgroup_max_size];
        self.device().features().contains(wgpu::Features::SUBGROUP) && widths == [lanes, lanes]
    }

    /// Whether kernels may move vectors as 64-bit words.
    pub(crate) fn has_long_words(&self) -> bool {
        self.device().features().contains(wgpu::Features::SHADER_INT64)
    }

    /// A new zeroed storage buffer, copyable both ways; at least four bytes.
    pub fn zeros(&self, label: &str, bytes: u64) -> wgpu::Buffer {
        self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.next_multiple_of(4).max(4),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    }

    /// A new storage buffer with this content; it arrives with the next submit.
    pub fn upload<T: bytemuck::NoUninit>(&self, label: &str, data: &[T]) -> wgpu::Buffer {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let buffer = self.zeros(label, bytes.len() as u64);
        let whole = bytes.len() - bytes.len() % 4;
        self.queue().write_buffer(&buffer, 0, &bytes[..whole]);
        if whole < bytes.len() {
            let mut word = [0; 4];
            word[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.queue().write_buffer(&buffer, whole as u64, &word);
        }
        buffer
    }

    /// A new encoder.
    pub fn encoder(&self) -> wgpu::CommandEncoder {
        self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("gtca") })
    }

    /// One call for scripts and tests: an encoder, the ops that `record` records into it, and its submission. Read the
    /// outputs with [`Gpu::read_f32`].
    ///
    /// ```no_run
    /// # use gtca::{gpu::*, linear::*};
    /// # fn f(gpu: &Gpu, map: &Linear, args: &Forward<'_>) -> Result<(), gtca::Error> {
    /// gpu.run(|recorder| map.forward(recorder, args))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What `record` refuses (nothing is submitted then); a lost device.
    pub fn run(
        &self,
        record: impl FnOnce(&mut Recorder<'_>) -> Result<(), Error>,
    ) -> Result<wgpu::SubmissionIndex, Error> {
        let mut commands = self.encoder();
        record(&mut self.recorder(&mut commands))?;
        self.submit(commands)
    }

    /// Submits an encoder.
    pub fn submit(&self, encoder: wgpu::CommandEncoder) -> Result<wgpu::SubmissionIndex, Error> {
        self.check_alive()?;
        Ok(self.queue().submit([encoder.finish()]))
    }

    /// Storage alignment of binding offsets on this device.
    pub(crate) fn alignment(&self) -> u32 {
        self.limits().min_storage_buffer_offset_alignment
    }

    /// Bytes of the largest view that fits one binding wherever it starts.
    pub(crate) fn largest_view(&self) -> u64 {
        self.limits().max_storage_buffer_binding_size - u64::from(self.alignment())
    }

    /// Cuts a batch of rows so that every view fits one binding, at multiples of `multiple` rows.
    pub(crate) fn row_chunks(
        &self,
        op: &'static str,
        views: &[View<'_>],
        multiple: u32,
    ) -> Result<Vec<Range<u32>>, Error> {
        self.row_chunks_within(op, views, multiple, Room { row_bytes: 0, limit: u64::MAX })
    }

    /// As [`Self::row_chunks`]; and what is made for the rows of a cut fits its room, or is of the fewest rows possible.
    pub(crate) fn row_chunks_within(
        &self,
        op: &'static str,
        views: &[View<'_>],
        multiple: u32,
        room: Room,
    ) -> Result<Vec<Range<u32>>, Error> {
        let rows = views.iter().map(View::rows).max().unwrap_or(0) as u32;
        let limit = self.largest_view();
        let mut step = u64::from(rows).max(1);
        let mut grain = u64::from(multiple.max(1));
        for view in views {
            let per_row = (view.span() * view.dtype.bytes()).div_ceil(u64::from(rows.max(1))).max(1);
            // Strided samples: a cut costs at most one sample stride more than its share.
            let stride = if view.rows() > 1 { view.row_step() } else { 0 };
            let share = per_row.max(u64::from(stride) * view.dtype.bytes());
            step = step.min(limit / share);
            grain = lcm(grain, u64::from(view.row_grain().max(1)));
        }
        step = step.min((room.limit / room.row_bytes.max(1)).max(grain));
        if step < u64::from(rows) {
            step = step / grain * grain;
        }
        if step == 0 {
            let rule = format!("{grain} rows must fit one binding of {limit} bytes");
            return Err(Error::argument(op, "shape", format!("{rows} rows"), rule, "use narrower rows"));
        }
        Ok((0..rows).step_by(step as usize).map(|from| from..rows.min(from + step as u32)).collect())
    }
}

/// Scratch that grows with the rows of one cut.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    /// Bytes of each row.
    pub row_bytes: u64,
    /// Bytes in all.
    pub limit: u64,
}

/// The least common multiple.
fn lcm(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

impl std::fmt::Display for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let info = self.info();
        write!(
            f,
            "{} ({:?}, {:?}, {} {})",
            info.name, info.device_type, info.backend, info.driver, info.driver_info
        )
    }
}
