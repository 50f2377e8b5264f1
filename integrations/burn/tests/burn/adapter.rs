//! The whole adapter as a module.

use crate::support::{assert_close, random, training, values};
use burn::module::{Module, Param};
use burn::tensor::activation::{sigmoid, silu};
use burn::tensor::{Device, Int, Tensor};
use gtca::adapter::{AdapterDesc, GateKind, LayerDesc};
use gtca::encode::{IdTables, Plan};
use gtca::gpu::Gpu;
use gtca::records::{Record, Records};
use gtca_burn::adapter::GtcaAdapter;
use gtca_burn::encode::upload;

const SAMPLES: usize = 6;
const TOKENS: usize = 9;

fn layers() -> Vec<LayerDesc> {
    vec![
        LayerDesc { inputs: 24, outputs: 16, rank: 4, alpha: None },
        LayerDesc { inputs: 16, outputs: 30, rank: 7, alpha: Some(5.0) },
        LayerDesc { inputs: 30, outputs: 24, rank: 2, alpha: None },
    ]
}

/// An adapter whose parameters are all random: a zero one would hide the gradients of others.
fn adapter(gpu: &Gpu, gate: GateKind, device: &Device) -> GtcaAdapter {
    let plan = Plan::gtca(&IdTables { sensor: 4, ..Default::default() }).expect("a plan");
    let desc = AdapterDesc { layers: layers(), hidden: 12, alpha: 3.0, gate, ..Default::default() };
    let mut adapter = GtcaAdapter::new(gpu, plan, &desc, device).expect("an adapter");
    let mut stream = 40;
    let mut randomise = |parameter: &mut Param<Tensor<2>>| {
        stream += 1;
        *parameter = Param::from_tensor(random(stream, parameter.val().dims(), device));
    };
    randomise(&mut adapter.logits.weight);
    for layer in &mut adapter.layers {
        randomise(&mut layer.b_t);
    }
    adapter.null_logits = Param::from_tensor(random(60, adapter.null_logits.val().dims(), device));
    adapter
}

fn records(device: &Device) -> Tensor<2, Int> {
    let one = |i: usize| Record::new().lat_deg(10.0 * i as f64).lon_deg(-7.0 * i as f64).sensor(i as u32 % 4);
    upload(&Records::from_records(&(0..SAMPLES).map(one).collect::<Vec<_>>()).expect("records"), device)
}

/// All but the last sample have metadata.
fn validity(device: &Device) -> Tensor<2> {
    let valid: Vec<f32> = (0..SAMPLES).map(|i| if i + 1 < SAMPLES { 1.0 } else { 0.0 }).collect();
    Tensor::<1>::from_floats(valid.as_slice(), device).reshape([SAMPLES, 1])
}

/// A frozen chain of linear layers that the adapter changes.
fn frozen(layer: usize, x: Tensor<3>) -> Tensor<3> {
    let LayerDesc { inputs, outputs, .. } = layers()[layer];
    let weight = random::<2>(70 + layer as u32, [inputs as usize, outputs as usize], &x.device()) * 0.2;
    x.matmul(weight.unsqueeze())
}

fn ours(adapter: &GtcaAdapter, x: Tensor<3>, mu: f32) -> Tensor<3> {
    let gates = adapter.condition(records(&x.device()), validity(&x.device()), mu);
    (0..3).fold(x, |x, layer| {
        let y = frozen(layer, x.clone());
        adapter.inject(layer, x, y, gates.clone(), 0.5)
    })
}

/// The same in Burn's own ops, from the features on.
fn theirs(adapter: &GtcaAdapter, x: Tensor<3>, mu: f32) -> Tensor<3> {
    let device = x.device();
    let features = adapter.encoder.forward(records(&device));
    let logits = adapter.logits.forward(silu(adapter.hidden.forward(features)));
    let null = sigmoid(adapter.null_logits.val().unsqueeze::<2>()) * 2.0;
    let gates = null.clone() + (sigmoid(logits) * 2.0 - null) * (validity(&device) * mu);
    let mut start = 0;
    (0..3).fold(x, |x, layer| {
        let (a, b_t) = (adapter.layers[layer].a.val(), adapter.layers[layer].b_t.val());
        let width = gates.dims()[1];
        let of_layer = if width == 3 { 1 } else { a.dims()[0] };
        let gate = gates.clone().narrow(1, start, of_layer).unsqueeze_dim::<3>(1);
        start += of_layer;
        let h = x.clone().matmul(a.transpose().unsqueeze()) * gate;
        frozen(layer, x) + h.matmul(b_t.unsqueeze()) * (0.5 * adapter.layers[layer].scale())
    })
}

