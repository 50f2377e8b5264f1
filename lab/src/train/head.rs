//! The frozen head behind the adapted layer: logits, and the gradient of its input.

use gtca::gpu::{Gpu, Recorder, View};
use gtca::linear::{Backward, Forward, Linear, LinearDesc};
use gtca::wgpu;

/// `logits = y Wᵀ + b`, frozen.
#[derive(Debug)]
pub(super) struct Head {
    op: Linear,
    weight: wgpu::Buffer,
    bias: wgpu::Buffer,
    pub classes: u32,
    width: u32,
}

impl Head {
    pub(super) fn new(gpu: &Gpu, width: u32, weight: &[f32], bias: &[f32]) -> Result<Self, gtca::Error> {
        let classes = bias.len() as u32;
        let op = Linear::new(&LinearDesc { inputs: width, outputs: classes, ..Default::default() })?;
        let (weight, bias) = (gpu.upload("head weight", weight), gpu.upload("head bias", bias));
        Ok(Self { op, weight, bias, classes, width })
    }

    pub(super) fn forward(
        &self,
        recorder: &mut Recorder<'_>,
        y: View<'_>,
        logits: View<'_>,
    ) -> Result<(), gtca::Error> {
        let bias = Some(View::vector(&self.bias, self.classes));
        let weight = View::matrix(&self.weight, self.classes, self.width);
        self.op.forward(recorder, &Forward { x: y, weight, bias, pre: None, y: logits })
    }

    /// Gradient of `y` from that of the logits.
    pub(super) fn backward(
        &self,
        recorder: &mut Recorder<'_>,
        y: View<'_>,
        dlogits: View<'_>,
        dy: View<'_>,
    ) -> Result<(), gtca::Error> {
        let weight = View::matrix(&self.weight, self.classes, self.width);
        self.op.backward(recorder, &Backward { dx: Some(dy), ..Backward::new(y, weight, dlogits) })
    }
}
