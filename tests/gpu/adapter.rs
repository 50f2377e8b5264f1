//! The composed adapter against an f64 reference of the whole, its files and its off positions.

use crate::support::*;
use gtca::adapter::{AdapterDesc, BackwardLayer, Condition, GateKind, GtcaAdapter, LayerDesc, Tape};
use gtca::encode::{Block, Plan};
use gtca::gate::Mu;
use gtca::gpu::{Dtype, Gpu, Knob, Mode, View};
use gtca::records::{Field, RECORD_WORDS, Record, Records};

const SAMPLES: usize = 5;
const TOKENS: usize = 2;
const HIDDEN: usize = 6;
const MU: f32 = 0.75;
const LAMBDA: f32 = 1.5;
/// The second has an α of its own.
const LAYERS: [LayerDesc; 2] = [
    LayerDesc { inputs: 5, outputs: 4, rank: 3, alpha: None },
    LayerDesc { inputs: 4, outputs: 6, rank: 2, alpha: Some(7.0) },
];

fn plan() -> Plan {
    Plan::new(&[Block::Season, Block::Id { field: Field::ClimateZone, rows: 4, width: 3 }]).unwrap()
}

fn desc(gate: GateKind) -> AdapterDesc {
    AdapterDesc { layers: LAYERS.to_vec(), hidden: HIDDEN as u32, alpha: 4.0, gate, ..Default::default() }
}

fn records() -> Records {
    let dated = Record::new().date(2020, 2, 29).climate_zone(1);
    let all = [dated, Record::new().date(2021, 7, 1), Record::new().climate_zone(3), Record::new(), dated];
    Records::from_records(&all).unwrap()
}

/// An adapter with random parameters, its inputs, and everything it computes.
struct Run {
    adapter: GtcaAdapter,
    values: Vec<f32>,
    x: [Vec<f32>; 2],
    dy: [Vec<f32>; 2],
    e: Vec<f32>,
    y: [Vec<f32>; 2],
    dx: [Vec<f32>; 2],
    gradients: Vec<f32>,
}

fn adapter(gpu: &Gpu, gate: GateKind) -> (GtcaAdapter, Vec<f32>) {
    let adapter = GtcaAdapter::new(gpu, plan(), &desc(gate), 7).unwrap();
    let mut random = Random(99);
    let mut values = vec![0.0; adapter.values().width() as usize];
    for parameter in adapter.parameters() {
        let drawn = random.f32s(parameter.len());
        values[parameter.start as usize..][..parameter.len()].copy_from_slice(&drawn);
    }
    adapter.set_values(&values).unwrap();
    (adapter, values)
}

fn condition<'a>(t: &'a Tensors, records: Tensor, validity: Tensor) -> Condition<'a> {
    Condition { records: t.view(records), validity: t.view(validity), mu: Mu::Knob(Knob::Host(MU)) }
}

fn run(gpu: &'static Gpu, layout: Layout, gate: GateKind) -> Run {
    let (adapter, values) = adapter(gpu, gate);
    let mut random = Random(5);
    let mut t = Tensors::new(gpu, layout);
    let words = t.u32([RECORD_WORDS, 1, SAMPLES as u32], records().words());
    let validity = t.f32([SAMPLES as u32, 1, 1], &[1.0, 1.0, 1.0, 0.0, 1.0]);
    let shape = |width: u32| [SAMPLES as u32, TOKENS as u32, width];
    let mut data = |width: u32| random.f32s(SAMPLES * TOKENS * width as usize);
    let x = LAYERS.map(|layer| data(layer.inputs));
    let dy = LAYERS.map(|layer| data(layer.outputs));
    let xs = [0, 1].map(|l| t.f32(shape(LAYERS[l].inputs), &x[l]));
    let dys = [0, 1].map(|l| t.f32(shape(LAYERS[l].outputs), &dy[l]));
    let zeros = |n: u32| vec![0.0; SAMPLES * TOKENS * n as usize];
    let ys = [0, 1].map(|l| t.f32(shape(LAYERS[l].outputs), &zeros(LAYERS[l].outputs)));
    let dxs = [0, 1].map(|l| t.f32(shape(LAYERS[l].inputs), &zeros(LAYERS[l].inputs)));
    let tape = adapter.tape(SAMPLES as u32, TOKENS as u32);
    let condition = condition(&t, words, validity);
    t.run(|recorder| {
        adapter.condition(recorder, &tape, &condition)?;
        for l in 0..2 {
            adapter.inject(recorder, l, &tape, t.view(xs[l]), t.view(ys[l]), Knob::Host(LAMBDA))?;
        }
        for l in [1, 0] {
            let (lambda, mode) = (Knob::Host(LAMBDA), Mode::Overwrite);
            let args = BackwardLayer {
                x: t.view(xs[l]),
                dy: t.view(dys[l]),
                dx: Some(t.view(dxs[l])),
                lambda,
                mode,
            };
            adapter.backward_layer(recorder, l, &tape, &args)?;
        }
        adapter.backward_condition(recorder, &tape, &condition, Mode::Overwrite)
    })
    .unwrap();
    let read = |view: View<'_>| pollster::block_on(gpu.read_f32(&view)).unwrap();
    let (e, gradients) = (read(tape.encoding()), read(adapter.gradients()));
    Run { values, x, dy, e, y: ys.map(|y| t.read(y)), dx: dxs.map(|dx| t.read(dx)), gradients, adapter }
}

