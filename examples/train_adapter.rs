//! Trains an adapter on generated images whose labels swap their meaning between summer and winter.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use gtca::adapter::{AdapterDesc, BackwardLayer, Condition, GtcaAdapter, LayerDesc};
use gtca::gpu::{Dtype, Gpu, Knob, Mode, OpenOptions, Recorder, View};
use gtca::linear::{Backward, Forward, Linear, LinearDesc};
use gtca::loss::{CrossEntropy, IGNORE, cross_entropy};
use gtca::optim::{AdamW, AdamWDesc, Slot};
use gtca::records::{RECORD_WORDS, Record, Records};
use gtca::{Error, common::rng, encode, gate::Mu};

const ROWS: u32 = 512; // images; the first half trains, the second tells the accuracy
const WIDTH: u32 = 16;
const CLASSES: u32 = 2;

fn uniform(stream: u32, count: u32) -> Vec<f32> {
    (0..count).map(|i| 2.0 * rng::uniform01(rng::draw4(7, stream, i.into(), 0, 0)[0]) - 1.0).collect()
}

async fn train(gpu: &Gpu) -> Result<(), Error> {
    // The label is the sign of an image's first feature; from October to March, the opposite.
    let x = uniform(1, ROWS * WIDTH);
    let months: Vec<_> = uniform(2, ROWS).iter().map(|u| (6.0 * (u + 1.0)) as i32 % 12 + 1).collect();
    let label = |(x, month): (&[f32], &i32)| u32::from((x[0] > 0.0) == (4..=9).contains(month));
    let truth: Vec<_> = x.chunks_exact(WIDTH as usize).zip(&months).map(label).collect();
    let record = |&month| Record::new().lat_deg(47.0).lon_deg(8.0).date(2024, month, 15);
    let records = Records::from_records(&months.iter().map(record).collect::<Vec<_>>())?;
    // A quarter of the training images has no metadata: the adapter has to do without, too.
    let half = ROWS as usize / 2;
    let valid: Vec<f32> = (0..ROWS).map(|i| if i < ROWS / 2 && i % 4 == 0 { 0.0 } else { 1.0 }).collect();
    let known = [&truth[..half], &vec![IGNORE; half]].concat();
    // The frozen model, y = x Wᵀ and logits = y Hᵀ, with an adapter at its first layer.
    let linear = |inputs, outputs| Linear::new(&LinearDesc { inputs, outputs, ..Default::default() });
    let (layer, head) = (linear(WIDTH, WIDTH)?, linear(WIDTH, CLASSES)?);
    let layers = vec![LayerDesc { inputs: WIDTH, outputs: WIDTH, rank: 4, alpha: None }];
    let desc = AdapterDesc { layers, hidden: 32, alpha: 4.0, ..Default::default() };
    let adapter = GtcaAdapter::new(gpu, encode::Plan::gtca(&encode::IdTables::default())?, &desc, 42)?;
    let (gradient, theta, tape) = (adapter.gradients(), adapter.values(), adapter.tape(ROWS, 1));
    let [m, v] = ["m", "v"].map(|moment| gpu.zeros(moment, u64::from(theta.width()) * 4));
    let [m, v] = [&m, &v].map(|moment| View::vector(moment, theta.width()));
    let optimiser = AdamW::new(&AdamWDesc::default())?;
    let values = [x, valid, uniform(3, WIDTH * WIDTH), uniform(4, CLASSES * WIDTH)];
    let [x, valid, w, h] = values.map(|values| gpu.upload("values", &values));
    let [known, words] = [&known, records.words()].map(|words| gpu.upload("words", words));
    let (x, validity) = (View::matrix(&x, ROWS, WIDTH), View::matrix(&valid, ROWS, 1));
    let (w, h) = (View::matrix(&w, WIDTH, WIDTH), View::matrix(&h, CLASSES, WIDTH));
    let records = View::matrix(&words, RECORD_WORDS, ROWS).of(Dtype::U32);
    let known = View::matrix(&known, ROWS, 1).of(Dtype::U32);
    let pass = [WIDTH, WIDTH, CLASSES, CLASSES, 1].map(|n| (gpu.zeros("pass", u64::from(ROWS * n) * 4), n));
    let [y, dy, logits, dz, loss] = pass.each_ref().map(|(buffer, n)| View::matrix(buffer, ROWS, *n));
    let loss = View::vector(loss.buffer, 1);
    let (mode, lambda, bias, pre) = (Mode::Overwrite, Knob::Host(1.0), None, None);
    let condition = |mu| Condition { records, validity, mu: Mu::Knob(Knob::Host(mu)) };
    let forward = |recorder: &mut Recorder<'_>, mu| {
        adapter.condition(recorder, &tape, &condition(mu))?;
        layer.forward(recorder, &Forward { x, weight: w, bias, pre, y })?;
        adapter.inject(recorder, 0, &tape, x, y, lambda)?;
        head.forward(recorder, &Forward { x: y, weight: h, bias, pre, y: logits })
    };
    let ce = CrossEntropy { dlogits: Some(dz), ..CrossEntropy::new(logits, known, loss) };
    let to_y = Backward { dx: Some(dy), ..Backward::new(y, h, dz) };
    let to_adapter = BackwardLayer { x, dy, dx: None, lambda, mode };
    for step in 1..=150 {
        let mut commands = gpu.encoder();
        let mut to = gpu.recorder(&mut commands);
        forward(&mut to, 1.0)?;
        cross_entropy(&mut to, &ce)?;
        head.backward(&mut to, &to_y)?;
        adapter.backward_layer(&mut to, 0, &tape, &to_adapter)?;
        adapter.backward_condition(&mut to, &tape, &condition(1.0), mode)?;
        optimiser.step(&mut to, &[Slot { gradient, theta, m, v }], step, 0.02, None)?;
        drop(to);
        gpu.submit(commands)?;
        if step % 25 == 0 {
            println!("step {step:>3}: loss {:.3}", gpu.read_f32(&loss).await?[0]);
        }
    }
    for (what, mu) in [("with metadata (μ = 1)", 1.0), ("without (μ = 0)", 0.0)] {
        let mut commands = gpu.encoder();
        forward(&mut gpu.recorder(&mut commands), mu)?;
        gpu.submit(commands)?;
        let logits = gpu.read_f32(&logits).await?;
        let new = logits.chunks_exact(2).zip(&truth).skip(half);
        let right = new.filter(|(z, label)| u32::from(z[1] > z[0]) == **label).count();
        println!("accuracy on new images {what}: {:.0} %", 100.0 * right as f32 / half as f32);
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    let gpu = match pollster::block_on(Gpu::open(&OpenOptions::default())) {
        Err(error @ Error::NoAdapter { .. }) if std::env::var("GTCA_REQUIRE_ADAPTER") != Ok("1".into()) => {
            println!("nothing to show: {error}");
            return Ok(());
        }
        gpu => gpu?,
    };
    pollster::block_on(train(&gpu))
}
