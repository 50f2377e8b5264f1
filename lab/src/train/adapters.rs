//! The three adapters on the frozen layer.

use super::fit::{Learner, fit};
use super::head::Head;
use super::metadata::ConcatScale;
use super::part::{Batch, Part};
use super::store::Store;
use super::{Backbone, Config, DeviceGrid, Kind, Outcome, Perturbed};
use crate::Error;
use gtca::adapter::{AdapterDesc, BackwardLayer, Condition, GtcaAdapter, LayerDesc, Tape};
use gtca::encode::Plan;
use gtca::gate::Mu;
use gtca::gpu::{Dtype, Gpu, Knob, Mode, Recorder, View};
use gtca::lora::{self, Gate, Lora, LoraDesc};
use gtca::loss::{CrossEntropy, Evidence, cross_entropy, evidence};
use gtca::perturb::{self, Perturb, PerturbDesc, Perturbation, TrainingMix};
use gtca::records::RECORD_WORDS;
use gtca::wgpu;

/// α of every adapter.
const ALPHA: f32 = 16.0;
/// Divergence that costs nothing, in nats.
const EVIDENCE_THRESHOLD: f32 = 0.05;

/// Buffers behind an adapted layer: its output, logits and their gradients.
#[derive(Debug)]
struct Tail {
    rows: u32,
    y: wgpu::Buffer,
    logits: wgpu::Buffer,
    dlogits: wgpu::Buffer,
    dy: wgpu::Buffer,
    loss: wgpu::Buffer,
}

impl Tail {
    fn new(gpu: &Gpu, rows: u32, width: u32, classes: u32) -> Self {
        let [y, dy] = ["y", "dy"].map(|label| gpu.zeros(label, u64::from(rows * width) * 4));
        let [logits, dlogits] =
            ["logits", "dlogits"].map(|label| gpu.zeros(label, u64::from(rows * classes) * 4));
        Self { rows, y, logits, dlogits, dy, loss: gpu.zeros("loss", 4) }
    }

    fn view<'a>(&self, buffer: &'a wgpu::Buffer, width: u32) -> View<'a> {
        View::matrix(buffer, self.rows, width)
    }

    /// Cross-entropy of the logits into a loss; with its gradient where asked for.
    fn cross_entropy(
        &self,
        recorder: &mut Recorder<'_>,
        labels: View<'_>,
        classes: u32,
        loss: View<'_>,
        with_gradient: bool,
    ) -> Result<(), gtca::Error> {
        let args = CrossEntropy {
            dlogits: with_gradient.then(|| self.view(&self.dlogits, classes)),
            ..CrossEntropy::new(self.view(&self.logits, classes), labels, loss)
        };
        cross_entropy(recorder, &args)
    }
}

/// LoRA without metadata, or with metadata as further inputs.
#[derive(Debug)]
pub struct Plain {
    gpu: Gpu,
    kind: Kind,
    op: Lora,
    head: Head,
    store: Store,
    inputs: u32,
    width: u32,
    rank: u32,
    values: wgpu::Buffer,
    gradients: wgpu::Buffer,
}

impl Plain {
    /// Trains plain LoRA or the concatenation.
    ///
    /// # Errors
    /// The GPU's.
    pub fn train(
        gpu: &Gpu,
        kind: Kind,
        backbone: &Backbone,
        train: &Part,
        validation: &Part,
        config: &Config,
        seed: u64,
    ) -> Result<(Self, Outcome), Error> {
        let (width, rank) = (config.width, config.rank);
        let inputs = if kind == Kind::Concat { width + ConcatScale::WIDTH } else { width };
        let desc = LoraDesc { inputs, outputs: width, rank, alpha: ALPHA, ..Default::default() };
        let len = rank * (inputs + width);
        let model = Self {
            gpu: gpu.clone(),
            kind,
            op: Lora::new(&desc)?,
            head: backbone.head()?,
            store: Store::new(gpu, len)?,
            inputs,
            width,
            rank,
            values: gpu.upload("plain", &initial_values(rank, inputs, width, seed)),
            gradients: gpu.zeros("plain gradients", u64::from(len) * 4),
        };
        let classes = model.head.classes;
        let step_tail = Tail::new(gpu, train.batch(config.batch, 1).len, width, classes);
        let look_tail = Tail::new(gpu, validation.len, width, classes);
        let mut learning = PlainLearning { model, train, validation, config, step_tail, look_tail };
        let outcome = fit(gpu, &mut learning, config, config.adapter_steps)?;
        Ok((learning.model, outcome))
    }

