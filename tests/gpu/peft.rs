//! PEFT's adapters on the device, and a gate beside them in one file.

use crate::support::*;
use gtca::Error;
use gtca::adapter::peft::{PeftAdapter, Problem};
use gtca::adapter::{AdapterDesc, GateKind, GtcaAdapter, LayerDesc};
use gtca::encode::{Block, Plan};
use gtca::gpu::{Gpu, Knob};
use gtca::lora::Lora;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/peft").join(case)
}

fn plan() -> Plan {
    Plan::new(&[Block::Season]).unwrap()
}

fn adapter_of(gpu: &Gpu, peft: &PeftAdapter) -> GtcaAdapter {
    let adapter = GtcaAdapter::new(gpu, plan(), &AdapterDesc::of_peft(peft), 3).unwrap();
    adapter.load_peft(peft).unwrap();
    adapter
}

fn values(gpu: &Gpu, adapter: &GtcaAdapter) -> Vec<f32> {
    pollster::block_on(gpu.read_f32(&adapter.values())).unwrap()
}

/// An adapter with every parameter random, gates far from 1.
fn random(gpu: &Gpu, desc: &AdapterDesc) -> GtcaAdapter {
    let adapter = GtcaAdapter::new(gpu, plan(), desc, 3).unwrap();
    let mut values = vec![0.0; adapter.values().width() as usize];
    let mut random = Random(11);
    for parameter in adapter.parameters() {
        values[parameter.start as usize..][..parameter.len()].copy_from_slice(&random.f32s(parameter.len()));
    }
    adapter.set_values(&values).unwrap();
    adapter
}

/// What the adapter adds at a layer to rows of `x` without metadata.
fn injected(gpu: &'static Gpu, adapter: &GtcaAdapter, layer: usize, x: &[f32], y: &[f32]) -> Vec<f32> {
    let LayerDesc { inputs, outputs, .. } = adapter.desc().layers[layer];
    let rows = x.len() as u32 / inputs;
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let (x, y) = (t.f32([rows, 1, inputs], x), t.f32([rows, 1, outputs], y));
    let validity = t.f32([rows, 1, 1], &vec![0.0; rows as usize]);
    let tape = adapter.tape(rows, 1);
    t.run(|recorder| {
        adapter.condition_on_nothing(recorder, &tape, t.view(validity))?;
        adapter.inject(recorder, layer, &tape, t.view(x), t.view(y), Knob::Host(1.0))
    })
    .unwrap();
    t.read(y)
}

#[test]
fn an_adapter_of_pefts_injects_what_peft_computed() {
    let Some(gpu) = gpu() else { return };
    for case in ["plain", "patterns", "layers", "f16", "bf16"] {
        let peft = PeftAdapter::load(&golden(case)).unwrap();
        let adapter = adapter_of(gpu, &peft);
        let bytes = std::fs::read(golden(case).join("forward.safetensors")).unwrap();
        let forward = SafeTensors::deserialize(&bytes).unwrap();
        for (l, layer) in peft.layers().iter().enumerate() {
            let of = |part: &str| -> Vec<f32> {
                let name = format!("{}.{part}", layer.module);
                bytemuck::pod_collect_to_vec(forward.tensor(&name).unwrap().data())
            };
            let (x, base, y) = (of("x"), of("base"), of("y"));
            let found = injected(gpu, &adapter, l, &x, &base);
            // Twice: theirs and ours are both sums in f32.
            let (inputs, outputs) = (layer.desc.inputs as usize, layer.desc.outputs as usize);
            let scale = f64::from(Lora::new(&layer.desc).unwrap().scale());
            let magnitude = |i: usize| {
                let row = &x[i / outputs * inputs..][..inputs];
                let ranks = layer.a.chunks_exact(inputs).zip(layer.b_t.chunks_exact(outputs));
                let of_rank = |(a, b): (&[f32], &[f32])| {
                    let h: f64 = a.iter().zip(row).map(|(a, x)| f64::from(a * x).abs()).sum();
                    h * scale * f64::from(b[i % outputs].abs())
                };
                ranks.map(of_rank).sum::<f64>() + f64::from(base[i].abs())
            };
            let bounds: Vec<_> = (0..y.len()).map(|i| 2.0 * sum_bound(inputs + 8, magnitude(i))).collect();
            assert_close(&format!("{case} {}", layer.module), &found, &wide(&y), &bounds);
        }
    }
}

