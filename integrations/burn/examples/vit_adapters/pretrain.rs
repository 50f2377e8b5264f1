//! The backbone's pre-training: half of a series' steps are hidden and reconstructed from the others. It sees the training part's series,
//! and neither labels nor metadata.

use crate::data::{Purpose, uniform};
use crate::settings::Settings;
use crate::study::{Study, batch, scalar};
use crate::vit::{Sizes, Vit};
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Tensor, TensorData};

const HIDDEN_SHARE: f32 = 0.5;

/// A backbone, frozen, and its loss at every step: the mean squared error of the hidden observations, in variances of a channel's step.
pub(crate) fn pretrain(
    study: &Study,
    tokens: &Tensor<3>,
    train: &[usize],
    settings: &Settings,
    seed: u64,
) -> (Vit, Vec<f32>) {
    let Study { device, data, .. } = study;
    let Settings { width, heads, blocks, .. } = *settings;
    let (steps, channels) = (data.steps, data.channels);
    device.seed(seed);
    let mut vit = Vit::new(Sizes { steps, channels, width, heads, blocks }, device);
    let mut optimiser = AdamWConfig::new().init();
    let mut losses = Vec::new();
    for step in 0..settings.pretraining {
        let rows = batch(train, settings.batch, seed, step);
        let tokens = tokens.clone().select(0, study.positions(&rows));
        let hide = |i| f32::from(uniform(seed, Purpose::Hidden, i, step) < HIDDEN_SHARE);
        let hidden: Vec<f32> = (0..rows.len() * steps).map(hide).collect();
        let hidden = Tensor::from_data(TensorData::new(hidden, [rows.len(), steps, 1]), device);
        let loss = error(&vit, tokens, hidden);
        losses.push(loss.clone().detach());
        let grads = GradientsParams::from_grads(loss.backward(), &vit);
        vit = optimiser.step(settings.backbone_rate, vit, grads);
    }
    let losses = losses.into_iter().map(scalar).collect();
    (vit.freeze(), losses)
}

fn error(vit: &Vit, tokens: Tensor<3>, hidden: Tensor<3>) -> Tensor<1> {
    let channels = tokens.dims()[2] / 2;
    let observed = tokens.clone().narrow(2, channels, channels);
    let values = tokens.clone().narrow(2, 0, channels);
    let counted = observed * hidden.clone();
    let apart = vit.reconstruct(tokens, hidden) - values;
    (apart.powi_scalar(2) * counted.clone()).sum() / (counted.sum() + 1e-6)
}
