//! Scratch that the embedder lends; that ops work in it, every suite of theirs shows (`Tensors::run`).

use crate::support::*;
use gtca::gpu::{Recorder, View};
use gtca::linear::{Activation, Backward, Linear, LinearDesc};

fn with_backward(test: impl FnOnce(&Tensors, &mut dyn FnMut(&mut Recorder<'_>) -> Result<(), gtca::Error>)) {
    let Some(gpu) = gpu() else { return };
    let mut tensors = Tensors::new(gpu, Layout::Separate);
    let mut random = Random(3);
    let mut f32 = |rows, width| tensors.f32([rows, 1, width], &random.f32s((rows * width) as usize));
    let [x, weight, pre, dy, dweight] = [f32(300, 5), f32(7, 5), f32(300, 7), f32(300, 7), f32(7, 5)];
    let [x, weight, pre, dy, dweight] = [x, weight, pre, dy, dweight].map(|tensor| tensors.view(tensor));
    let desc = LinearDesc { inputs: 5, outputs: 7, activation: Activation::Silu };
    let linear = Linear::new(&desc).unwrap();
    let (dx, dbias) = (None, None);
    let (pre, dweight) = (Some(pre), Some(dweight));
    let (dx_mode, parameter_mode) = Default::default();
    let args = Backward { x, weight, pre, dy, dx, dweight, dbias, dx_mode, parameter_mode };
    test(&tensors, &mut |recorder| linear.backward(recorder, &args));
}

#[test]
fn scratch_that_is_too_small_is_refused_with_the_bytes_it_takes() {
    with_backward(|tensors, record| {
        let gpu = tensors.gpu;
        let bytes = gpu.scratch_bytes(&mut *record).unwrap();
        // dpre [300, 7], rounded up to 256 bytes, then two chunks of partials [7, 5].
        assert_eq!(bytes, (300 * 7 * 4u64).next_multiple_of(256) + 2 * 7 * 5 * 4);
        let buffer = gpu.zeros("scratch", bytes);
        let mut encoder = gpu.encoder();
        let mut recorder = gpu.recorder(&mut encoder);
        recorder.lend_scratch(Some(View::vector(&buffer, (bytes / 4) as u32 - 1))).unwrap();
        let message = record(&mut recorder).unwrap_err().to_string();
        assert!(message.contains("`scratch`") && message.contains(&bytes.to_string()), "{message}");
        recorder.lend_scratch(Some(View::vector(&buffer, (bytes / 4) as u32))).unwrap();
        record(&mut recorder).unwrap();
        // The next op starts at the first byte again.
        record(&mut recorder).unwrap();
    });
}

#[test]
fn a_range_that_cannot_be_scratch_is_refused() {
    let Some(gpu) = gpu() else { return };
    let buffer = gpu.zeros("scratch", 4096);
    let mut encoder = gpu.encoder();
    let mut recorder = gpu.recorder(&mut encoder);
    let mut refusal = |view| recorder.lend_scratch(Some(view)).unwrap_err().to_string();
    assert!(refusal(View::vector(&buffer, 64).at(4)).contains("256"));
    assert!(refusal(View::vector(&buffer, 2000)).contains("inside its buffer"));
    assert!(refusal(View::matrix(&buffer, 4, 4).strided(5, 5)).contains("contiguous"));
    recorder.lend_scratch(None).unwrap();
}
