//! The comparison in a few steps: that training trains, and what is frozen or off stays as it was, to the bit.

use crate::data::{Data, Split};
use crate::pretrain::pretrain;
use crate::settings::Settings;
use crate::study::{Study, values};
use crate::tuned::{Frozen, Method, Tuned};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use clap::Parser;
use gtca::gpu::Gpu;
use std::sync::OnceLock;

/// A world, a split of it and a backbone that was trained a little, made once for all tests.
struct Case {
    settings: Settings,
    study: Study,
    split: Split,
    frozen: Frozen,
    losses: Vec<f32>,
}

fn case() -> &'static Case {
    static CASE: OnceLock<Case> = OnceLock::new();
    CASE.get_or_init(|| {
        let small = [
            "vit_adapters",
            "--width=16",
            "--heads=2",
            "--blocks=2",
            "--adapted=1",
            "--rank=4",
            "--batch=32",
        ];
        let settings = Settings::parse_from(small);
        let data = Data::load(&settings).expect("a world");
        let split = data.splits("random", 1, 0).swap_remove(0);
        let (device, setup) = Device::wgpu_options().init_with_setup().expect("a wgpu device");
        let gpu = Gpu::adopt(setup.device, setup.queue);
        let study = Study::new(&gpu, &device.autodiff(), data, 0).expect("a study");
        let tokens = study.tokens(&split.train);
        let (vit, losses) = pretrain(&study, &tokens, &split.train, &settings, 0);
        Case { frozen: Frozen::new(vit, tokens, settings.adapted), settings, study, split, losses }
    })
}

impl Case {
    fn new_model(&self, method: Method) -> Tuned {
        Tuned::new(method, &self.study, &self.frozen, &self.settings, 0).expect("a model")
    }

    /// The model after a few steps, and its losses.
    fn trained(&self, method: Method) -> (Tuned, Vec<f32>) {
        let parts = [self.split.train.as_slice(), &self.split.validation];
        let model = self.new_model(method);
        model.train(&self.study, &self.frozen, parts, &self.settings, 0).expect("a training")
    }
}

fn mean(losses: &[f32]) -> f32 {
    losses.iter().sum::<f32>() / losses.len() as f32
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
    let (first, last) = (mean(&case.losses[..5]), mean(&case.losses[35..]));
    assert!(last < 0.9 * first, "reconstruction went from {first} to {last}");
    let before = numbers(&case.frozen.vit);
    assert!(before.len() > 5000, "{} numbers", before.len());
    for method in Method::LEARNING {
        let (_, losses) = case.trained(method);
        let (first, last) = (mean(&losses[..5]), mean(&losses[35..]));
        assert!(last < 0.97 * first, "{}: the loss went from {first} to {last}", method.name());
    }
    assert_eq!(numbers(&case.frozen.vit), before, "the frozen backbone has moved");
}

#[test]
fn at_lambda_0_a_trained_adapter_leaves_the_backbones_features_to_the_bit() {
    let case = case();
    let (study, frozen, test) = (&case.study, &case.frozen, &case.split.test);
    let x = frozen.entering(study, test);
    let alone = values(case.new_model(Method::Head).features(frozen, x.clone(), None, 0.0));
    for method in [Method::Lora, Method::Gated, Method::Gtca] {
        let (model, _) = case.trained(method);
        let gates = model.gates(&study.metadata(test).expect("metadata"), 1.0);
        let on = values(model.features(frozen, x.clone(), gates.clone(), 1.0));
        assert_ne!(on, alone, "{}: the adapter does nothing", method.name());
        assert_eq!(values(model.features(frozen, x.clone(), gates, 0.0)), alone, "{}", method.name());
    }
}

#[test]
fn at_mu_0_a_trained_gate_gives_the_same_features_for_every_place() {
    let case = case();
    let (study, frozen, test) = (&case.study, &case.frozen, &case.split.test);
    let x = frozen.entering(study, test);
    let (model, _) = case.trained(Method::Gated);
    let wrong = study.wrong(test, 1).expect("metadata");
    let recorded = study.metadata(test).expect("metadata");
    let [at_0, at_1] = [0.0, 1.0].map(|mu| {
        [&recorded, &wrong].map(|of| values(model.features(frozen, x.clone(), model.gates(of, mu), 1.0)))
    });
    assert_ne!(at_1[0], at_1[1], "the gate ignores a place that is 1000 km off");
    assert_eq!(at_0[0], at_0[1]);
}

#[test]
fn plain_lora_in_burns_ops_has_the_losses_of_the_kernels() {
    let case = case();
    let [ours, theirs] = [Method::Lora, Method::LoraInBurn].map(|method| case.trained(method).1);
    for (step, (one, other)) in ours.iter().zip(&theirs).enumerate() {
        assert!((one - other).abs() <= 1e-3 * other, "step {step}: {one} and {other}");
    }
}
