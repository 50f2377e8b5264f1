//! The backbone: four linear maps, trained on the evidence alone, then frozen.

use super::fit::{Learner, fit};
use super::head::Head;
use super::part::{batch_rows, shuffled_passes};
use super::store::Store;
use super::{Config, Outcome};
use crate::Error;
use crate::draw::{Draws, Purpose};
use gtca::gpu::{Dtype, Gpu, Mode, Recorder, View};
use gtca::linear::{Activation, Backward, Forward, Linear, LinearDesc};
use gtca::loss::{CrossEntropy, cross_entropy};
use gtca::wgpu;

/// Maps of the backbone; the third is the one that adapters sit on, the fourth is the head.
const MAPS: usize = 4;
/// Which map is adapted.
const ADAPTED: usize = 2;

/// A trained backbone.
#[derive(Debug)]
pub struct Backbone {
    net: Net,
    /// How its training went.
    pub outcome: Outcome,
}

/// Shapes, ops and parameters.
#[derive(Debug)]
struct Net {
    gpu: Gpu,
    maps: [Linear; MAPS],
    /// Widths of the maps' inputs and of the last one's output.
    widths: [u32; MAPS + 1],
    values: wgpu::Buffer,
    gradients: wgpu::Buffer,
    len: u32,
}

/// Buffers of one forward over a fixed number of rows.
#[derive(Debug)]
struct Tape {
    rows: u32,
    /// Before the activation, of the first two maps.
    pre: [wgpu::Buffer; 2],
    out: [wgpu::Buffer; MAPS],
    gradient: [wgpu::Buffer; MAPS],
}

impl Net {
    fn new(gpu: &Gpu, inputs: u32, width: u32, classes: u32, seed: u64) -> Result<Self, gtca::Error> {
        let widths = [inputs, width, width, width, classes];
        let mut maps = Vec::new();
        for i in 0..MAPS {
            let activation = if i < ADAPTED { Activation::Silu } else { Activation::None };
            maps.push(Linear::new(&LinearDesc { inputs: widths[i], outputs: widths[i + 1], activation })?);
        }
        let maps = maps.try_into().unwrap_or_else(|_| unreachable!("as many maps as MAPS"));
        let initial = initial(&widths, seed);
        let len = initial.len() as u32;
        let (values, gradients) =
            (gpu.upload("backbone", &initial), gpu.zeros("gradients", u64::from(len) * 4));
        Ok(Self { gpu: gpu.clone(), maps, widths, values, gradients, len })
    }

    /// Weight and bias of a map in a flat buffer.
    fn map<'a>(&self, flat: &'a wgpu::Buffer, map: usize) -> [View<'a>; 2] {
        let start = |map: usize| (0..map).map(|i| map_len(&self.widths, i)).sum::<usize>() as u64 * 4;
        let (inputs, outputs) = (self.widths[map], self.widths[map + 1]);
        let bias = start(map) + u64::from(inputs * outputs) * 4;
        [View::matrix(flat, outputs, inputs).at(start(map)), View::vector(flat, outputs).at(bias)]
    }

    fn tape(&self, rows: u32) -> Tape {
        let buffer = |width: u32| self.gpu.zeros("backbone tape", u64::from(rows) * u64::from(width) * 4);
        let outputs: [u32; MAPS] = std::array::from_fn(|i| self.widths[i + 1]);
        Tape {
            rows,
            pre: [outputs[0], outputs[1]].map(buffer),
            out: outputs.map(buffer),
            gradient: outputs.map(buffer),
        }
    }

    fn forward(&self, recorder: &mut Recorder<'_>, tape: &Tape, x: View<'_>) -> Result<(), gtca::Error> {
        for i in 0..MAPS {
            let [weight, bias] = self.map(&self.values, i);
            let x = if i == 0 { x } else { tape.out(i - 1, self.widths[i]) };
            let y = tape.out(i, self.widths[i + 1]);
            let pre = tape.pre.get(i).map(|buffer| View::matrix(buffer, tape.rows, self.widths[i + 1]));
            self.maps[i].forward(recorder, &Forward { x, weight, bias: Some(bias), pre, y })?;
        }
        Ok(())
    }

    /// From the gradient of the logits, which stands in the tape.
    fn backward(&self, recorder: &mut Recorder<'_>, tape: &Tape, x: View<'_>) -> Result<(), gtca::Error> {
        for i in (0..MAPS).rev() {
            let [weight, _] = self.map(&self.values, i);
            let [dweight, dbias] = self.map(&self.gradients, i).map(Some);
            let args = Backward {
                x: if i == 0 { x } else { tape.out(i - 1, self.widths[i]) },
                weight,
                pre: tape.pre.get(i).map(|buffer| View::matrix(buffer, tape.rows, self.widths[i + 1])),
                dy: View::matrix(&tape.gradient[i], tape.rows, self.widths[i + 1]),
                dx: (i > 0).then(|| View::matrix(&tape.gradient[i - 1], tape.rows, self.widths[i])),
                dweight,
                dbias,
                dx_mode: Mode::Overwrite,
                parameter_mode: Mode::Overwrite,
            };
            self.maps[i].backward(recorder, &args)?;
        }
        Ok(())
    }
}