    /// A and b_t in a flat buffer.
    fn tensors<'a>(&self, flat: &'a wgpu::Buffer) -> [View<'a>; 2] {
        let b = u64::from(self.rank * self.inputs) * 4;
        [View::matrix(flat, self.rank, self.inputs), View::matrix(flat, self.rank, self.width).at(b)]
    }

    fn forward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        tail: &Tail,
        batch: &Batch<'_>,
        x: View<'_>,
    ) -> Result<(), gtca::Error> {
        batch.copy_y(encoder, &tail.y);
        let recorder = &mut self.gpu.recorder(encoder);
        let [a, b_t] = self.tensors(&self.values);
        let y = tail.view(&tail.y, self.width);
        let (gate, lambda) = (Gate::None, Knob::Host(1.0));
        let args =
            lora::Forward { x, a, b_t, bias: None, gate, lambda, dropout: None, y, out: None, h: None };
        self.op.forward(recorder, &args)?;
        self.head.forward(recorder, y, tail.view(&tail.logits, self.head.classes))
    }

    fn x<'a>(&self, batch: &Batch<'a>) -> View<'a> {
        if self.kind == Kind::Concat { batch.x_concat() } else { batch.x() }
    }

    /// Logits of a part, `[rows, classes]`; for the concatenation also with other inputs, `[rows, D + numbers]`.
    ///
    /// # Errors
    /// The GPU's.
    pub fn logits(&self, part: &Part, other: Option<&[f32]>) -> Result<Vec<f32>, Error> {
        let tail = Tail::new(&self.gpu, part.len, self.width, self.head.classes);
        let mut encoder = self.gpu.encoder();
        let batch = part.all();
        let other = other.map(|values| self.gpu.upload("other inputs", values));
        let x = other.as_ref().map_or(self.x(&batch), |buffer| View::matrix(buffer, part.len, self.inputs));
        self.forward(&mut encoder, &tail, &batch, x)?;
        self.gpu.submit(encoder)?;
        Ok(self.gpu.read_f32_blocking(&tail.view(&tail.logits, self.head.classes))?)
    }
}

/// A uniform within 1/√inputs, b_t = 0.
fn initial_values(rank: u32, inputs: u32, outputs: u32, seed: u64) -> Vec<f32> {
    let mut draw = crate::draw::Draws::new(seed, crate::draw::Purpose::Training, 100);
    let bound = 1.0 / f64::from(inputs).sqrt();
    let mut values: Vec<f32> =
        (0..rank * inputs).map(|_| (bound * (2.0 * draw.uniform() - 1.0)) as f32).collect();
    values.resize((rank * (inputs + outputs)) as usize, 0.0);
    values
}

/// A plain adapter in training.
struct PlainLearning<'a> {
    model: Plain,
    train: &'a Part,
    validation: &'a Part,
    config: &'a Config,
    step_tail: Tail,
    look_tail: Tail,
}

impl Learner for PlainLearning<'_> {
    fn step(&mut self, encoder: &mut wgpu::CommandEncoder, step: u32) -> Result<(), gtca::Error> {
        let (model, tail) = (&self.model, &self.step_tail);
        let batch = self.train.batch(self.config.batch, step);
        let x = model.x(&batch);
        model.forward(encoder, tail, &batch, x)?;
        let recorder = &mut model.gpu.recorder(encoder);
        let classes = model.head.classes;
        tail.cross_entropy(recorder, batch.labels(), classes, View::vector(&tail.loss, 1), true)?;
        let (y, dy) = (tail.view(&tail.y, model.width), tail.view(&tail.dy, model.width));
        model.head.backward(recorder, y, tail.view(&tail.dlogits, classes), dy)?;
        let ([a, b_t], [da, db_t]) = (model.tensors(&model.values), model.tensors(&model.gradients));
        let args = lora::Backward {
            x,
            dy,
            a,
            b_t,
            bias: None,
            gate: Gate::None,
            lambda: Knob::Host(1.0),
            dropout: None,
            h: None,
            u: None,
            dx: None,
            da: Some(da),
            db_t: Some(db_t),
            dbias: None,
            dgate: None,
            dlambda: None,
            dx_mode: Mode::Overwrite,
            parameter_mode: Mode::Overwrite,
            condition_mode: Mode::Overwrite,
        };
        model.op.backward(recorder, &args)?;
        let len = model.rank * (model.inputs + model.width);
        let [values, gradients] = [&model.values, &model.gradients].map(|flat| View::vector(flat, len));
        model.store.step(recorder, values, gradients, step, self.config.adapter_rate)
    }

    fn look(&self, encoder: &mut wgpu::CommandEncoder, loss: View<'_>) -> Result<(), gtca::Error> {
        let (model, tail, batch) = (&self.model, &self.look_tail, self.validation.all());
        model.forward(encoder, tail, &batch, model.x(&batch))?;
        tail.cross_entropy(&mut model.gpu.recorder(encoder), batch.labels(), model.head.classes, loss, false)
    }

    fn keep(&self, encoder: &mut wgpu::CommandEncoder) {
        self.model.store.keep(encoder, &self.model.values);
    }

    fn restore(&self, encoder: &mut wgpu::CommandEncoder) {
        self.model.store.restore(encoder, &self.model.values);
    }
}

