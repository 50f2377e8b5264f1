//! A call of `lora`: its tensors, what the kernels, the twin and the f64 reference make of it, and how far they may lie apart.

use crate::support::*;
use gtca::Error;
use gtca::common::rng;
use gtca::gpu::{Dtype, Gpu, Knob, Mode, Recorder, View};
use gtca::lora::{Backward, Dropout, Family, Forward, Gate, Lora, LoraDesc, PURPOSE_DROPOUT, Scaling, twin};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    None,
    Rank,
    Scalar,
    Token,
    TokenScalar,
}

impl Kind {
    pub(super) fn is_scalar(self) -> bool {
        matches!(self, Self::Scalar | Self::TokenScalar)
    }

    fn is_per_token(self) -> bool {
        matches!(self, Self::Token | Self::TokenScalar)
    }
}

/// The families that this adapter can run; each takes every test.
pub(super) fn families(gpu: &Gpu) -> Vec<Family> {
    Family::ALL.into_iter().filter(|family| family.runs_on(gpu)).collect()
}

pub(super) const KINDS: [Kind; 3] = [Kind::None, Kind::Rank, Kind::Scalar];
pub(super) const TYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

/// One case's shape and inputs.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) family: Family,
    pub(super) samples: usize,
    pub(super) tokens: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) rank: usize,
    pub(super) kind: Kind,
    pub(super) scaling: Scaling,
    pub(super) lambda: f32,
    pub(super) lambda_in_buffer: bool,
    /// Type of x, y and their gradients.
    pub(super) wide: Dtype,
    /// Type of A, B and bias.
    pub(super) weights: Dtype,
    pub(super) dropout: Option<Dropout>,
    /// Whether h and u are given, or left to the recorder.
    pub(super) saves: bool,
    /// Empty: none.
    pub(super) bias: Vec<f32>,
    pub(super) x: Vec<f32>,
    pub(super) a: Vec<f32>,
    pub(super) b_t: Vec<f32>,
    pub(super) gates: Vec<f32>,
    pub(super) y: Vec<f32>,
    pub(super) dy: Vec<f32>,
}

/// What forward and backward give.
#[derive(Clone)]
pub(super) struct Results<T> {
    pub(super) y: Vec<T>,
    pub(super) dx: Vec<T>,
    pub(super) da: Vec<T>,
    pub(super) db_t: Vec<T>,
    pub(super) dbias: Vec<T>,
    pub(super) dgate: Vec<T>,
    pub(super) dlambda: Vec<T>,
}

impl<T> Results<T> {
    pub(super) fn each(&self) -> [(&'static str, &[T]); 7] {
        [
            ("y", &self.y),
            ("dx", &self.dx),
            ("da", &self.da),
            ("db_t", &self.db_t),
            ("dbias", &self.dbias),
            ("dgate", &self.dgate),
            ("dlambda", &self.dlambda),
        ]
    }
}

/// The differentiable inputs in f64.
#[derive(Clone)]
pub(super) struct Wide {
    pub(super) x: Vec<f64>,
    pub(super) a: Vec<f64>,
    pub(super) b_t: Vec<f64>,
    pub(super) bias: Vec<f64>,
    pub(super) gates: Vec<f64>,
    pub(super) y: Vec<f64>,
    pub(super) dy: Vec<f64>,
    pub(super) factor: [f64; 2],
}

/// Where a case's tensors are.
pub(super) struct Placed {
    pub(super) x: Tensor,
    pub(super) a: Tensor,
    pub(super) b_t: Tensor,
    pub(super) y: Tensor,
    /// y again, and what it becomes elsewhere.
    pub(super) base: Tensor,
    pub(super) out: Tensor,
    pub(super) dy: Tensor,
    pub(super) bias: Option<Tensor>,
    pub(super) gates: Option<Tensor>,
    pub(super) h: Tensor,
    pub(super) u: Tensor,
    pub(super) dx: Tensor,
    pub(super) da: Tensor,
    pub(super) db_t: Tensor,
    pub(super) dbias: Option<Tensor>,
    pub(super) dgate: Option<Tensor>,
    pub(super) dlambda: Tensor,
    pub(super) knob: wgpu::Buffer,
}

impl Case {
    pub(super) fn new([samples, tokens, inputs, outputs, rank]: [usize; 5], kind: Kind) -> Self {
        let seed = [samples, tokens, inputs, outputs, rank].iter().fold(7, |seed, n| seed * 1009 + n);
        let mut random = Random(seed as u64);
        let rows = samples * tokens;
        let gates = match kind {
            Kind::None => 0,
            Kind::Rank => samples * rank,
            Kind::Scalar => samples,
            Kind::Token => rows * rank,
            Kind::TokenScalar => rows,
        };
        Self {
            family: Family::Threads,
            samples,
            tokens,
            inputs,
            outputs,
            rank,
            kind,
            scaling: if rank % 2 == 0 { Scaling::Standard } else { Scaling::RankStabilized },
            lambda: 0.75,
            lambda_in_buffer: rows % 2 == 1,
            wide: Dtype::F32,
            weights: Dtype::F32,
            dropout: None,
            saves: rank % 2 == 1,
            bias: Vec::new(),
            x: random.f32s(rows * inputs),
            a: random.f32s(rank * inputs),
            b_t: random.f32s(rank * outputs),
            gates: random.f32s(gates).iter().map(|g| g + 1.0).collect(),
            y: random.f32s(rows * outputs),
            dy: random.f32s(rows * outputs),
        }
    }

