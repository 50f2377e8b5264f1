//! What an optimiser keeps beside the values: moments, the best values so far, the gradient norm.

use gtca::gpu::{Gpu, Recorder, View};
use gtca::optim::{AdamW, AdamWDesc, Slot};
use gtca::wgpu;

/// AdamW over one flat buffer of parameters.
#[derive(Debug)]
pub(super) struct Store {
    op: AdamW,
    m: wgpu::Buffer,
    v: wgpu::Buffer,
    best: wgpu::Buffer,
    norm: wgpu::Buffer,
    len: u32,
}

impl Store {
    pub(super) fn new(gpu: &Gpu, len: u32) -> Result<Self, gtca::Error> {
        let [m, v, best] = ["m", "v", "best"].map(|label| gpu.zeros(label, u64::from(len) * 4));
        let op = AdamW::new(&AdamWDesc { weight_decay: 0.01, max_norm: Some(1.0), ..Default::default() })?;
        Ok(Self { op, m, v, best, norm: gpu.zeros("norm", 4), len })
    }

    /// One step; `step` counts from 1.
    pub(super) fn step(
        &self,
        recorder: &mut Recorder<'_>,
        theta: View<'_>,
        gradient: View<'_>,
        step: u32,
        rate: f32,
    ) -> Result<(), gtca::Error> {
        let (m, v) = (View::vector(&self.m, self.len), View::vector(&self.v, self.len));
        let slots = [Slot { gradient, theta, m, v }];
        self.op.step(recorder, &slots, step, rate, Some(View::vector(&self.norm, 1)))
    }

    /// Copies the values aside.
    pub(super) fn keep(&self, encoder: &mut wgpu::CommandEncoder, values: &wgpu::Buffer) {
        encoder.copy_buffer_to_buffer(values, 0, &self.best, 0, Some(u64::from(self.len) * 4));
    }

    /// Brings the kept values back.
    pub(super) fn restore(&self, encoder: &mut wgpu::CommandEncoder, values: &wgpu::Buffer) {
        encoder.copy_buffer_to_buffer(&self.best, 0, values, 0, Some(u64::from(self.len) * 4));
    }
}