/// The Geo-Time Conditional Adapter on the frozen layer.
#[derive(Debug)]
pub struct Gtca {
    gpu: Gpu,
    adapter: GtcaAdapter,
    head: Head,
    store: Store,
    width: u32,
}

impl Gtca {
    /// Trains with dropped and displaced metadata and the evidence regularizer.
    ///
    /// # Errors
    /// The GPU's.
    pub fn train(
        gpu: &Gpu,
        plan: Plan,
        backbone: &Backbone,
        [train, validation]: [&Part; 2],
        config: &Config,
        grid: Option<&perturb::Lookup>,
        seed: u64,
    ) -> Result<(Self, Outcome), Error> {
        let width = config.width;
        let layers = vec![LayerDesc { inputs: width, outputs: width, rank: config.rank, alpha: None }];
        let desc = AdapterDesc { layers, hidden: config.gate_hidden, alpha: ALPHA, ..Default::default() };
        let adapter = GtcaAdapter::new(gpu, plan, &desc, seed)?;
        let (head, store) = (backbone.head()?, Store::new(gpu, adapter.values().width())?);
        let model = Self { gpu: gpu.clone(), adapter, head, store, width };
        let rows = train.batch(config.batch, 1).len;
        let classes = model.head.classes;
        let perturbation = Perturbation::Training(TrainingMix::default());
        let mut learning = GtcaLearning {
            train,
            validation,
            config,
            perturb: Perturb::new(&PerturbDesc { parts: &[perturbation], seed })?,
            grid: grid.map(|grid| DeviceGrid::new(gpu, grid)),
            records: gpu.zeros("perturbed records", u64::from(RECORD_WORDS * rows) * 4),
            validity: gpu.zeros("validity", u64::from(rows) * 4),
            loss: gpu.zeros("evidence loss", 4),
            with: (model.adapter.tape(rows, 1), Tail::new(gpu, rows, width, classes)),
            without: (model.adapter.tape(rows, 1), Tail::new(gpu, rows, width, classes)),
            look: (model.adapter.tape(validation.len, 1), Tail::new(gpu, validation.len, width, classes)),
            model,
        };
        let outcome = fit(gpu, &mut learning, config, config.adapter_steps)?;
        Ok((learning.model, outcome))
    }

    /// From gates to logits.
    fn forward(
        &self,
        recorder: &mut Recorder<'_>,
        tape: &Tape,
        tail: &Tail,
        batch: &Batch<'_>,
    ) -> Result<(), gtca::Error> {
        let y = tail.view(&tail.y, self.width);
        self.adapter.inject(recorder, 0, tape, batch.x(), y, Knob::Host(1.0))?;
        self.head.forward(recorder, y, tail.view(&tail.logits, self.head.classes))
    }

    /// Logits of a part under other records (its own where none are given), and a metadata weight.
    ///
    /// # Errors
    /// The GPU's.
    pub fn logits(&self, part: &Part, other: Option<&Perturbed>, mu: f32) -> Result<Vec<f32>, Error> {
        let (tape, tail) =
            (self.adapter.tape(part.len, 1), Tail::new(&self.gpu, part.len, self.width, self.head.classes));
        let batch = part.all();
        let (records, validity) = match other {
            Some(other) => (other.records(), other.validity()),
            None => (batch.records(), batch.validity()),
        };
        let mut encoder = self.gpu.encoder();
        batch.copy_y(&mut encoder, &tail.y);
        let mut recorder = self.gpu.recorder(&mut encoder);
        let mu = Mu::Knob(Knob::Host(mu));
        self.adapter.condition(&mut recorder, &tape, &Condition { records, validity, mu })?;
        self.forward(&mut recorder, &tape, &tail, &batch)?;
        drop(recorder);
        self.gpu.submit(encoder)?;
        Ok(self.gpu.read_f32_blocking(&tail.view(&tail.logits, self.head.classes))?)
    }
}

/// The adapter in training.
struct GtcaLearning<'a> {
    model: Gtca,
    train: &'a Part,
    validation: &'a Part,
    config: &'a Config,
    perturb: Perturb,
    grid: Option<DeviceGrid>,
    records: wgpu::Buffer,
    validity: wgpu::Buffer,
    loss: wgpu::Buffer,
    with: (Tape, Tail),
    without: (Tape, Tail),
    look: (Tape, Tail),
}

