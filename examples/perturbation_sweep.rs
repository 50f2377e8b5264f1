//! How far a model's predictions move when its metadata are wrong: K perturbations, one forward pass.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use gtca::adapter::{AdapterDesc, Condition, GtcaAdapter, LayerDesc};
use gtca::gpu::{Dtype, Gpu, Knob, Mode, OpenOptions, View};
use gtca::linear::{Forward, Linear, LinearDesc};
use gtca::perturb::{self, Bearing, Distance, Perturb, PerturbDesc, Perturbation};
use gtca::records::{Fields, RECORD_WORDS, Record, Records};
use gtca::sensitivity::{Factored, Probe, ProbeDesc};
use gtca::{Error, common::rng, encode, gate::Mu};

const SAMPLES: u32 = 2048;
const WIDTH: u32 = 32;
const RANK: u32 = 8;
const CLASSES: u32 = 5;

fn uniform(stream: u32, count: u32) -> Vec<f32> {
    (0..count).map(|i| 2.0 * rng::uniform01(rng::draw4(7, stream, i.into(), 0, 0)[0]) - 1.0).collect()
}

async fn sweep(gpu: &Gpu) -> Result<(), Error> {
    let bearing = Bearing::Random;
    let wrong = [
        ("10 km", Perturbation::Displace { distance: Distance::Km(10.0), bearing }),
        ("1000 km", Perturbation::Displace { distance: Distance::Km(1000.0), bearing }),
        ("+6 months", Perturbation::ShiftMonths { months: 6 }),
        ("missing", Perturbation::Drop { fields: Fields::METADATA }),
    ];
    // Places and dates; features x of the adapted layer, which is the last, and the logits without the adapter.
    let place = |(n, at): (u64, &[f32])| {
        let record = Record::new().lat_deg(f64::from(70.0 * at[0])).lon_deg(f64::from(180.0 * at[1]));
        record.date(2020, (n % 12) as i32 + 1, 15).sample_id(n)
    };
    let places: Vec<Record> = (0..).zip(uniform(1, 2 * SAMPLES).chunks_exact(2)).map(place).collect();
    let records = gpu.upload("records", Records::from_records(&places)?.words());
    let lengths = [(3, SAMPLES * WIDTH), (4, SAMPLES * CLASSES), (5, CLASSES * WIDTH)];
    let [x, base, head] = lengths.map(|(n, len)| gpu.upload("values", &uniform(n, len)));
    // An adapter as training would leave it; here every parameter is drawn.
    let layers = vec![LayerDesc { inputs: WIDTH, outputs: WIDTH, rank: RANK, alpha: None }];
    let desc = AdapterDesc { layers, hidden: 32, alpha: 8.0, ..Default::default() };
    let adapter = GtcaAdapter::new(gpu, encode::Plan::gtca(&encode::IdTables::default())?, &desc, 42)?;
    adapter.set_values(&uniform(6, adapter.values().width()).iter().map(|v| 0.3 * v).collect::<Vec<_>>())?;
    let tensor = |name| adapter.parameters().find(|p| p.name == name).map(|p| adapter.value(p));
    let (Some(a), Some(b_t)) = (tensor("layers.0.a"), tensor("layers.0.b_t")) else { return Ok(()) };
    let lengths = [RECORD_WORDS * SAMPLES, SAMPLES, SAMPLES * RANK, RANK * CLASSES];
    let [moved, v, hidden, map] = lengths.map(|len| gpu.zeros("scratch", u64::from(len) * 4));
    let valid = gpu.upload("validity", &[1.0_f32; SAMPLES as usize]);
    let batch = |buffer| View::matrix(buffer, RECORD_WORDS, SAMPLES).of(Dtype::U32);
    let (records, moved, v) = (batch(&records), batch(&moved), View::matrix(&v, SAMPLES, 1));
    let (hidden, map) = (View::matrix(&hidden, SAMPLES, RANK), View::matrix(&map, RANK, CLASSES));
    let [as_recorded, perturbed] = [(); 2].map(|()| adapter.tape(SAMPLES, 1));
    let probe = Probe::new(&ProbeDesc { classes: CLASSES, groups: 1, perturbations: wrong.len() as u32 })?;
    let (sums, mut encoder) = (probe.sums(gpu), gpu.encoder());
    let mut recorder = gpu.recorder(&mut encoder);
    // What all perturbations share: h = x·Aᵀ, and B_t and the head as one small map.
    let linear = |inputs, outputs| Linear::new(&LinearDesc { inputs, outputs, ..Default::default() });
    let product = |x, weight, y| Forward { x, weight, bias: None, pre: None, y };
    linear(WIDTH, RANK)?.forward(&mut recorder, &product(View::matrix(&x, SAMPLES, WIDTH), a, hidden))?;
    linear(WIDTH, CLASSES)?
        .forward(&mut recorder, &product(b_t, View::matrix(&head, CLASSES, WIDTH), map))?;
    let (validity, mu) = (View::matrix(&valid, SAMPLES, 1), Mu::Knob(Knob::Host(1.0)));
    adapter.condition(&mut recorder, &as_recorded, &Condition { records, validity, mu })?;
    // What each has of its own: records, their gates, and how far the logits move.
    for (k, &(_, perturbation)) in (0..).zip(&wrong) {
        let args =
            perturb::Args { records, out: moved, v, donors: None, lookup: None, status: None, step: k };
        Perturb::new(&PerturbDesc { parts: &[perturbation], seed: 1 })?.record(&mut recorder, &args)?;
        adapter.condition(&mut recorder, &perturbed, &Condition { records: moved, validity: v, mu })?;
        let args = Factored {
            base: View::matrix(&base, SAMPLES, CLASSES),
            hidden,
            map,
            true_gates: View::tokens(as_recorded.gates().buffer, [1, SAMPLES, RANK]),
            gates: View::tokens(perturbed.gates().buffer, [1, SAMPLES, RANK]),
            lambda: Knob::Host(1.0),
            scale: 1.0,   // α/r
            labels: None, // known, they give accuracy, NLL, Brier score and calibration
            groups: None,
            per_sample: None,
            first_perturbation: k,
            sums: probe.view(&sums),
            mode: Mode::Accumulate,
        };
        probe.factored(&mut recorder, &args)?;
    }
    drop(recorder);
    gpu.submit(encoder)?;
    let table = probe.read(gpu, &probe.view(&sums)).await?;
    println!("{SAMPLES} samples on {gpu}\n            share of flips, mean KL (nat), mean total variation");
    for (k, (name, _)) in (0..).zip(&wrong) {
        let Some(moved) = table.overall(k) else { continue };
        let measures = [moved.flip_rate(), moved.kl().value(), moved.tv().value()];
        println!("{name:<10} {:>8.4?}", measures.map(Option::unwrap_or_default));
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    pollster::block_on(async { sweep(&Gpu::open(&OpenOptions::default()).await?).await })
}