impl Tape {
    fn out(&self, map: usize, width: u32) -> View<'_> {
        View::matrix(&self.out[map], self.rows, width)
    }
}

/// Weights uniform within 1/√fan-in, biases 0.
fn initial(widths: &[u32; MAPS + 1], seed: u64) -> Vec<f32> {
    let mut values = Vec::new();
    for map in 0..MAPS {
        let mut draw = Draws::new(seed, Purpose::Training, 1 + map as u64);
        let bound = 1.0 / f64::from(widths[map]).sqrt();
        let weights = widths[map] as usize * widths[map + 1] as usize;
        values.extend((0..weights).map(|_| (bound * (2.0 * draw.uniform() - 1.0)) as f32));
        values.resize(values.len() + map_len(widths, map) - weights, 0.0);
    }
    values
}

/// Elements of a map in the flat buffer.
fn map_len(widths: &[u32; MAPS + 1], map: usize) -> usize {
    (widths[map] as usize + 1) * widths[map + 1] as usize
}

/// A backbone in training.
struct Learning<'a> {
    net: Net,
    store: Store,
    config: &'a Config,
    train: [wgpu::Buffer; 2],
    train_len: u32,
    validation: [wgpu::Buffer; 2],
    step_tape: Tape,
    look_tape: Tape,
    loss: wgpu::Buffer,
}

impl Learning<'_> {
    fn classes(&self) -> u32 {
        self.net.widths[MAPS]
    }
}

impl Learner for Learning<'_> {
    fn step(&mut self, encoder: &mut wgpu::CommandEncoder, step: u32) -> Result<(), gtca::Error> {
        let (from, len) = batch_rows(self.train_len, self.config.batch, step);
        let inputs = self.net.widths[0];
        let x = View::matrix(&self.train[0], len, inputs).at(u64::from(from) * u64::from(inputs) * 4);
        let labels = View::matrix(&self.train[1], len, 1).of(Dtype::U32).at(u64::from(from) * 4);
        let tape = &self.step_tape;
        let recorder = &mut self.net.gpu.recorder(encoder);
        self.net.forward(recorder, tape, x)?;
        let (logits, loss) = (tape.out(MAPS - 1, self.classes()), View::vector(&self.loss, 1));
        let args = CrossEntropy {
            dlogits: Some(View::matrix(&tape.gradient[MAPS - 1], len, self.classes())),
            ..CrossEntropy::new(logits, labels, loss)
        };
        cross_entropy(recorder, &args)?;
        self.net.backward(recorder, tape, x)?;
        let [values, gradients] =
            [&self.net.values, &self.net.gradients].map(|flat| View::vector(flat, self.net.len));
        self.store.step(recorder, values, gradients, step, self.config.backbone_rate)
    }

    fn look(&self, encoder: &mut wgpu::CommandEncoder, loss: View<'_>) -> Result<(), gtca::Error> {
        let tape = &self.look_tape;
        let recorder = &mut self.net.gpu.recorder(encoder);
        self.net.forward(recorder, tape, View::matrix(&self.validation[0], tape.rows, self.net.widths[0]))?;
        let labels = View::matrix(&self.validation[1], tape.rows, 1).of(Dtype::U32);
        cross_entropy(recorder, &CrossEntropy::new(tape.out(MAPS - 1, self.classes()), labels, loss))
    }

    fn keep(&self, encoder: &mut wgpu::CommandEncoder) {
        self.store.keep(encoder, &self.net.values);
    }

    fn restore(&self, encoder: &mut wgpu::CommandEncoder) {
        self.store.restore(encoder, &self.net.values);
    }
}