    pub(super) fn op(&self) -> Lora {
        let [inputs, outputs, rank] = [self.inputs, self.outputs, self.rank].map(|n| n as u32);
        let (scaling, family) = (self.scaling, Some(self.family));
        Lora::new(&LoraDesc { inputs, outputs, rank, alpha: 6.0, scaling, family }).unwrap()
    }

    /// The same numbers, rounded to how they are stored.
    pub(super) fn stored(mut self, wide: Dtype, weights: Dtype) -> Self {
        (self.wide, self.weights) = (wide, weights);
        for values in [&mut self.x, &mut self.y, &mut self.dy] {
            values.iter_mut().for_each(|value| *value = wide.round(*value));
        }
        for values in [&mut self.a, &mut self.b_t, &mut self.bias] {
            values.iter_mut().for_each(|value| *value = weights.round(*value));
        }
        self
    }

    pub(super) fn with_bias(mut self) -> Self {
        let bias = Random(self.outputs as u64).f32s(self.outputs);
        self.bias = bias.iter().map(|&value| self.weights.round(value)).collect();
        self
    }

    pub(super) fn with_dropout(mut self, probability: f32) -> Self {
        // Rows whose number carries into the high word.
        let first_row = (1 << 32) - 2;
        self.dropout = Some(Dropout { probability, seed: 0x1234_5678_9abc, step: 5, first_row });
        self
    }

    /// What dropout multiplies x by, as its documentation says.
    fn kept(&self) -> Vec<f64> {
        let Some(Dropout { probability, seed, step, first_row }) = self.dropout else {
            return vec![1.0; self.x.len()];
        };
        let p = f64::from(probability);
        let kept = |at: usize| {
            let (row, k) = ((at / self.inputs) as u64, at % self.inputs);
            let draws = rng::draw4(seed, PURPOSE_DROPOUT, first_row + row, step, k as u32 / 4);
            if f64::from(draws[k % 4]) < p * 2f64.powi(32) { 0.0 } else { 1.0 / (1.0 - p) }
        };
        (0..self.x.len()).map(kept).collect()
    }

    pub(super) fn with(&self, family: Family) -> Self {
        Self { family, ..self.clone() }
    }

    fn rows(&self) -> usize {
        self.samples * self.tokens
    }

    /// The case's tensors; every output is poisoned.
    pub(super) fn place(&self, t: &mut Tensors) -> Placed {
        let [samples, tokens, inputs, outputs, rank] =
            [self.samples, self.tokens, self.inputs, self.outputs, self.rank].map(|n| n as u32);
        let columns = if self.kind.is_scalar() { 1 } else { rank };
        let gate_tokens = if self.kind.is_per_token() { tokens } else { 1 };
        let has_bias = !self.bias.is_empty();
        let has_gates = self.kind != Kind::None;
        Placed {
            x: t.stored([samples, tokens, inputs], self.wide, &self.x),
            a: t.stored([rank, 1, inputs], self.weights, &self.a),
            b_t: t.stored([rank, 1, outputs], self.weights, &self.b_t),
            y: t.stored([samples, tokens, outputs], self.wide, &self.y),
            base: t.stored([samples, tokens, outputs], self.wide, &self.y),
            out: t.poisoned_as([samples, tokens, outputs], self.wide),
            dy: t.stored([samples, tokens, outputs], self.wide, &self.dy),
            bias: has_bias.then(|| t.stored([1, 1, outputs], self.weights, &self.bias)),
            gates: has_gates.then(|| t.f32([samples, gate_tokens, columns], &self.gates)),
            h: t.poisoned([samples, tokens, rank]),
            u: t.poisoned([samples, tokens, rank]),
            dx: t.poisoned_as([samples, tokens, inputs], self.wide),
            da: t.poisoned([rank, 1, inputs]),
            db_t: t.poisoned([rank, 1, outputs]),
            dbias: has_bias.then(|| t.poisoned([1, 1, outputs])),
            dgate: has_gates.then(|| t.poisoned([samples, gate_tokens, columns])),
            dlambda: t.poisoned([1, 1, 1]),
            knob: t.gpu.upload("lambda", &[0.0, self.lambda]),
        }
    }

