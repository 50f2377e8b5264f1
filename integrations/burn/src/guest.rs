//! Our commands between Burn's: tensors as views of their buffers, one submission to the queue that both share.
//!
//! Burn queues its own commands and sub-allocates its tensors. Asking for a tensor's buffer submits what writes it, so
//! commands that are submitted afterwards find it there; and Burn gives memory that it frees only to commands that it
//! submits later. So order on the queue is all that is needed: nothing waits, nothing is copied.

use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType, TensorMetadata};
use burn::cubecl::wgpu::{AutoCompiler, WgpuResource, WgpuServer};
use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use gtca::Error;
use gtca::gpu::{Dtype, Gpu, Recorder, View};

/// Lent scratch starts at a multiple of so many bytes.
const SCRATCH_ALIGNMENT: u64 = 256;

/// A gradient, where it is wanted.
#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) enum Wish<B: Backend> {
    Absent,
    Present(FloatTensor<B>),
}

impl WishMetadata {
    /// Of a gradient that is like its input.
    pub(crate) fn like(wanted: bool, input: &TensorSpec) -> Self {
        if wanted { Self::Present(input.clone()) } else { Self::Absent }
    }
}

/// A tensor whose bytes stay where they are while our commands are recorded and submitted.
pub(crate) struct Lent {
    resource: WgpuResource,
    /// Burn neither frees nor moves the memory while this lives.
    _held: Box<dyn Send>,
    shape: [u32; 3],
    strides: [u32; 2],
    dtype: Dtype,
}

impl Lent {
    /// A tensor of one to three axes whose rows lie in order, as [`readable`] makes them.
    pub(crate) fn of(tensor: &CubeTensor) -> Self {
        let held = match tensor.client.get_resource::<WgpuServer<AutoCompiler>>(tensor.handle.clone()) {
            Ok(held) => held,
            Err(error) => panic!("gtca runs on Burn's wgpu devices: {error}"),
        };
        let resource = held.resource().clone();
        let [shape, strides] = [tensor.shape().as_slice(), tensor.meta.strides()].map(axes);
        // Without an axis of tokens there is none to step over.
        let row_stride = if tensor.rank() == 3 { strides[1] } else { shape[2] };
        let (strides, dtype) = ([strides[0], row_stride], dtype(tensor.dtype));
        Self { resource, _held: Box::new(held), shape, strides, dtype }
    }

    /// `[samples, tokens, width]`; a matrix has one token a sample, a vector is one row.
    pub(crate) fn view(&self) -> View<'_> {
        let WgpuResource { buffer, offset, .. } = &self.resource;
        let [sample_stride, row_stride] = self.strides;
        View { buffer, offset: *offset, shape: self.shape, sample_stride, row_stride, dtype: self.dtype }
    }
}

/// `[n]`, `[rows, width]` or `[samples, tokens, width]` as `[samples, tokens, width]`.
fn axes(of: &[usize]) -> [u32; 3] {
    let axis = |n: usize| u32::try_from(n).unwrap_or_else(|_| panic!("{n} does not fit 32 bits"));
    match *of {
        [n] => [1, 1, axis(n)],
        [rows, width] => [axis(rows), 1, axis(width)],
        [samples, tokens, width] => [axis(samples), axis(tokens), axis(width)],
        _ => panic!("a tensor of one to three axes is required, not {of:?}"),
    }
}

fn dtype(of: DType) -> Dtype {
    match of {
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::Bf16,
        DType::U32 => Dtype::U32,
        DType::I32 => Dtype::I32,
        other => panic!("gtca has no kernels for {other:?}"),
    }
}

/// The tensor as a view can describe it: rows in order and contiguous, at any distance. Others are copied by Burn.
pub(crate) fn readable(tensor: CubeTensor) -> CubeTensor {
    let (shape, strides) = (tensor.shape(), tensor.meta.strides());
    let (shape, strides) = (shape.as_slice(), &strides[..]);
    let last = shape.len() - 1;
    let even = tensor.dtype.size() == 4 || strides[..last].iter().all(|stride| stride.is_multiple_of(2));
    let apart =
        (0..last).all(|axis| shape[axis] == 1 || strides[axis] >= shape[axis + 1] * strides[axis + 1]);
    let contiguous = strides[last] == 1 || shape[last] == 1;
    if even && apart && contiguous { tensor } else { into_contiguous(tensor) }
}

/// Whether nobody else holds the tensor's memory, so that it may be written in place.
pub(crate) fn is_free(tensor: &CubeTensor) -> bool {
    tensor.can_mut() && tensor.is_nonoverlapping()
}

/// The tensor if it may be written in place, else a copy.
pub(crate) fn writable(tensor: CubeTensor) -> CubeTensor {
    let tensor = readable(tensor);
    if is_free(&tensor) { tensor } else { into_contiguous(tensor.copy()) }
}

/// A new tensor beside another one, with undefined content.
pub(crate) fn empty_like(beside: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    empty_device_contiguous_dtype(beside.client.clone(), beside.device.clone(), shape.into(), dtype)
}

/// Records an op, with scratch from Burn's memory, and submits it behind what Burn has queued.
pub(crate) fn submit(gpu: &Gpu, beside: &CubeTensor, op: impl Fn(&mut Recorder<'_>) -> Result<(), Error>) {
    let recorded = || -> Result<(), Error> {
        let bytes = gpu.scratch_bytes(&op)?;
        let scratch = (bytes > 0).then(|| {
            let words = (bytes + SCRATCH_ALIGNMENT).div_ceil(4) as usize;
            Lent::of(&empty_like(beside, [words], DType::F32))
        });
        let mut commands = gpu.encoder();
        let mut recorder = gpu.recorder(&mut commands);
        if let Some(scratch) = &scratch {
            let whole = scratch.view();
            let start = whole.offset.next_multiple_of(SCRATCH_ALIGNMENT);
            recorder.lend_scratch(Some(View::vector(whole.buffer, bytes.div_ceil(4) as u32).at(start)))?;
        }
        op(&mut recorder)?;
        drop(recorder);
        gpu.submit(commands)?;
        Ok(())
    };
    if let Err(error) = recorded() {
        panic!("{error}");
    }
}