#[test]
fn the_adapter_and_the_gradient_of_every_parameter_equal_those_of_burns_own_ops() {
    let (device, gpu) = training();
    for gate in [GateKind::Rank, GateKind::Scalar] {
        let adapter = adapter(&gpu, gate, &device);
        let x = random::<3>(1, [SAMPLES, TOKENS, 24], &device).require_grad();
        let weights = random::<3>(2, [SAMPLES, TOKENS, 24], &device);
        let outputs = [ours(&adapter, x.clone(), 0.75), theirs(&adapter, x.clone(), 0.75)];
        let [a, b] = outputs.clone();
        assert_close("y", 256, a, b);
        let [ours, theirs] = outputs.map(|out| (out * weights.clone()).sum().backward());
        let mut matrices = vec![
            ("hidden weight".to_owned(), adapter.hidden.weight.val()),
            ("logits weight".to_owned(), adapter.logits.weight.val()),
        ];
        for (i, layer) in adapter.layers.iter().enumerate() {
            matrices.push((format!("A of layer {i}"), layer.a.val()));
            matrices.push((format!("B of layer {i}"), layer.b_t.val()));
        }
        for (name, of) in matrices {
            let [a, b] = [&ours, &theirs].map(|grads| of.grad(grads).expect("a gradient"));
            assert_close(&name, 1024, a, b);
        }
        let arena = adapter.encoder.arena.as_ref().expect("learned parameters").val();
        for (name, of) in [("null logits", adapter.null_logits.val()), ("arena", arena)] {
            let [a, b] = [&ours, &theirs].map(|grads| of.grad(grads).expect("a gradient"));
            assert_close(name, 1024, a, b);
        }
        let [a, b] = [&ours, &theirs].map(|grads| x.grad(grads).expect("a gradient"));
        assert_close("x", 256, a, b);
    }
}

#[test]
fn a_new_adapter_changes_nothing_and_nothing_known_is_as_all_dropped() {
    let (device, gpu) = training();
    let plan = Plan::gtca(&IdTables::default()).expect("a plan");
    let new = GtcaAdapter::new(&gpu, plan, &AdapterDesc { layers: layers(), ..Default::default() }, &device);
    let x = random::<3>(1, [SAMPLES, TOKENS, 24], &device);
    let frozen_alone = (0..3).fold(x.clone(), |x, layer| frozen(layer, x));
    assert_eq!(values(ours(&new.expect("an adapter"), x, 1.0)), values(frozen_alone));

    let adapter = adapter(&gpu, GateKind::Rank, &device);
    let dropped = adapter.condition(records(&device), Tensor::zeros([SAMPLES, 1], &device), 1.0);
    assert_eq!(values(adapter.condition_on_nothing(SAMPLES)), values(dropped));
}

#[test]
fn a_record_of_the_module_restores_every_parameter() {
    let (device, gpu) = training();
    let saved = adapter(&gpu, GateKind::Rank, &device);
    let plan = Plan::gtca(&IdTables { sensor: 4, ..Default::default() }).expect("a plan");
    let desc = AdapterDesc { layers: layers(), hidden: 12, alpha: 3.0, ..Default::default() };
    let fresh = GtcaAdapter::new(&gpu, plan, &desc, &device).expect("an adapter");
    let x = random::<3>(1, [SAMPLES, TOKENS, 24], &device);
    let expected = values(ours(&saved, x.clone(), 1.0));
    assert_ne!(values(ours(&fresh, x.clone(), 1.0)), expected);
    let restored = fresh.load_record(saved.into_record());
    assert_eq!(values(ours(&restored, x, 1.0)), expected);
}