    fn gate<'t>(&self, t: &'t Tensors, at: &Placed) -> Gate<'t> {
        match (self.kind, at.gates.map(|gates| t.view(gates))) {
            (Kind::Rank | Kind::Token, Some(gates)) => Gate::Rank(gates),
            (Kind::Scalar | Kind::TokenScalar, Some(gates)) => Gate::Scalar(gates),
            _ => Gate::None,
        }
    }

    fn lambda<'t>(&self, at: &'t Placed) -> Knob<'t> {
        if self.lambda_in_buffer { Knob::Buffer(&at.knob, 4) } else { Knob::Host(self.lambda) }
    }

    pub(super) fn forward<'t>(&self, t: &'t Tensors, at: &'t Placed) -> Forward<'t> {
        Forward {
            x: t.view(at.x),
            a: t.view(at.a),
            b_t: t.view(at.b_t),
            bias: at.bias.map(|bias| t.view(bias)),
            gate: self.gate(t, at),
            lambda: self.lambda(at),
            dropout: self.dropout,
            y: t.view(at.y),
            out: None,
            h: self.saves.then(|| t.view(at.h)),
        }
    }

    pub(super) fn record_forward(
        &self,
        recorder: &mut Recorder<'_>,
        t: &Tensors,
        at: &Placed,
    ) -> Result<(), Error> {
        self.op().forward(recorder, &self.forward(t, at))
    }

    /// Out of place.
    fn record_apart(&self, recorder: &mut Recorder<'_>, t: &Tensors, at: &Placed) -> Result<(), Error> {
        let (y, out) = (t.view(at.base), Some(t.view(at.out)));
        self.op().forward(recorder, &Forward { y, out, h: None, ..self.forward(t, at) })
    }

    pub(super) fn record_backward(
        &self,
        recorder: &mut Recorder<'_>,
        t: &Tensors,
        at: &Placed,
    ) -> Result<(), Error> {
        let view = |tensor: Option<Tensor>| tensor.map(|tensor| t.view(tensor));
        let saved = |tensor| self.saves.then(|| t.view(tensor));
        let (x, dy, a, b_t) = (t.view(at.x), t.view(at.dy), t.view(at.a), t.view(at.b_t));
        let args = Backward {
            dx: Some(t.view(at.dx)),
            da: Some(t.view(at.da)),
            db_t: Some(t.view(at.db_t)),
            bias: view(at.bias),
            dropout: self.dropout,
            dbias: view(at.dbias),
            dgate: view(at.dgate),
            dlambda: Some(t.view(at.dlambda)),
            u: saved(at.u),
            ..backward(x, dy, a, b_t, self.gate(t, at), self.lambda(at), saved(at.h))
        };
        self.op().backward(recorder, &args)
    }

    /// Forward, in place and out of place, and backward on the kernels.
    pub(super) fn record(&self, recorder: &mut Recorder<'_>, t: &Tensors, at: &Placed) -> Result<(), Error> {
        self.record_forward(recorder, t, at)?;
        self.record_apart(recorder, t, at)?;
        self.record_backward(recorder, t, at)
    }

    /// What was written; out of place there are the same bits, beside a y that has its own.
    pub(super) fn results(&self, t: &Tensors, at: &Placed) -> Results<f32> {
        let y = t.read_stored(at.y);
        assert_same_bits("y out of place", &t.read_stored(at.out), &y);
        let base: Vec<f32> =
            self.y.iter().map(|&y| if y.is_nan() { y } else { self.wide.round(y) }).collect();
        assert_same_bits("y that is read", &t.read_stored(at.base), &base);
        Results {
            y,
            dx: t.read_stored(at.dx),
            da: t.read(at.da),
            db_t: t.read(at.db_t),
            dbias: at.dbias.map_or(Vec::new(), |dbias| t.read(dbias)),
            dgate: at.dgate.map_or(Vec::new(), |dgate| t.read(dgate)),
            dlambda: t.read(at.dlambda),
        }
    }

    pub(super) fn run(&self, gpu: &'static Gpu, layout: Layout) -> Results<f32> {
        let mut t = Tensors::new(gpu, layout);
        let placed = self.place(&mut t);
        t.run(|recorder| self.record(recorder, &t, &placed)).unwrap();
        self.results(&t, &placed)
    }

    pub(super) fn twin(&self) -> Results<f32> {
        let gates = match self.kind {
            Kind::None => twin::Gates::None,
            Kind::Rank | Kind::Token => twin::Gates::Rank(&self.gates),
            Kind::Scalar | Kind::TokenScalar => twin::Gates::Scalar(&self.gates),
        };
        let tokens = if self.kind.is_per_token() { 1 } else { self.tokens };
        let (rank, scale, lambda) = (self.rank, self.op().scale(), self.lambda);
        let x = twin::dropped(self.dropout, &self.x, self.inputs);
        let h = twin::down(self.family, &x, self.inputs, &self.a);
        let u = twin::down(self.family, &self.dy, self.outputs, &self.b_t);
        let [h, u] = [&h, &u].map(|values| twin::Gated { values, rank, tokens, gates });
        let mut y = self.y.clone();
        let bias = (!self.bias.is_empty()).then_some(&self.bias[..]);
        let finish = twin::Finish { factor: lambda * scale, dtype: self.wide, ..Default::default() };
        twin::up(h, &self.b_t, &twin::Finish { bias, mode: Mode::Accumulate, ..finish }, &mut y);
        let mut dx = vec![f32::NAN; self.x.len()];
        twin::up(u, &self.a, &twin::Finish { dropout: self.dropout, ..finish }, &mut dx);
        let scalar = self.kind.is_scalar();
        let dgate = twin::dgate(u.values, h.values, rank, tokens, scalar, [scale, lambda]);
        Results {
            y,
            dx,
            da: twin::outer(self.family, u, &x, scale, lambda),
            db_t: twin::outer(self.family, h, &self.dy, scale, lambda),
            dbias: bias.map_or(Vec::new(), |_| twin::dbias(&self.dy, self.outputs, [scale, lambda])),
            dgate: if self.kind == Kind::None { Vec::new() } else { dgate },
            dlambda: vec![twin::dlambda(u, h.values, bias.map(|b| (self.family, &self.dy[..], b)), scale)],
        }
    }

    pub(super) fn wide(&self) -> Wide {
        let (rank, alpha) = (self.rank as f64, 6.0);
        let s = if self.scaling == Scaling::Standard { alpha / rank } else { alpha / rank.sqrt() };
        Wide {
            x: wide(&self.x),
            a: wide(&self.a),
            b_t: wide(&self.b_t),
            bias: wide(&self.bias),
            gates: wide(&self.gates),
            y: wide(&self.y),
            dy: wide(&self.dy),
            factor: [s, self.lambda.into()],
        }
    }

    /// The f64 reference: the weight's change is written out for every row, no h and no u.
    pub(super) fn reference(&self, w: &Wide) -> Results<f64> {
        let (inputs, outputs, rank) = (self.inputs, self.outputs, self.rank);
        let [s, lambda] = w.factor;
        let gate_at = |row: usize, j: usize| match self.kind {
            Kind::None => None,
            Kind::Rank => Some(row / self.tokens * rank + j),
            Kind::Scalar => Some(row / self.tokens),
            Kind::Token => Some(row * rank + j),
            Kind::TokenScalar => Some(row),
        };
        let mut out = Results {
            y: w.y.clone(),
            dx: vec![0.0; w.x.len()],
            da: vec![0.0; w.a.len()],
            db_t: vec![0.0; w.b_t.len()],
            dbias: vec![0.0; w.bias.len()],
            dgate: vec![0.0; w.gates.len()],
            dlambda: vec![0.0],
        };
        let kept = self.kept();
        for row in 0..self.rows() {
            let kept = &kept[row * inputs..][..inputs];
            let x: Vec<f64> =
                w.x[row * inputs..][..inputs].iter().zip(kept).map(|(x, kept)| x * kept).collect();
            let dy = &w.dy[row * outputs..][..outputs];
            for (n, bias) in w.bias.iter().enumerate() {
                out.y[row * outputs + n] += lambda * s * bias;
                out.dbias[n] += lambda * s * dy[n];
                out.dlambda[0] += s * bias * dy[n];
            }
            for j in 0..rank {
                let (a, b) = (&w.a[j * inputs..][..inputs], &w.b_t[j * outputs..][..outputs]);
                let ax: f64 = x.iter().zip(a).map(|(x, a)| x * a).sum();
                let by: f64 = dy.iter().zip(b).map(|(y, b)| y * b).sum();
                let gate = gate_at(row, j).map_or(1.0, |at| w.gates[at]);
                let strength = lambda * s * gate;
                for n in 0..outputs {
                    out.y[row * outputs + n] += strength * ax * b[n];
                    out.db_t[j * outputs + n] += strength * ax * dy[n];
                }
                for k in 0..inputs {
                    out.dx[row * inputs + k] += strength * by * a[k] * kept[k];
                    out.da[j * inputs + k] += strength * by * x[k];
                }
                if let Some(at) = gate_at(row, j) {
                    out.dgate[at] += lambda * s * by * ax;
                }
                out.dlambda[0] += s * gate * by * ax;
            }
        }
        out
    }

    /// Bounds per element: every product's rounding errors, at most one per operation on its way, times the sum
    /// of the products' magnitudes (the reference of the magnitudes).
    pub(super) fn bounds(&self) -> Results<f64> {
        let mut w = self.wide();
        let inputs = [&mut w.x, &mut w.a, &mut w.b_t, &mut w.bias, &mut w.gates, &mut w.y, &mut w.dy];
        for values in inputs {
            values.iter_mut().for_each(|value| *value = value.abs());
        }
        let magnitudes = self.reference(&w);
        let widths = self.inputs + self.outputs + self.rank + 8;
        let over_rows = self.rows().min(512) * 2 + self.rows() / 64 + 2;
        let scaled = |values: &[f64], terms| values.iter().map(|&m| sum_bound(terms, m)).collect::<Vec<_>>();
        // Half an ulp of what is stored, relative and below the normal numbers.
        let (unit, least) = match self.wide {
            Dtype::F16 => (2f64.powi(-11), 2f64.powi(-25)),
            Dtype::Bf16 => (2f64.powi(-8), 0.0),
            _ => (0.0, 0.0),
        };
        let expected = self.reference(&self.wide());
        let rounded = |bounds: Vec<f64>, expected: &[f64]| -> Vec<f64> {
            bounds.iter().zip(expected).map(|(b, e)| b + unit * (b + e.abs()) + least).collect()
        };
        Results {
            y: rounded(scaled(&magnitudes.y, widths), &expected.y),
            dx: rounded(scaled(&magnitudes.dx, widths), &expected.dx),
            da: scaled(&magnitudes.da, widths + over_rows),
            db_t: scaled(&magnitudes.db_t, widths + over_rows),
            dbias: scaled(&magnitudes.dbias, over_rows),
            dgate: scaled(&magnitudes.dgate, widths + over_rows),
            dlambda: scaled(&magnitudes.dlambda, widths + 64 * self.rank + over_rows),
        }
    }

    /// Every family against the reference and its twin.
    pub(super) fn check(&self, gpu: &'static Gpu, layout: Layout) {
        let (expected, bounds) = (self.reference(&self.wide()), self.bounds());
        for case in families(gpu).into_iter().map(|family| self.with(family)) {
            let shape = [self.samples, self.tokens, self.inputs, self.outputs, self.rank];
            let types = [self.wide, self.weights];
            let label = format!("{:?} {shape:?} {:?} {types:?} {:?}", case.family, self.kind, self.dropout);
            let (actual, twin) = (case.run(gpu, layout), case.twin());
            let halves = if self.wide == Dtype::F32 { 1.0 } else { 2.0 };
            for (i, (name, values)) in actual.each().into_iter().enumerate() {
                let bounds = bounds.each()[i].1;
                assert_close(&format!("{name} {label}"), values, expected.each()[i].1, bounds);
                // Each may have been rounded to another half.
                let apart: Vec<f64> = bounds.iter().map(|bound| bound * halves).collect();
                assert_close(&format!("{name}'s twin {label}"), values, &wide(twin.each()[i].1), &apart);
            }
        }
    }
}

pub(super) fn backward<'a>(
    x: View<'a>,
    dy: View<'a>,
    a: View<'a>,
    b_t: View<'a>,
    gate: Gate<'a>,
    lambda: Knob<'a>,
    h: Option<View<'a>>,
) -> Backward<'a> {
    Backward {
        x,
        dy,
        a,
        b_t,
        bias: None,
        gate,
        lambda,
        dropout: None,
        h,
        u: None,
        dx: None,
        da: None,
        db_t: None,
        dbias: None,
        dgate: None,
        dlambda: None,
        dx_mode: Mode::Overwrite,
        parameter_mode: Mode::Overwrite,
        condition_mode: Mode::Overwrite,
    }
}

#[track_caller]
pub(super) fn assert_same_results(a: &Results<f32>, b: &Results<f32>) {
    for ((name, a), (_, b)) in a.each().into_iter().zip(b.each()) {
        assert_same_bits(name, a, b);
    }
}