/// The whole from e onwards, in f64, from the formulas: the deltas of both layers.
fn reference(run: &Run, values: &[f64], e: &[f64], x: &[Vec<f64>; 2], gate: GateKind) -> [Vec<f64>; 2] {
    let get = |name: &str| {
        let parameter = run.adapter.parameters().find(|p| p.name == name).unwrap();
        values[parameter.start as usize..][..parameter.len()].to_vec()
    };
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (w1, b1, w2, b2, null) =
        (get("gate.w1"), get("gate.b1"), get("gate.w2"), get("gate.b2"), get("gate.null"));
    let (features, gates) = (e.len() / SAMPLES, null.len());
    let gates_of = |s: usize| -> Vec<f64> {
        let e = &e[s * features..][..features];
        let z: Vec<f64> = (0..HIDDEN)
            .map(|j| b1[j] + dot(&w1[j * features..][..features], e))
            .map(|pre| pre * sigmoid(pre))
            .collect();
        let v = if s == 3 { 0.0 } else { 1.0 };
        (0..gates)
            .map(|j| {
                let of_metadata = 2.0 * sigmoid(b2[j] + dot(&w2[j * HIDDEN..][..HIDDEN], &z));
                let empty = 2.0 * sigmoid(null[j]);
                empty + f64::from(MU) * v * (of_metadata - empty)
            })
            .collect()
    };
    let gates: Vec<Vec<f64>> = (0..SAMPLES).map(gates_of).collect();
    [0, 1].map(|l| {
        let LayerDesc { inputs, outputs, rank, alpha } = LAYERS[l];
        let (inputs, outputs, rank) = (inputs as usize, outputs as usize, rank as usize);
        let (a, b_t) = (get(&format!("layers.{l}.a")), get(&format!("layers.{l}.b_t")));
        let before = if l == 0 {
            0
        } else if gate == GateKind::Rank {
            3
        } else {
            1
        };
        let scale = f64::from(LAMBDA * alpha.unwrap_or(4.0)) / rank as f64;
        let mut y = vec![0.0; SAMPLES * TOKENS * outputs];
        for row in 0..SAMPLES * TOKENS {
            for r in 0..rank {
                let g = gates[row / TOKENS][before + if gate == GateKind::Rank { r } else { 0 }];
                let h = dot(&x[l][row * inputs..][..inputs], &a[r * inputs..][..inputs]);
                (0..outputs).for_each(|o| y[row * outputs + o] += scale * h * g * b_t[r * outputs + o]);
            }
        }
        y
    })
}

fn objective(run: &Run, y: &[Vec<f64>; 2]) -> f64 {
    y.iter().zip(&run.dy).flat_map(|(y, dy)| y.iter().zip(dy)).map(|(y, &dy)| y * f64::from(dy)).sum()
}

#[test]
fn the_whole_matches_the_reference_with_every_gradient() {
    let Some(gpu) = gpu() else { return };
    for (layout, gate) in [(Layout::Separate, GateKind::Rank), (Layout::OneBuffer, GateKind::Scalar)] {
        let run = run(gpu, layout, gate);
        let (values, e, x) = (wide(&run.values), wide(&run.e), run.x.each_ref().map(|x| wide(x)));
        let expected = reference(&run, &values, &e, &x, gate);
        for l in 0..2 {
            // Sums of at most 12 products of numbers below 2, after a gate that carries 1e-6 of exp.
            assert_near("delta", &run.y[l], &expected[l], 1e-5);
            let of_x = |at: &[f64]| {
                let mut x = x.clone();
                x[l] = at.to_vec();
                objective(&run, &reference(&run, &values, &e, &x, gate))
            };
            assert_near("dx", &run.dx[l], &central_differences(&x[l], 1e-5, of_x), 2e-5);
        }
        let of_values = |values: &[f64]| objective(&run, &reference(&run, values, &e, &x, gate));
        let numeric = central_differences(&values, 1e-5, of_values);
        for parameter in run.adapter.parameters().filter(|p| p.name != "encoder.arena") {
            let range = parameter.start as usize..parameter.start as usize + parameter.len();
            assert_near(&parameter.name, &run.gradients[range.clone()], &numeric[range], 5e-5);
        }
    }
}

