//! An adapter's step and an encoding by gtca's kernels, and the same in Burn's own ops: one device, one run, fusion on.
//!
//! `cargo bench -p gtca-burn --bench step -- --repeats 15 --job PART --commit ID --note TEXT` prints one JSON object a line: the run, then a
//! job of ours and Burn's in turn, repeat by repeat, so that a busy machine disturbs both. Times run from the first op to an idle
//! device. `cpu_ms`: the least processor time of this process, which on a software adapter is the work itself.

mod clock;

use burn::module::Param;
use burn::tensor::{Device, Int, Tensor, TensorData};
use clock::cpu_ms;
use gtca::encode::{Block, Order, Plan, Source, Wave, Waves};
use gtca::gpu::Gpu;
use gtca::lora::LoraDesc;
use gtca::records::{Record, Records};
use gtca_burn::encode::{MetadataEncoder, upload};
use gtca_burn::lora::{Apply, GatedLora};
use std::time::Instant;

const SAMPLES: usize = 32;
const TOKENS: usize = 256;
const WIDTH: usize = 768;
const RANK: usize = 16;
const RECORDS: usize = 65_536;
const FREQUENCIES: usize = 64;

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` runs this too; there is nothing to test.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let value = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1))
    };
    let text = |name: &str| serde_json::Value::from(value(name).map_or("", String::as_str));
    let repeats = value("--repeats").and_then(|text| text.parse().ok()).unwrap_or(15).max(1);
    let (device, setup) = Device::wgpu_options().init_with_setup().expect("a wgpu device");
    let gpu = Gpu::adopt(setup.device, setup.queue);
    let run = serde_json::json!({
        "job": "run", "adapter": gpu.info().name, "driver": gpu.info().driver_info, "commit": text("--commit"),
        "note": text("--note"), "repeats": repeats, "autotune": cfg!(feature = "autotune"),
    });
    println!("{run}");
    let wanted = value("--job").map_or("", String::as_str);
    let jobs: [(&str, &str, Make); 3] = [
        ("adapter_step", "32x256x768,r=16", adapter),
        ("adapter_forward", "32x256x768,r=16", inference),
        ("encode", "65536x512", encoding),
    ];
    for (name, shape, job) in jobs.into_iter().filter(|(name, ..)| name.contains(wanted)) {
        let [ours, theirs] = job(&gpu, &device);
        compare(name, shape, repeats, &device, ours, theirs);
    }
}

/// What is timed; its results, to compare, and alive until the device is idle, so that nothing may be left out.
type Job = Box<dyn FnMut() -> Vec<Tensor<1>>>;

/// Ours and Burn's, with their tensors.
type Make = fn(&Gpu, &Device) -> [Job; 2];

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn compare(name: &str, shape: &str, repeats: usize, device: &Device, mut ours: Job, mut theirs: Job) {
    for (mine, other) in ours().into_iter().zip(theirs()) {
        let [mine, other] = [mine, other].map(|result| result.into_data().try_to_vec::<f32>().expect("f32"));
        let largest = other.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let apart = mine.iter().zip(&other).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(apart <= 1e-3 * largest, "{name}: results lie {apart} apart, the largest is {largest}");
    }
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..repeats + 2 {
        times[0].push(once(device, &mut ours));
        times[1].push(once(device, &mut theirs));
    }
    let [ours, theirs] = times.map(|times| {
        let (mut wall, mut cpu): (Vec<f64>, Vec<f64>) = times.into_iter().skip(2).unzip();
        wall.sort_by(f64::total_cmp);
        cpu.sort_by(f64::total_cmp);
        [wall[wall.len() / 2], wall[0], cpu[0]]
    });
    let row = |by: &str, [median, min, cpu]: [f64; 3]| {
        let row = serde_json::json!({
            "job": name, "by": by, "shape": shape, "median_ms": median, "min_ms": min, "cpu_ms": cpu,
        });
        println!("{row}");
    };
    row("gtca", ours);
    row("burn", theirs);
    let ratio = serde_json::json!({
        "job": name, "by": "burn/gtca", "shape": shape, "median": theirs[0] / ours[0], "min": theirs[1] / ours[1],
        "cpu": theirs[2] / ours[2],
    });
    println!("{ratio}");
}

/// Milliseconds by the clock and of processor time.
fn once(device: &Device, job: &mut Job) -> (f64, f64) {
    device.sync().expect("the device is alive");
    let (start, cpu) = (Instant::now(), cpu_ms());
    let result = job();
    device.sync().expect("the device is alive");
    let times = (start.elapsed().as_secs_f64() * 1e3, cpu_ms() - cpu);
    drop(result);
    times
}

fn numbers<const D: usize>(seed: u32, shape: [usize; D], device: &Device) -> Tensor<D> {
    let count = shape.iter().product::<usize>() as u32;
    let number = |i: u32| i.wrapping_add(seed).wrapping_mul(2_654_435_761) as f32 / 2_147_483_648.0 - 1.0;
    Tensor::from_data(TensorData::new((0..count).map(number).collect::<Vec<_>>(), shape), device)
}

/// Inputs, weights and gates of the adapter.
struct Parts {
    adapter: GatedLora,
    x: Tensor<3>,
    y: Tensor<3>,
    gates: Tensor<3>,
}

impl Parts {
    fn new(gpu: &Gpu, device: &Device) -> Self {
        let [inputs, outputs, rank] = [WIDTH, WIDTH, RANK].map(|n| n as u32);
        let desc = LoraDesc { inputs, outputs, rank, alpha: 16.0, ..Default::default() };
        let mut adapter = GatedLora::new(gpu, &desc, device).expect("an adapter");
        adapter.a = Param::from_tensor(numbers(0, [RANK, WIDTH], device) * 0.05);
        adapter.b_t = Param::from_tensor(numbers(1, [RANK, WIDTH], device) * 0.1);
        Self {
            adapter,
            x: numbers(2, [SAMPLES, TOKENS, WIDTH], device),
            y: numbers(3, [SAMPLES, TOKENS, WIDTH], device),
            gates: numbers(4, [SAMPLES, 1, RANK], device) * 0.5 + 1.0,
        }
    }

    fn ours(&self) -> Tensor<3> {
        let apply = Apply { gates: Some(self.gates.clone()), ..Default::default() };
        self.adapter.forward(self.x.clone(), self.y.clone(), apply)
    }

    /// The same in Burn's ops: the forms of its own `Linear`.
    fn theirs(&self) -> Tensor<3> {
        let (a, b_t) = (self.adapter.a.val(), self.adapter.b_t.val());
        let rows = self.x.clone().reshape([SAMPLES * TOKENS, WIDTH]);
        let h = rows.matmul(a.transpose()).reshape([SAMPLES, TOKENS, RANK]) * self.gates.clone();
        let injected = h.reshape([SAMPLES * TOKENS, RANK]).matmul(b_t).reshape([SAMPLES, TOKENS, WIDTH]);
        self.y.clone() + injected * self.adapter.scale()
    }
}

/// Forward, and backward to x, y, A, B and gates from a gradient of ones.
fn adapter(gpu: &Gpu, device: &Device) -> [Job; 2] {
    let device = device.clone().autodiff();
    [Parts::ours as fn(&Parts) -> Tensor<3>, Parts::theirs].map(|forward| {
        let mut parts = Parts::new(gpu, &device);
        parts.x = parts.x.require_grad();
        parts.y = parts.y.require_grad();
        parts.gates = parts.gates.detach().require_grad();
        Box::new(move || {
            let grads = forward(&parts).backward();
            let [x, y, gates] = [&parts.x, &parts.y, &parts.gates]
                .map(|of| of.grad(&grads).expect("a gradient").flatten(0, 2));
            let [a, b_t] = [&parts.adapter.a, &parts.adapter.b_t]
                .map(|of| of.val().grad(&grads).expect("a gradient").flatten(0, 1));
            vec![x, y, gates, a, b_t]
        }) as Job
    })
}

/// Forward alone, without gradients.
fn inference(gpu: &Gpu, device: &Device) -> [Job; 2] {
    [Parts::ours as fn(&Parts) -> Tensor<3>, Parts::theirs].map(|forward| {
        let parts = Parts::new(gpu, device);
        Box::new(move || vec![forward(&parts).flatten(0, 2)]) as Job
    })
}

/// Frequencies 10000^(−i/64) in radians a unit, as transformers use them.
fn frequency(i: usize) -> f64 {
    1e4f64.powf(-(i as f64) / FREQUENCIES as f64)
}

/// Latitude, longitude, year and GSD × 64 frequencies × (sin, cos).
fn encoding(gpu: &Gpu, device: &Device) -> [Job; 2] {
    let ladder = |source| {
        let wave = |i| Wave::new(source, frequency(i) / std::f64::consts::TAU);
        let waves = Waves::new().ladder(Order::Split, 1.0, (0..FREQUENCIES).map(wave));
        Block::Waves { name: "ladder", waves, validity: false }
    };
    let plan =
        Plan::new(&[Source::LatDeg, Source::LonDeg, Source::Year, Source::GsdM].map(ladder)).expect("a plan");
    let share = |i: u32, step: u32| f64::from(i.wrapping_mul(step)) / 4_294_967_296.0;
    let row = |i: u32| {
        let [lat, lon] = [180.0 * share(i, 2_654_435_761) - 90.0, 360.0 * share(i, 3_266_489_917) - 180.0];
        [lat, lon, f64::from(2000 + i % 25), 10.0 + 50.0 * share(i, 668_265_263)]
    };
    let rows: Vec<[f64; 4]> = (0..RECORDS as u32).map(row).collect();
    let record = |[lat, lon, year, gsd]: &[f64; 4]| {
        Record::new().lat_deg(*lat).lon_deg(*lon).date(*year as i32, 6, 15).gsd_m(*gsd)
    };
    let records = Records::from_records(&rows.iter().map(record).collect::<Vec<_>>()).expect("records");
    let encoder = MetadataEncoder::new(gpu, plan, device).expect("an encoder");
    let records: Tensor<2, Int> = upload(&records, device);
    let ours = move || vec![encoder.forward(records.clone()).flatten(0, 1)];

    let values: Vec<f32> = rows.iter().flatten().map(|value| *value as f32).collect();
    let values: Tensor<3> = Tensor::from_data(TensorData::new(values, [RECORDS, 4, 1]), device);
    let frequencies: Vec<f32> = (0..FREQUENCIES).map(|i| frequency(i) as f32).collect();
    let frequencies: Tensor<3> = Tensor::from_data(TensorData::new(frequencies, [1, 1, FREQUENCIES]), device);
    let theirs = move || {
        let angles = values.clone() * frequencies.clone();
        vec![Tensor::cat(vec![angles.clone().sin(), angles.cos()], 2).flatten(0, 2)]
    };
    [Box::new(ours), Box::new(theirs)]
}