impl GtcaLearning<'_> {
    /// The batch's records as this step perturbs them.
    fn perturbed(
        &self,
        recorder: &mut Recorder<'_>,
        batch: &Batch<'_>,
        step: u32,
    ) -> Result<Condition<'_>, gtca::Error> {
        let records = View::matrix(&self.records, RECORD_WORDS, batch.len).of(Dtype::U32);
        let validity = View::matrix(&self.validity, batch.len, 1);
        let args = perturb::Args {
            records: batch.records(),
            out: records,
            v: validity,
            donors: None,
            lookup: self.grid.as_ref().map(DeviceGrid::lookup),
            status: None,
            step,
        };
        self.perturb.record(recorder, &args)?;
        Ok(Condition { records, validity, mu: Mu::Knob(Knob::Host(1.0)) })
    }

    /// From the gradient of the logits down to the layer's parameters and gates.
    fn backward(
        &self,
        recorder: &mut Recorder<'_>,
        (tape, tail): &(Tape, Tail),
        batch: &Batch<'_>,
        mode: Mode,
    ) -> Result<(), gtca::Error> {
        let model = &self.model;
        let (y, dy) = (tail.view(&tail.y, model.width), tail.view(&tail.dy, model.width));
        model.head.backward(recorder, y, tail.view(&tail.dlogits, model.head.classes), dy)?;
        let args = BackwardLayer { x: batch.x(), dy, dx: None, lambda: Knob::Host(1.0), mode };
        model.adapter.backward_layer(recorder, 0, tape, &args)
    }
}

impl Learner for GtcaLearning<'_> {
    /// CE(p) + CE(q) + β·evidence(p, q): p with perturbed metadata, q with none.
    fn step(&mut self, encoder: &mut wgpu::CommandEncoder, step: u32) -> Result<(), gtca::Error> {
        let (model, classes) = (&self.model, self.model.head.classes);
        let ((tape_p, p), (tape_q, q)) = (&self.with, &self.without);
        let batch = self.train.batch(self.config.batch, step);
        batch.copy_y(encoder, &p.y);
        batch.copy_y(encoder, &q.y);
        let recorder = &mut model.gpu.recorder(encoder);
        let condition = self.perturbed(recorder, &batch, step)?;
        model.adapter.condition(recorder, tape_p, &condition)?;
        model.adapter.condition_on_nothing(recorder, tape_q, condition.validity)?;
        model.forward(recorder, tape_p, p, &batch)?;
        model.forward(recorder, tape_q, q, &batch)?;
        for tail in [p, q] {
            tail.cross_entropy(recorder, batch.labels(), classes, View::vector(&tail.loss, 1), true)?;
        }
        let args = Evidence {
            p: p.view(&p.logits, classes),
            q: q.view(&q.logits, classes),
            threshold: EVIDENCE_THRESHOLD,
            loss: View::vector(&self.loss, 1),
            dp: Some(p.view(&p.dlogits, classes)),
            dq: None,
            scale: self.config.evidence,
            mode: Mode::Accumulate,
        };
        evidence(recorder, &args)?;
        self.backward(recorder, &self.with, &batch, Mode::Overwrite)?;
        self.backward(recorder, &self.without, &batch, Mode::Accumulate)?;
        model.adapter.backward_condition(recorder, tape_p, &condition, Mode::Overwrite)?;
        model.adapter.backward_condition_on_nothing(
            recorder,
            tape_q,
            condition.validity,
            Mode::Accumulate,
        )?;
        let (values, gradients) = (model.adapter.values(), model.adapter.gradients());
        model.store.step(recorder, values, gradients, step, self.config.adapter_rate)
    }

    fn look(&self, encoder: &mut wgpu::CommandEncoder, loss: View<'_>) -> Result<(), gtca::Error> {
        let (model, (tape, tail), batch) = (&self.model, &self.look, self.validation.all());
        batch.copy_y(encoder, &tail.y);
        let recorder = &mut model.gpu.recorder(encoder);
        let mu = Mu::Knob(Knob::Host(1.0));
        let condition = Condition { records: batch.records(), validity: batch.validity(), mu };
        model.adapter.condition(recorder, tape, &condition)?;
        model.forward(recorder, tape, tail, &batch)?;
        tail.cross_entropy(recorder, batch.labels(), model.head.classes, loss, false)
    }

    fn keep(&self, encoder: &mut wgpu::CommandEncoder) {
        self.model.store.keep(encoder, self.model.adapter.values().buffer);
    }

    fn restore(&self, encoder: &mut wgpu::CommandEncoder) {
        self.model.store.restore(encoder, self.model.adapter.values().buffer);
    }
}