/// e of a flat buffer of values.
fn encoding(gpu: &'static Gpu, adapter: &GtcaAdapter, values: &[f32]) -> Vec<f64> {
    adapter.set_values(values).unwrap();
    let mut t = Tensors::new(gpu, Layout::Separate);
    let words = t.u32([RECORD_WORDS, 1, SAMPLES as u32], records().words());
    let validity = t.f32([SAMPLES as u32, 1, 1], &[1.0; SAMPLES]);
    let tape = adapter.tape(SAMPLES as u32, 1);
    t.run(|recorder| adapter.condition(recorder, &tape, &condition(&t, words, validity))).unwrap();
    wide(&pollster::block_on(gpu.read_f32(&tape.encoding())).unwrap())
}

#[test]
fn the_arena_s_gradient_matches_differences_through_the_encoder() {
    let Some(gpu) = gpu() else { return };
    let run = run(gpu, Layout::Separate, GateKind::Rank);
    let (values, x) = (wide(&run.values), run.x.each_ref().map(|x| wide(x)));
    let arena = run.adapter.parameters().find(|p| p.name == "encoder.arena").unwrap().clone();
    // e is linear in the arena; a step of 2⁻⁷ is exact enough in f32 and its square small enough in the difference.
    let h = 1.0 / 128.0;
    for i in (0..arena.len()).step_by(3) {
        let at = arena.start as usize + i;
        let side = |step: f32| {
            let mut moved = run.values.clone();
            moved[at] += step;
            objective(
                &run,
                &reference(&run, &values, &encoding(gpu, &run.adapter, &moved), &x, GateKind::Rank),
            )
        };
        let numeric = (side(h) - side(-h)) / f64::from(2.0 * h);
        assert_near("arena", &[run.gradients[at]], &[numeric], 1e-3);
    }
}

#[test]
fn a_fresh_adapter_changes_nothing_and_its_gates_are_one() {
    let Some(gpu) = gpu() else { return };
    let adapter = GtcaAdapter::new(gpu, plan(), &desc(GateKind::Rank), 3).unwrap();
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let words = t.u32([RECORD_WORDS, 1, SAMPLES as u32], records().words());
    let validity = t.f32([SAMPLES as u32, 1, 1], &[1.0; SAMPLES]);
    let rows = SAMPLES * TOKENS;
    let x = t.f32([SAMPLES as u32, TOKENS as u32, 5], &Random(1).f32s(rows * 5));
    let before: Vec<f32> =
        Random(2).f32s(rows * 4).into_iter().map(|v| if v > 0.9 { -0.0 } else { v }).collect();
    let y = t.f32([SAMPLES as u32, TOKENS as u32, 4], &before);
    let tape = adapter.tape(SAMPLES as u32, TOKENS as u32);
    t.run(|recorder| {
        adapter.condition(recorder, &tape, &condition(&t, words, validity))?;
        adapter.inject(recorder, 0, &tape, t.view(x), t.view(y), Knob::Host(1.0))
    })
    .unwrap();
    assert_same_bits("y", &t.read(y), &before);
    assert!(pollster::block_on(gpu.read_f32(&tape.gates())).unwrap().iter().all(|&g| g == 1.0));
}

#[test]
fn nothing_and_no_weight_and_no_validity_give_the_same_gates() {
    let Some(gpu) = gpu() else { return };
    let (adapter, _) = adapter(gpu, GateKind::Rank);
    let mut t = Tensors::new(gpu, Layout::Separate);
    let words = t.u32([RECORD_WORDS, 1, SAMPLES as u32], records().words());
    let [on, off] = [1.0, 0.0].map(|v| t.f32([SAMPLES as u32, 1, 1], &[v; SAMPLES]));
    let gates = |f: &dyn Fn(&mut gtca::gpu::Recorder<'_>, &Tape) -> Result<(), gtca::Error>| {
        let tape = adapter.tape(SAMPLES as u32, 1);
        t.run(|recorder| f(recorder, &tape)).unwrap();
        pollster::block_on(gpu.read_f32(&tape.gates())).unwrap()
    };
    let nothing = gates(&|recorder, tape| adapter.condition_on_nothing(recorder, tape, t.view(on)));
    let mu = Mu::Knob(Knob::Host(0.0));
    let no_weight = gates(&|recorder, tape| {
        adapter.condition(recorder, tape, &Condition { mu, ..condition(&t, words, on) })
    });
    let no_validity = gates(&|recorder, tape| adapter.condition(recorder, tape, &condition(&t, words, off)));
    assert_same_bits("μ = 0", &nothing, &no_weight);
    assert_same_bits("v = 0", &nothing, &no_validity);
}