/// The evidence that a backbone is trained on.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// Standardised evidence with its mask, `[rows, width]`.
    pub evidence: &'a [f32],
    /// Width of a row.
    pub width: u32,
    /// Labels of the rows.
    pub labels: &'a [u32],
    /// How many classes.
    pub classes: u32,
}

impl Backbone {
    /// Trains on some rows and selects on others.
    ///
    /// # Errors
    /// The GPU's.
    pub fn train(
        gpu: &Gpu,
        material: &Material<'_>,
        train: &[usize],
        validation: &[usize],
        config: &Config,
        seed: u64,
    ) -> Result<Self, Error> {
        let net = Net::new(gpu, material.width, config.width, material.classes, seed)?;
        let order = shuffled_passes(train, seed);
        let (_, batch) = batch_rows(order.len() as u32, config.batch, 1);
        let mut learning = Learning {
            store: Store::new(gpu, net.len)?,
            config,
            train: material.upload(gpu, &order),
            train_len: order.len() as u32,
            validation: material.upload(gpu, validation),
            step_tape: net.tape(batch),
            look_tape: net.tape(validation.len() as u32),
            loss: gpu.zeros("loss", 4),
            net,
        };
        let outcome = fit(gpu, &mut learning, config, config.backbone_steps)?;
        Ok(Self { net: learning.net, outcome })
    }

    /// Input and output of the adapted layer and the logits, for all rows of the material.
    ///
    /// # Errors
    /// The GPU's.
    pub fn run(&self, material: &Material<'_>) -> Result<[Vec<f32>; 3], Error> {
        let gpu = &self.net.gpu;
        let rows = material.labels.len() as u32;
        let tape = self.net.tape(rows);
        let x = gpu.upload("evidence", material.evidence);
        let mut encoder = gpu.encoder();
        self.net.forward(&mut gpu.recorder(&mut encoder), &tape, View::matrix(&x, rows, material.width))?;
        gpu.submit(encoder)?;
        let read = |map: usize| gpu.read_f32_blocking(&tape.out(map, self.net.widths[map + 1]));
        Ok([read(ADAPTED - 1)?, read(ADAPTED)?, read(MAPS - 1)?])
    }

    /// The frozen head.
    pub(super) fn head(&self) -> Result<Head, Error> {
        let gpu = &self.net.gpu;
        let [weight, bias] = self.net.map(&self.net.values, MAPS - 1);
        let (weight, bias) = (gpu.read_f32_blocking(&weight)?, gpu.read_f32_blocking(&bias)?);
        Ok(Head::new(gpu, self.net.widths[MAPS - 1], &weight, &bias)?)
    }
}

impl Material<'_> {
    fn upload(&self, gpu: &Gpu, rows: &[usize]) -> [wgpu::Buffer; 2] {
        let width = self.width as usize;
        let evidence: Vec<f32> =
            rows.iter().flat_map(|&row| self.evidence[row * width..][..width].iter().copied()).collect();
        let labels: Vec<u32> = rows.iter().map(|&row| self.labels[row]).collect();
        [gpu.upload("evidence", &evidence), gpu.upload("labels", &labels)]
    }
}