#[test]
fn a_trained_gate_travels_in_pefts_file_and_comes_back_bit_for_bit() {
    let Some(gpu) = gpu() else { return };
    for (kind, case) in [(GateKind::Rank, "patterns"), (GateKind::Scalar, "plain")] {
        let mut peft = PeftAdapter::load(&golden(case)).unwrap();
        let desc = AdapterDesc { hidden: 5, gate: kind, ..AdapterDesc::of_peft(&peft) };
        let adapter = random(gpu, &desc);
        let parameters = values(gpu, &adapter);
        adapter.load_peft(&peft).unwrap();
        let with_layers = values(gpu, &adapter);
        let gate_ends = adapter.parameters().find(|p| p.name.starts_with("layers")).unwrap().start as usize;
        assert_same_bits("the gate stays", &with_layers[..gate_ends], &parameters[..gate_ends]);
        pollster::block_on(adapter.save_peft(&mut peft)).unwrap();
        let names: Vec<_> = peft.gate().iter().map(|tensor| &tensor.name[..]).collect();
        assert!(names.contains(&"gate.w1") && names.contains(&"gate.null"), "{names:?}");
        let weights = peft.weights().unwrap();
        if let Some(out) = std::env::var_os("GTCA_PEFT_OUT") {
            peft.save(&Path::new(&out).join(format!("{case}-gated"))).unwrap();
        }
        let again = PeftAdapter::parse(&peft.config_text().unwrap(), &weights).unwrap();
        let found = AdapterDesc::of_peft(&again);
        assert_eq!((found.gate, found.hidden, &found.layers), (kind, 5, &desc.layers));
        assert_same_bits("all", &values(gpu, &adapter_of(gpu, &again)), &with_layers);
    }
}

#[test]
fn without_metadata_a_trained_adapter_is_plain_lora() {
    let Some(gpu) = gpu() else { return };
    for kind in [GateKind::Rank, GateKind::Scalar] {
        let layers = vec![
            LayerDesc { inputs: 7, outputs: 5, rank: 3, alpha: None },
            LayerDesc { inputs: 5, outputs: 6, rank: 2, alpha: Some(9.0) },
        ];
        let desc = AdapterDesc { layers, hidden: 4, alpha: 2.0, gate: kind, ..Default::default() };
        let trained = random(gpu, &desc);
        let mut peft = desc.peft(&["a.q", "a.fc"]).unwrap();
        pollster::block_on(trained.save_peft(&mut peft)).unwrap();
        let plain = peft.without_metadata().unwrap();
        assert!(plain.gate().is_empty());
        assert!(plain.without_metadata().is_err());
        // A fresh gate is 1 everywhere.
        let ungated = adapter_of(gpu, &plain);
        for (layer, of) in desc.layers.iter().enumerate() {
            let x = Random(5).f32s(4 * of.inputs as usize);
            let zeros = vec![0.0; 4 * of.outputs as usize];
            let expected = wide(&injected(gpu, &trained, layer, &x, &zeros));
            let found = injected(gpu, &ungated, layer, &x, &zeros);
            assert_near("y", &found, &expected, 1e-5);
            assert!(found.iter().any(|y| y.abs() > 0.1));
        }
    }
}

#[test]
fn an_adapter_of_other_layers_or_another_gate_is_refused_and_nothing_is_replaced() {
    let Some(gpu) = gpu() else { return };
    let peft = PeftAdapter::load(&golden("plain")).unwrap();
    let other = random(gpu, &AdapterDesc::of_peft(&PeftAdapter::load(&golden("f16")).unwrap()));
    let before = values(gpu, &other);
    let refused = other.load_peft(&peft).unwrap_err().to_string();
    assert!(refused.contains("AdapterDesc::of_peft"), "{refused}");
    let desc = AdapterDesc { hidden: 5, ..AdapterDesc::of_peft(&peft) };
    let mut gated = peft.clone();
    pollster::block_on(random(gpu, &desc).save_peft(&mut gated)).unwrap();
    let narrow = random(gpu, &AdapterDesc { hidden: 4, ..desc });
    let narrow_before = values(gpu, &narrow);
    let refused = narrow.load_peft(&gated).unwrap_err();
    assert!(matches!(refused, Error::Peft { problem: Problem::Shape { .. }, .. }), "{refused}");
    assert_same_bits("other", &values(gpu, &other), &before);
    assert_same_bits("narrow", &values(gpu, &narrow), &narrow_before);
    assert!(AdapterDesc::of_peft(&peft).peft(&["q"]).is_err());
}