#[test]
fn twenty_repeats_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let first = run(gpu, Layout::Separate, GateKind::Rank);
    for repeat in 0..20 {
        let again = run(gpu, LAYOUTS[repeat % 2], GateKind::Rank);
        assert_same_bits("gradients", &first.gradients, &again.gradients);
        (0..2).for_each(|l| assert_same_bits("y", &first.y[l], &again.y[l]));
    }
}

#[cfg(feature = "safetensors")]
#[test]
fn a_saved_adapter_comes_back_bit_for_bit_and_a_wrong_file_changes_nothing() {
    use gtca::{adapter::Numerics, lora::Family};
    let Some(gpu) = gpu() else { return };
    let (saved, values) = adapter(gpu, GateKind::Rank);
    let file = pollster::block_on(saved.save()).unwrap();
    let other = GtcaAdapter::new(gpu, plan(), &desc(GateKind::Rank), 8).unwrap();
    let read = |adapter: &GtcaAdapter| pollster::block_on(gpu.read_f32(&adapter.values())).unwrap();
    let before = read(&other);
    for (wrong, hint) in [(&file[..file.len() - 8], "adapter"), (b"not a file at all".as_slice(), "adapter")]
    {
        assert!(other.load(wrong).unwrap_err().to_string().contains(hint));
    }
    let scalar = GtcaAdapter::new(gpu, plan(), &desc(GateKind::Scalar), 8).unwrap();
    assert!(scalar.load(&file).unwrap_err().to_string().contains("gate.w2"));
    assert_same_bits("refused", &read(&other), &before);
    other.load(&file).unwrap();
    // The file tells whose bits its outputs had.
    let saved = Numerics::of_file(&file).unwrap();
    assert_eq!(saved, other.numerics().unwrap());
    let family = Some(Family::Threads);
    let tuned = GtcaAdapter::new(gpu, plan(), &AdapterDesc { family, ..desc(GateKind::Rank) }, 7).unwrap();
    let file = pollster::block_on(tuned.save()).unwrap();
    let told = Numerics::of_file(&file).unwrap();
    assert_eq!(told.variants, [Family::Threads; 2]);
    assert_eq!(told == saved, Family::of(gpu) == Family::Threads);
    other.load(&file).unwrap();
    other.set_values(&values).unwrap();
    assert_same_bits("loaded", &read(&other), &values);
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let message = |desc: AdapterDesc| GtcaAdapter::new(gpu, plan(), &desc, 0).unwrap_err().to_string();
    assert!(message(AdapterDesc::default()).contains("`layers`"));
    assert!(message(AdapterDesc { hidden: 0, ..desc(GateKind::Rank) }).contains("`"));
    let (adapter, _) = adapter(gpu, GateKind::Rank);
    let mut t = Tensors::new(gpu, Layout::Separate);
    let words = t.u32([RECORD_WORDS, 1, SAMPLES as u32], records().words());
    let validity = t.f32([SAMPLES as u32, 1, 1], &[1.0; SAMPLES]);
    let tape = adapter.tape(SAMPLES as u32, 1);
    let good = condition(&t, words, validity);
    let message = |args: Condition<'_>| {
        t.run(|recorder| adapter.condition(recorder, &tape, &args)).unwrap_err().to_string()
    };
    assert!(message(Condition { records: t.view(validity), ..good }).contains("`records`"));
    assert!(message(Condition { validity: t.view(words).of(Dtype::F32), ..good }).contains("`validity`"));
    assert!(message(Condition { mu: Mu::Knob(Knob::Host(f32::NAN)), ..good }).contains("mu"));
    assert!(adapter.set_values(&[0.0]).is_err());
    let inject = |layer| {
        t.run(|r| adapter.inject(r, layer, &tape, t.view(validity), t.view(validity), Knob::Host(1.0)))
    };
    assert!(inject(2).unwrap_err().to_string().contains("`layer`"));
}
