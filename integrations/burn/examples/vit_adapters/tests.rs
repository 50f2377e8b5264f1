//! The comparison in a few steps: that training trains, and what is frozen or off stays as it was, to the bit.

use crate::data::{Data, Split};
use crate::pretrain::pretrain;
use crate::settings::Settings;
use crate::study::{Study, batch, scalar, values};
use crate::tuned::{Frozen, Method, Tuned};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use clap::Parser;
use gtca::gpu::Gpu;
use std::sync::OnceLock;

const SMALL: [&str; 10] = [
    "vit_adapters",
    "--width=16",
    "--blocks=2",
    "--adapted=1",
    "--rank=4",
    "--pretraining=20",
    "--backbone-rate=5e-3",
    "--steps=12",
    "--rate=1e-2",
    "--batch=32",
];

/// A backbone that was trained a little on a split of the made-up world, and models on it; made once for all tests.
struct Case {
    settings: Settings,
    study: Study,
    split: Split,
    frozen: Frozen,
    /// The backbone's numbers before anything was tuned on it.
    backbone: Vec<f32>,
    pretraining: Vec<f32>,
    /// Trained models and their losses.
    tuned: Vec<(Tuned, Vec<f32>)>,
}

fn case() -> &'static Case {
    static CASE: OnceLock<Case> = OnceLock::new();
    CASE.get_or_init(|| {
        let settings = Settings::parse_from(SMALL);
        let data = Data::load(&settings).expect("a world");
        let split = data.splits("random", 1, 0).swap_remove(0);
        let (device, setup) = Device::wgpu_options().init_with_setup().expect("a wgpu device");
        let gpu = Gpu::adopt(setup.device, setup.queue);
        let study = Study::new(&gpu, &device.autodiff(), data, 0).expect("a study");
        let tokens = study.tokens(&split.train);
        let (vit, pretraining) = pretrain(&study, &tokens, &split.train, &settings, 0);
        let backbone = numbers(&vit);
        let frozen = Frozen::new(vit, tokens, settings.adapted);
        let mut case = Case { settings, study, split, frozen, backbone, pretraining, tuned: Vec::new() };
        let methods = Method::LEARNING.into_iter().chain([Method::LoraInBurn]);
        case.tuned = methods.map(|method| case.trained(method)).collect();
        case
    })
}

impl Case {
    fn new_model(&self, method: Method) -> Tuned {
        Tuned::new(method, &self.study, &self.frozen, &self.settings, 0).expect("a model")
    }

    fn trained(&self, method: Method) -> (Tuned, Vec<f32>) {
        let parts = [self.split.train.as_slice(), &self.split.validation];
        let model = self.new_model(method);
        model.train(&self.study, &self.frozen, parts, &self.settings, 0).expect("a training")
    }

    fn of(&self, method: Method) -> &(Tuned, Vec<f32>) {
        self.tuned.iter().find(|(tuned, _)| tuned.method == method).expect("a trained model")
    }

    /// Features of the test part at the adapter weight λ, under the recorded metadata or wrong ones.
    fn features(&self, model: &Tuned, wrong: bool, [mu, lambda]: [f32; 2]) -> Vec<f32> {
        let (study, test) = (&self.study, &self.split.test);
        let metadata = if wrong { study.wrong(test, 1) } else { study.metadata(test) };
        let gates = model.gates(&metadata.expect("metadata"), mu);
        values(model.features(&self.frozen, self.frozen.entering(study, test), gates, lambda))
    }
}

/// Every number of a module.
fn numbers<M: Module>(module: &M) -> Vec<f32> {
    struct Numbers(Vec<f32>);
    impl ModuleVisitor for Numbers {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(values(param.val()));
        }
    }
    let mut all = Numbers(Vec::new());
    module.visit(&mut all);
    all.0
}

#[test]
fn pretraining_and_every_method_lower_their_loss_and_the_backbone_keeps_its_bits() {
    let case = case();
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let [first, last] = [&case.pretraining[..4], &case.pretraining[16..]].map(mean);
    assert!(last < 0.95 * first, "reconstruction went from {first} to {last}");
    let rows = batch(&case.split.train, 128, 1, 0);
    for (tuned, _) in &case.tuned {
        let [before, after] = [&case.new_model(tuned.method), tuned]
            .map(|model| scalar(model.loss(&case.study, &case.frozen, &rows, 0).expect("a loss")));
        assert!(after < 0.99 * before, "{}: the loss went from {before} to {after}", tuned.method.name());
    }
    assert!(case.backbone.len() > 4000, "{} numbers", case.backbone.len());
    assert_eq!(numbers(&case.frozen.vit), case.backbone, "the frozen backbone has moved");
}

#[test]
fn at_lambda_0_a_trained_adapter_leaves_the_backbones_features_to_the_bit() {
    let case = case();
    let alone = case.features(&case.of(Method::Head).0, false, [1.0, 1.0]);
    for method in [Method::Lora, Method::Gated, Method::Gtca] {
        let (model, _) = case.of(method);
        assert_ne!(case.features(model, false, [1.0, 1.0]), alone, "{} does nothing", method.name());
        assert_eq!(case.features(model, false, [1.0, 0.0]), alone, "{}", method.name());
    }
}

#[test]
fn at_mu_0_a_trained_gate_gives_the_same_features_for_every_place() {
    let case = case();
    let (model, _) = case.of(Method::Gated);
    let [at_0, at_1] = [0.0, 1.0].map(|mu| [false, true].map(|wrong| case.features(model, wrong, [mu, 1.0])));
    assert_ne!(at_1[0], at_1[1], "the gate ignores a place that is 1000 km off");
    assert_eq!(at_0[0], at_0[1]);
}

#[test]
fn plain_lora_in_burns_ops_has_the_losses_of_the_kernels() {
    let case = case();
    let [ours, theirs] = [Method::Lora, Method::LoraInBurn].map(|method| &case.of(method).1);
    for (step, (one, other)) in ours.iter().zip(theirs).enumerate() {
        assert!((one - other).abs() <= 1e-3 * other, "step {step}: {one} and {other}");
    }
}
