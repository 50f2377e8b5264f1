//! Codes of embeddings on the device.

use crate::support::{Layout, Tensor, Tensors};
use gtca::encode::codec::{code_words, pack_codes};
use gtca::gpu::Gpu;

pub fn tensors(gpu: &'static Gpu) -> Tensors {
    Tensors::new(gpu, Layout::Separate)
}

pub fn upload(t: &mut Tensors, codes: &[i8], width: u32) -> Tensor {
    let rows = codes.len() as u32 / width;
    t.u32([rows, 1, code_words(width)], &pack_codes(codes, width as usize))
}
