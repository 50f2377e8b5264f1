//! `lora` with many adapters in a batch: against an f64 reference row by row, and bit for bit against the plain op with
//! each adapter alone.

use crate::support::*;
use gtca::gpu::{Dtype, Gpu, Knob, Mode, View};
use gtca::lora::{
    Backward, Bank, BankBackward, BankDesc, BankForward, Dropout, Family, Forward, Gate, Layer, Lora,
    LoraDesc, Member, Place, RowSample, Scaling, forward_layers, twin,
};

/// Bits that a row without an adapter holds, and keeps.
const KEPT: u32 = 0x7fc0_1234;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Gates {
    None,
    Sample,
    SampleScalar,
    Token,
    TokenScalar,
}

const GATES: [Gates; 5] = [Gates::None, Gates::Sample, Gates::SampleScalar, Gates::Token, Gates::TokenScalar];

/// How adapters fall to samples.
#[derive(Clone, Copy, Debug)]
enum Popularity {
    Distinct,
    Uniform,
    Skewed,
    Identical,
}

const POPULARITY: [Popularity; 4] =
    [Popularity::Distinct, Popularity::Uniform, Popularity::Skewed, Popularity::Identical];

#[derive(Clone)]
struct Case {
    inputs: usize,
    outputs: usize,
    ranks: Vec<u32>,
    ids: Vec<i32>,
    starts: Vec<u32>,
    gates: Gates,
    lambda: f32,
    family: Family,
    /// Of x, y and their gradients.
    wide: Dtype,
    /// Of the arenas and biases.
    weights: Dtype,
    dropout: Option<Dropout>,
    /// Elements of an arena; 0: all in one.
    arena_elements: u32,
    x: Vec<f32>,
    y: Vec<f32>,
    dy: Vec<f32>,
    gate: Vec<f32>,
    a: Vec<Vec<f32>>,
    b_t: Vec<Vec<f32>>,
    /// `[members, outputs]`, or empty.
    bias: Vec<f32>,
}

#[derive(Clone)]
struct Results {
    y: Vec<f32>,
    h: Vec<f32>,
    dx: Vec<f32>,
    da: Vec<Vec<f32>>,
    db_t: Vec<Vec<f32>>,
    dbias: Vec<f32>,
    dgate: Vec<f32>,
    dlambda: Vec<f32>,
}

fn families(gpu: &Gpu) -> Vec<Family> {
    Family::ALL.into_iter().filter(|family| family.runs_on(gpu)).collect()
}

impl Case {
    fn new(
        ranks: &[u32],
        ids: Vec<i32>,
        lengths: &[u32],
        [inputs, outputs]: [usize; 2],
        gates: Gates,
    ) -> Self {
        let mut random = Random(ids.len() as u64 * 31 + ranks.len() as u64 + inputs as u64);
        let mut starts = vec![0];
        starts.extend(lengths.iter().scan(0, |sum, length| {
            *sum += length;
            Some(*sum)
        }));
        let rows = starts[ids.len()] as usize;
        let rank = *ranks.iter().max().unwrap() as usize;
        let gate = match gates {
            Gates::None => 0,
            Gates::Sample => ids.len() * rank,
            Gates::SampleScalar => ids.len(),
            Gates::Token => rows * rank,
            Gates::TokenScalar => rows,
        };
        let mut case = Self {
            inputs,
            outputs,
            gates,
            lambda: 0.75,
            family: Family::Threads,
            wide: Dtype::F32,
            weights: Dtype::F32,
            dropout: None,
            bias: Vec::new(),
            arena_elements: u32::MAX,
            x: random.f32s(rows * inputs),
            y: random.f32s(rows * outputs),
            dy: random.f32s(rows * outputs),
            gate: random.f32s(gate).iter().map(|g| g + 1.0).collect(),
            a: ranks.iter().map(|&rank| random.f32s(rank as usize * inputs)).collect(),
            b_t: ranks.iter().map(|&rank| random.f32s(rank as usize * outputs)).collect(),
            ranks: ranks.to_vec(),
            ids,
            starts,
        };
        // Rows without an adapter must be neither read nor written.
        for sample in (0..case.ids.len()).filter(|&sample| case.ids[sample] < 0).collect::<Vec<_>>() {
            for row in case.rows_of(sample) {
                case.x[row * inputs..][..inputs].fill(f32::NAN);
                case.dy[row * outputs..][..outputs].fill(f32::NAN);
                case.y[row * outputs..][..outputs].fill(f32::from_bits(KEPT));
            }
        }
        case
    }

    fn with(&self, family: Family) -> Self {
        Self { family, ..self.clone() }
    }

    /// With rows that a type holds exactly, in f32.
    fn rounded(&self, dtype: Dtype) -> Self {
        let [x, y, dy] = [&self.x, &self.y, &self.dy].map(|values| stored(dtype, values));
        Self { x, y, dy, ..self.clone() }
    }

    /// With biases, dropout and numbers that a type of arenas holds exactly, in f32.
    fn complete(&self, weights: Dtype) -> Self {
        let first_row = (1 << 32) - 3;
        let bias = Random(8).f32s(self.ranks.len() * self.outputs);
        let of_all = |all: &[Vec<f32>]| all.iter().map(|data| stored(weights, data)).collect();
        Self {
            bias: stored(weights, &bias),
            a: of_all(&self.a),
            b_t: of_all(&self.b_t),
            dropout: Some(Dropout { probability: 0.4, seed: 77, step: 3, first_row }),
            ..self.clone()
        }
    }

    /// What dropout multiplies a row of x by.
    fn kept(&self, row: usize) -> Vec<f64> {
        let scale = self.dropout.map_or(1.0, |dropout| 1.0 / (1.0 - f64::from(dropout.probability)));
        let of_row = self.dropout.map(|d| Dropout { first_row: d.first_row.wrapping_add(row as u64), ..d });
        let ones = twin::dropped(of_row, &vec![1.0; self.inputs], self.inputs);
        ones.iter().map(|&one| if one == 0.0 { 0.0 } else { scale }).collect()
    }

    fn rows_of(&self, sample: usize) -> std::ops::Range<usize> {
        self.starts[sample] as usize..self.starts[sample + 1] as usize
    }

    fn rows(&self) -> usize {
        self.starts[self.ids.len()] as usize
    }

    fn rank(&self) -> usize {
        *self.ranks.iter().max().unwrap() as usize
    }

    fn alpha(id: usize) -> f32 {
        3.0 + id as f32 % 5.0
    }

    fn members(&self) -> Vec<Member> {
        let adapters: Vec<_> =
            self.ranks.iter().enumerate().map(|(id, &rank)| (rank, Self::alpha(id))).collect();
        Member::pack(self.inputs as u32, self.outputs as u32, &adapters, self.arena_elements)
    }

    /// The arenas' numbers; what belongs to no adapter is poison.
    fn arenas(&self, members: &[Member]) -> Vec<Vec<f32>> {
        let mut arenas: Vec<Vec<f32>> = Vec::new();
        for (id, member) in members.iter().enumerate() {
            for (place, data) in [(member.a, &self.a[id]), (member.b_t, &self.b_t[id])] {
                arenas.resize(arenas.len().max(place.arena + 1), Vec::new());
                let arena = &mut arenas[place.arena];
                let start = place.start as usize;
                arena.resize(arena.len().max(start + data.len()), f32::from_bits(POISON));
                arena[start..start + data.len()].copy_from_slice(data);
            }
        }
        arenas
    }

    /// `[samples, tokens]` of gates.
    fn gate_shape(&self) -> [u32; 3] {
        let [samples, rows, rank] = [self.ids.len(), self.rows(), self.rank()].map(|n| n as u32);
        match self.gates {
            Gates::None | Gates::Sample => [samples, 1, rank],
            Gates::SampleScalar => [samples, 1, 1],
            Gates::Token => [1, rows, rank],
            Gates::TokenScalar => [1, rows, 1],
        }
    }

    fn gate<'a>(&self, view: View<'a>) -> Gate<'a> {
        match self.gates {
            Gates::None => Gate::None,
            Gates::Sample | Gates::Token => Gate::Rank(view),
            Gates::SampleScalar | Gates::TokenScalar => Gate::Scalar(view),
        }
    }

    fn run(&self, gpu: &'static Gpu, layout: Layout, mode: Mode) -> Results {
        let members = self.members();
        let [inputs, outputs, rows, rank] =
            [self.inputs, self.outputs, self.rows(), self.rank()].map(|n| n as u32);
        let scaling = Scaling::RankStabilized;
        let desc = BankDesc { inputs, outputs, members: &members, scaling, family: Some(self.family) };
        let bank = Bank::new(gpu, &desc).unwrap();
        let routing = bank.route(gpu, &self.ids, RowSample::Starts(&self.starts)).unwrap();
        let mut t = Tensors::new(gpu, layout);
        let numbers = self.arenas(&members);
        let arenas: Vec<_> =
            numbers.iter().map(|data| t.stored([1, 1, data.len() as u32], self.weights, data)).collect();
        let count = self.ranks.len() as u32;
        // Without gaps, whatever the layout: a vector.
        let has_bias = !self.bias.is_empty();
        let bias = has_bias.then(|| match self.weights {
            Dtype::F32 => t.f32([1, 1, count * outputs], &self.bias),
            _ => t.stored([count, 1, outputs], self.weights, &self.bias),
        });
        let dbias = has_bias.then(|| t.poisoned([1, 1, count * outputs]));
        let gradients: Vec<_> = numbers.iter().map(|data| t.poisoned([1, 1, data.len() as u32])).collect();
        let x = t.stored([1, rows, inputs], self.wide, &self.x);
        let y = t.stored([1, rows, outputs], self.wide, &self.y);
        let dy = t.stored([1, rows, outputs], self.wide, &self.dy);
        let has_gates = self.gates != Gates::None;
        let gates = has_gates.then(|| t.f32(self.gate_shape(), &self.gate));
        let dgate = has_gates.then(|| t.poisoned(self.gate_shape()));
        let h = t.poisoned([1, rows, rank]);
        let dx = if mode == Mode::Overwrite {
            t.poisoned_as([1, rows, inputs], self.wide)
        } else {
            t.stored([1, rows, inputs], self.wide, &vec![0.5; self.rows() * self.inputs])
        };
        let dlambda = t.poisoned([1, 1, 1]);
        let views = |tensors: &[Tensor]| tensors.iter().map(|&tensor| t.view(tensor)).collect::<Vec<_>>();
        let rows_of_bias = |tensor| {
            let view: View<'_> = t.view(tensor);
            let sample_stride = if view.shape[0] == 1 { outputs } else { view.sample_stride };
            View { shape: [count, 1, outputs], sample_stride, ..view }
        };
        let bias = bias.map(rows_of_bias);
        let (arenas, outputs) = (views(&arenas), views(&gradients));
        let gate = gates.map_or(Gate::None, |gates| self.gate(t.view(gates)));
        let forward = BankForward {
            x: t.view(x),
            arenas: &arenas,
            bias,
            routing: &routing,
            gate,
            lambda: Knob::Host(self.lambda),
            dropout: self.dropout,
            y: t.view(y),
            h: Some(t.view(h)),
        };
        t.run(|recorder| {
            bank.forward(recorder, &forward)?;
            bank.backward(
                recorder,
                &BankBackward {
                    x: forward.x,
                    dy: t.view(dy),
                    arenas: &arenas,
                    bias,
                    routing: &routing,
                    gate,
                    lambda: forward.lambda,
                    dropout: self.dropout,
                    h: (rank % 2 == 0).then(|| t.view(h)),
                    u: None,
                    dx: Some(t.view(dx)),
                    gradients: Some(&outputs),
                    dbias: dbias.map(rows_of_bias),
                    dgate: dgate.map(|dgate| t.view(dgate)),
                    dlambda: Some(t.view(dlambda)),
                    dx_mode: mode,
                    parameter_mode: Mode::Overwrite,
                    condition_mode: Mode::Overwrite,
                },
            )
        })
        .unwrap();
        let written: Vec<Vec<f32>> = gradients.iter().map(|&tensor| t.read(tensor)).collect();
        let matrix = |place: Place, id: usize, width: usize| {
            written[place.arena][place.start as usize..][..self.ranks[id] as usize * width].to_vec()
        };
        Results {
            y: t.read_stored(y),
            h: t.read(h),
            dx: t.read_stored(dx),
            da: members.iter().enumerate().map(|(id, member)| matrix(member.a, id, self.inputs)).collect(),
            db_t: members
                .iter()
                .enumerate()
                .map(|(id, member)| matrix(member.b_t, id, self.outputs))
                .collect(),
            dbias: dbias.map_or(Vec::new(), |dbias| t.read(dbias)),
            dgate: dgate.map_or(Vec::new(), |dgate| t.read(dgate)),
            dlambda: t.read(dlambda),
        }
    }

    fn scale(&self, id: usize) -> f64 {
        f64::from(Self::alpha(id)) / f64::from(self.ranks[id]).sqrt()
    }

    /// The gate of a row and rank, and its place.
    fn gate_at(&self, sample: usize, row: usize, j: usize) -> Option<usize> {
        match self.gates {
            Gates::None => None,
            Gates::Sample => Some(sample * self.rank() + j),
            Gates::SampleScalar => Some(sample),
            Gates::Token => Some(row * self.rank() + j),
            Gates::TokenScalar => Some(row),
        }
    }

    /// f64, row by row, from the formula; `magnitudes`: of absolute values, for the bounds.
    fn reference(&self, magnitudes: bool) -> Wide {
        let wide = |values: &[f32]| -> Vec<f64> {
            values.iter().map(|&v| if magnitudes { f64::from(v).abs() } else { v.into() }).collect()
        };
        let (x, dy, gate, bias) = (wide(&self.x), wide(&self.dy), wide(&self.gate), wide(&self.bias));
        let [a, b_t] = [&self.a, &self.b_t].map(|all| all.iter().map(|data| wide(data)).collect::<Vec<_>>());
        let zeros = |all: &[Vec<f32>]| all.iter().map(|data| vec![0.0; data.len()]).collect();
        let (inputs, outputs) = (self.inputs, self.outputs);
        let mut out = Wide {
            y: wide(&self.y),
            dx: vec![0.0; x.len()],
            da: zeros(&self.a),
            db_t: zeros(&self.b_t),
            dbias: vec![0.0; bias.len()],
            dgate: vec![0.0; gate.len()],
            dlambda: 0.0,
        };
        for (sample, &id) in self.ids.iter().enumerate() {
            let Ok(id) = usize::try_from(id) else { continue };
            let (s, lambda) = (self.scale(id), f64::from(self.lambda));
            for row in self.rows_of(sample) {
                let (x, dy) = (&x[row * inputs..][..inputs], &dy[row * outputs..][..outputs]);
                let kept = self.kept(row);
                let x: Vec<f64> = x.iter().zip(&kept).map(|(x, kept)| x * kept).collect();
                for (n, bias) in bias.iter().skip(id * outputs).take(outputs).enumerate() {
                    out.y[row * outputs + n] += lambda * s * bias;
                    out.dbias[id * outputs + n] += lambda * s * dy[n];
                    out.dlambda += s * bias * dy[n];
                }
                for j in 0..self.ranks[id] as usize {
                    let (a, b) = (&a[id][j * inputs..][..inputs], &b_t[id][j * outputs..][..outputs]);
                    let h: f64 = x.iter().zip(a).map(|(x, a)| x * a).sum();
                    let u: f64 = dy.iter().zip(b).map(|(y, b)| y * b).sum();
                    let place = self.gate_at(sample, row, j);
                    let g = place.map_or(1.0, |place| gate[place]);
                    for n in 0..outputs {
                        out.y[row * outputs + n] += lambda * s * g * h * b[n];
                        out.db_t[id][j * outputs + n] += lambda * s * g * h * dy[n];
                    }
                    for k in 0..inputs {
                        out.dx[row * inputs + k] += lambda * s * g * u * a[k] * kept[k];
                        out.da[id][j * inputs + k] += lambda * s * g * u * x[k];
                    }
                    if let Some(place) = place {
                        out.dgate[place] += lambda * s * u * h;
                    }
                    out.dlambda += s * g * u * h;
                }
            }
        }
        out
    }

    /// Against the reference; rows without an adapter and adapters without rows by their bits.
    fn check(&self, actual: &Results, label: &str) {
        let (expected, magnitudes) = (self.reference(false), self.reference(true));
        let terms = self.inputs + self.outputs + self.rank() + self.rows() * 2 + 8;
        let bounds = |m: &[f64]| m.iter().map(|&m| sum_bound(terms, m)).collect::<Vec<_>>();
        for (sample, &id) in self.ids.iter().enumerate() {
            let rows = self.rows_of(sample);
            let (y, dx) = (
                rows.start * self.outputs..rows.end * self.outputs,
                rows.start * self.inputs..rows.end * self.inputs,
            );
            if id < 0 {
                assert!(actual.y[y].iter().all(|y| y.to_bits() == KEPT), "y of sample {sample} {label}");
                assert!(actual.dx[dx].iter().all(|dx| dx.to_bits() == 0), "dx of sample {sample} {label}");
                let h = &actual.h[rows.start * self.rank()..rows.end * self.rank()];
                assert!(h.iter().all(|h| *h == 0.0), "h of sample {sample} {label}");
                continue;
            }
            for row in rows {
                let beyond =
                    &actual.h[row * self.rank()..][..self.rank()][self.ranks[id as usize] as usize..];
                assert!(beyond.iter().all(|h| *h == 0.0), "h of row {row} beyond its rank {label}");
            }
            assert_close(
                &format!("y {label}"),
                &actual.y[y.clone()],
                &expected.y[y.clone()],
                &bounds(&magnitudes.y[y]),
            );
            assert_close(
                &format!("dx {label}"),
                &actual.dx[dx.clone()],
                &expected.dx[dx.clone()],
                &bounds(&magnitudes.dx[dx]),
            );
        }
        let has_rows = |id: usize| {
            (0..self.ids.len())
                .any(|sample| self.ids[sample] == id as i32 && !self.rows_of(sample).is_empty())
        };
        for id in 0..self.ranks.len() {
            for (name, actual, expected, magnitudes) in [
                ("da", &actual.da[id], &expected.da[id], &magnitudes.da[id]),
                ("db_t", &actual.db_t[id], &expected.db_t[id], &magnitudes.db_t[id]),
            ] {
                if has_rows(id) {
                    assert_close(&format!("{name} of {id} {label}"), actual, expected, &bounds(magnitudes));
                } else {
                    assert!(actual.iter().all(|v| v.to_bits() == POISON), "{name} of absent {id} {label}");
                }
            }
        }
        for (id, dbias) in actual.dbias.chunks(self.outputs).enumerate() {
            let at = id * self.outputs..(id + 1) * self.outputs;
            if has_rows(id) {
                let bounds = bounds(&magnitudes.dbias[at.clone()]);
                assert_close(&format!("dbias of {id} {label}"), dbias, &expected.dbias[at], &bounds);
            } else {
                assert!(dbias.iter().all(|v| v.to_bits() == POISON), "dbias of absent {id} {label}");
            }
        }
        assert_close(&format!("dgate {label}"), &actual.dgate, &expected.dgate, &bounds(&magnitudes.dgate));
        let terms = terms + self.rows() * self.rank();
        assert_close(
            &format!("dlambda {label}"),
            &actual.dlambda,
            &[expected.dlambda],
            &[sum_bound(terms, magnitudes.dlambda)],
        );
    }

    /// Rows of one adapter alone through the plain op, the samples' gates given per token.
    fn check_against_plain(&self, gpu: &'static Gpu, actual: &Results) {
        for id in 0..self.ranks.len() {
            let samples = (0..self.ids.len()).filter(|&sample| self.ids[sample] == id as i32);
            let rows: Vec<(usize, usize)> =
                samples.flat_map(|sample| self.rows_of(sample).map(move |row| (sample, row))).collect();
            if rows.is_empty() {
                continue;
            }
            let gather = |values: &[f32], width: usize| -> Vec<f32> {
                rows.iter().flat_map(|&(_, row)| values[row * width..][..width].to_vec()).collect()
            };
            let [count, inputs, outputs] = [rows.len(), self.inputs, self.outputs].map(|n| n as u32);
            let rank = self.ranks[id];
            let columns =
                if matches!(self.gates, Gates::SampleScalar | Gates::TokenScalar) { 1 } else { rank };
            let gate: Vec<f32> = rows
                .iter()
                .flat_map(|&(sample, row)| (0..columns as usize).map(move |j| (sample, row, j)))
                .filter_map(|(sample, row, j)| Some(self.gate[self.gate_at(sample, row, j)?]))
                .collect();
            let desc = LoraDesc {
                inputs,
                outputs,
                rank,
                alpha: Self::alpha(id),
                scaling: Scaling::RankStabilized,
                family: Some(self.family),
            };
            let op = Lora::new(&desc).unwrap();
            let mut t = Tensors::new(gpu, Layout::Separate);
            let x = t.f32([1, count, inputs], &gather(&self.x, self.inputs));
            let dy = t.f32([1, count, outputs], &gather(&self.dy, self.outputs));
            let y = t.f32([1, count, outputs], &gather(&self.y, self.outputs));
            let (a, b_t) = (t.f32([rank, 1, inputs], &self.a[id]), t.f32([rank, 1, outputs], &self.b_t[id]));
            let bias = (!self.bias.is_empty())
                .then(|| t.f32([1, 1, outputs], &self.bias[id * self.outputs..][..self.outputs]));
            let dx = t.poisoned([1, count, inputs]);
            let (da, db_t) = (t.poisoned([rank, 1, inputs]), t.poisoned([rank, 1, outputs]));
            let gates = (self.gates != Gates::None).then(|| t.f32([1, count, columns], &gate));
            let gate = gates.map_or(Gate::None, |gates| self.gate(t.view(gates)));
            let lambda = Knob::Host(self.lambda);
            let (x, a, b_t) = (t.view(x), t.view(a), t.view(b_t));
            let (y_view, bias) = (t.view(y), bias.map(|bias| t.view(bias)));
            let forward =
                Forward { x, a, b_t, bias, gate, lambda, dropout: None, y: y_view, out: None, h: None };
            t.run(|recorder| {
                op.forward(recorder, &forward)?;
                op.backward(
                    recorder,
                    &Backward {
                        x,
                        dy: t.view(dy),
                        a,
                        b_t,
                        bias: None,
                        gate,
                        lambda,
                        dropout: None,
                        h: None,
                        u: None,
                        dx: Some(t.view(dx)),
                        da: Some(t.view(da)),
                        db_t: Some(t.view(db_t)),
                        dbias: None,
                        dgate: None,
                        dlambda: None,
                        dx_mode: Mode::Overwrite,
                        parameter_mode: Mode::Overwrite,
                        condition_mode: Mode::Overwrite,
                    },
                )
            })
            .unwrap();
            assert_same_bits("y", &t.read(y), &gather(&actual.y, self.outputs));
            assert_same_bits("dx", &t.read(dx), &gather(&actual.dx, self.inputs));
            assert_same_bits("da", &t.read(da), &actual.da[id]);
            assert_same_bits("db_t", &t.read(db_t), &actual.db_t[id]);
        }
    }
}

struct Wide {
    y: Vec<f64>,
    dx: Vec<f64>,
    da: Vec<Vec<f64>>,
    db_t: Vec<Vec<f64>>,
    dbias: Vec<f64>,
    dgate: Vec<f64>,
    dlambda: f64,
}

#[track_caller]
fn assert_same(a: &Results, b: &Results) {
    assert_same_in("", a, b);
}

#[track_caller]
fn assert_same_in(label: &str, a: &Results, b: &Results) {
    let check = |name: &str, a: &[f32], b: &[f32]| assert_same_bits(&format!("{name} {label}"), a, b);
    check("y", &a.y, &b.y);
    check("h", &a.h, &b.h);
    check("dx", &a.dx, &b.dx);
    check("da", &a.da.concat(), &b.da.concat());
    check("db_t", &a.db_t.concat(), &b.db_t.concat());
    check("dbias", &a.dbias, &b.dbias);
    check("dgate", &a.dgate, &b.dgate);
    check("dlambda", &a.dlambda, &b.dlambda);
}

/// Ids of `samples` samples, the last but one without an adapter.
fn ids(popularity: Popularity, samples: usize, adapters: usize) -> Vec<i32> {
    let mut random = Random(77);
    let mut ids: Vec<i32> = (0..samples)
        .map(|sample| match popularity {
            Popularity::Distinct => (sample * 5 % adapters) as i32,
            Popularity::Uniform => random.below(adapters as u32) as i32,
            // Half the samples take adapter 0, a quarter adapter 1 …
            Popularity::Skewed => (-random.unit().log2()) as i32 % adapters as i32,
            Popularity::Identical => 2,
        })
        .collect();
    ids[samples - 2] = -1;
    ids
}

/// Rows of each sample: of one length, or ragged with an empty sample.
fn lengths(samples: usize, ragged: bool) -> Vec<u32> {
    (0..samples).map(|sample| if ragged { [3, 0, 17, 1, 70, 9][sample % 6] } else { 7 }).collect()
}

#[test]
fn every_popularity_of_mixed_ranks_matches_the_reference_and_the_plain_op() {
    let Some(gpu) = gpu() else { return };
    let ranks = [4, 16, 3, 33, 1, 70, 12, 2, 64, 16, 4];
    for (p, popularity) in POPULARITY.into_iter().enumerate() {
        for ragged in [false, true] {
            for (f, family) in families(gpu).into_iter().enumerate() {
                let gates = GATES[(p * 2 + usize::from(ragged) + f * 3) % GATES.len()];
                let widths = [[13, 18], [20, 36]][(p + f) % 2];
                let samples = 11;
                let case = Case::new(
                    &ranks,
                    ids(popularity, samples, ranks.len()),
                    &lengths(samples, ragged),
                    widths,
                    gates,
                )
                .with(family);
                let actual = case.run(gpu, LAYOUTS[(p + f) % 2], Mode::Overwrite);
                case.check(&actual, &format!("{popularity:?} ragged {ragged} {family:?} {gates:?}"));
                case.check_against_plain(gpu, &actual);
            }
        }
    }
}

#[test]
fn whole_vectors_both_layouts_and_repeats_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    for (family, gates) in
        families(gpu).into_iter().flat_map(|family| [Gates::Sample, Gates::Token].map(|g| (family, g)))
    {
        // Ranks and widths are multiples of four: separate buffers hold vectors, one buffer does not.
        let ranks = [8, 16, 4, 16, 12];
        let case = Case::new(&ranks, ids(Popularity::Uniform, 9, 5), &lengths(9, true), [64, 36], gates)
            .with(family);
        let first = case.run(gpu, Layout::Separate, Mode::Overwrite);
        case.check(&first, &format!("{family:?} {gates:?}"));
        case.check_against_plain(gpu, &first);
        for layout in [Layout::OneBuffer, Layout::Separate, Layout::OneBuffer] {
            assert_same(&first, &case.run(gpu, layout, Mode::Overwrite));
        }
    }
}

#[test]
fn a_sum_of_several_chunks_counts_them_from_the_adapters_first_row() {
    let Some(gpu) = gpu() else { return };
    for family in families(gpu) {
        let case = Case::new(&[4, 3], vec![0, 1, 0, -1, 1], &[300, 5, 400, 3, 600], [6, 5], Gates::Sample)
            .with(family);
        let actual = case.run(gpu, Layout::Separate, Mode::Overwrite);
        case.check(&actual, &format!("{family:?}"));
        case.check_against_plain(gpu, &actual);
    }
}

#[test]
fn biases_and_dropout_match_the_reference_and_biases_the_plain_op() {
    let Some(gpu) = gpu() else { return };
    let ranks = [4, 16, 3, 12, 2];
    for (f, family) in families(gpu).into_iter().enumerate() {
        for (w, widths) in [[13, 18], [64, 36]].into_iter().enumerate() {
            let gates = GATES[(f * 2 + w) % GATES.len()];
            let ids = ids(Popularity::Uniform, 9, ranks.len());
            let case = Case::new(&ranks, ids, &lengths(9, w == 0), widths, gates).with(family);
            let case = case.complete(Dtype::F32);
            let label = format!("{family:?} {widths:?} {gates:?}");
            case.check(&case.run(gpu, LAYOUTS[(f + w) % 2], Mode::Overwrite), &label);
            // Rows gathered for the plain op have other numbers, and so would draw otherwise.
            let case = Case { dropout: None, ..case };
            let actual = case.run(gpu, LAYOUTS[(f + w + 1) % 2], Mode::Overwrite);
            case.check(&actual, &label);
            case.check_against_plain(gpu, &actual);
        }
    }
}

#[test]
fn arenas_of_halves_give_the_bits_of_f32_arenas_of_the_same_numbers() {
    let Some(gpu) = gpu() else { return };
    let ranks = [4, 16, 3, 12, 1];
    for (turn, family) in families(gpu).into_iter().cycle().take(6).enumerate() {
        let weights = [Dtype::F16, Dtype::Bf16][turn / 3];
        let lambda = if turn == 4 { 0.0 } else { 0.75 };
        let widths = [[13, 17], [20, 36]][turn % 2];
        let ids = ids(Popularity::Uniform, 7, ranks.len());
        let case = Case::new(&ranks, ids, &lengths(7, true), widths, GATES[turn % GATES.len()]);
        // In one arena or several.
        let arena_elements = [u32::MAX, 300][turn % 2];
        let case = Case { family, lambda, arena_elements, ..case.complete(weights) };
        let layout = LAYOUTS[turn % 2];
        let halves = Case { weights, ..case.clone() }.run(gpu, layout, Mode::Overwrite);
        let singles = case.run(gpu, layout, Mode::Overwrite);
        assert_same_in(&format!("{weights:?} {family:?} {widths:?} λ {lambda}"), &halves, &singles);
    }
}

#[test]
fn accumulated_dx_keeps_the_bits_of_rows_without_an_adapter() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(&[4], vec![0, -1, 0], &[5, 4, 3], [6, 5], Gates::None);
    let added = case.run(gpu, Layout::Separate, Mode::Accumulate).dx;
    let alone = case.run(gpu, Layout::Separate, Mode::Overwrite).dx;
    assert!(added[30..54].iter().all(|dx| *dx == 0.5));
    for (added, alone) in added.iter().zip(&alone) {
        assert!((added - alone - 0.5).abs() < 1e-5);
    }
}

#[test]
fn gradients_of_the_members_present_match_central_differences() {
    let Some(gpu) = gpu() else { return };
    for (family, gates) in families(gpu).into_iter().flat_map(|family| GATES.map(|gates| (family, gates))) {
        let case = Case::new(&[3, 2], vec![1, 0, -1, 1], &[2, 3, 1, 4], [5, 4], gates).with(family);
        let case = case.complete(Dtype::F32);
        let actual = case.run(gpu, Layout::OneBuffer, Mode::Overwrite);
        let objective = |case: &Case| {
            let y = case.reference(false).y;
            y.iter()
                .zip(&case.dy)
                .filter(|(y, _)| y.is_finite())
                .map(|(y, dy)| y * f64::from(*dy))
                .sum::<f64>()
        };
        // Steps of 2⁻⁶ on f32 inputs are exact enough: the objective is linear in each input.
        let check = |name: &str, actual: f32, change: &dyn Fn(&mut Case, f32)| {
            let [mut above, mut below] = [case.clone(), case.clone()];
            change(&mut above, 0.015625);
            change(&mut below, -0.015625);
            let expected = (objective(&above) - objective(&below)) / 0.03125;
            assert!(
                (f64::from(actual) - expected).abs() < 2e-4,
                "{name} {family:?} {gates:?}: {actual} {expected}"
            );
        };
        for at in 0..case.gate.len() {
            check("dgate", actual.dgate[at], &|case, step| case.gate[at] += step);
        }
        for (id, at) in [(0, 0), (0, 7), (1, 9), (1, 3)] {
            check("da", actual.da[id][at], &|case, step| case.a[id][at] += step);
        }
        for at in 0..case.bias.len() {
            check("dbias", actual.dbias[at], &|case, step| case.bias[at] += step);
        }
        for (id, at) in [(0, 0), (0, 11), (1, 7), (1, 3)] {
            check("db_t", actual.db_t[id][at], &|case, step| case.b_t[id][at] += step);
        }
        check("dlambda", actual.dlambda[0], &|case, step| case.lambda += step);
    }
}

#[test]
fn thousands_of_tiny_adapters_run_in_one_batch() {
    let Some(gpu) = gpu() else { return };
    let ranks: Vec<u32> = (0..3_000).map(|id| 1 + id % 4).collect();
    let samples: Vec<i32> =
        (0..3_000).map(|sample| if sample % 7 == 0 { -1 } else { sample * 1_009 % 3_000 }).collect();
    for family in families(gpu) {
        let case = Case::new(&ranks, samples.clone(), &vec![2; 3_000], [4, 6], Gates::Sample).with(family);
        case.check(&case.run(gpu, Layout::Separate, Mode::Overwrite), &format!("{family:?}"));
    }
}

#[test]
fn adapters_in_several_arenas_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    for family in families(gpu) {
        let ranks = [4, 16, 8, 5, 16, 12];
        let case =
            Case::new(&ranks, ids(Popularity::Uniform, 9, 6), &lengths(9, true), [12, 20], Gates::Token)
                .with(family);
        let whole = case.run(gpu, Layout::Separate, Mode::Overwrite);
        for arena_elements in [1, 600] {
            assert_same(
                &whole,
                &Case { arena_elements, ..case.clone() }.run(gpu, Layout::Separate, Mode::Overwrite),
            );
        }
    }
}

#[test]
fn arenas_beyond_one_binding_are_taken_window_by_window() {
    let Some(gpu) = gpu() else { return };
    const WIDTH: usize = 4_096;
    let members = Member::pack(WIDTH as u32, WIDTH as u32, &[(4, 4.0); 1_100], u32::MAX);
    let elements = 1_100 * 8 * WIDTH as u64;
    assert!(elements * 4 > gpu.limits().max_storage_buffer_binding_size);
    let [arena, gradient] = ["arena", "gradient"].map(|label| gpu.zeros(label, elements * 4));
    let ids: Vec<i32> = (0..1_100).step_by(9).collect();
    let mut random = Random(5);
    let numbers: Vec<Vec<f32>> = ids.iter().map(|_| random.f32s(8 * WIDTH)).collect();
    for (id, data) in ids.iter().zip(&numbers) {
        let at = u64::from(members[*id as usize].a.start) * 4;
        gpu.queue().write_buffer(&arena, at, bytemuck::cast_slice(data));
    }
    let rows = ids.len() as u32;
    let [x, dy] = [(); 2].map(|()| random.f32s(ids.len() * WIDTH));
    let (given, dy_given) = (gpu.upload("x", &x), gpu.upload("dy", &dy));
    for family in families(gpu) {
        let desc = BankDesc {
            inputs: WIDTH as u32,
            outputs: WIDTH as u32,
            members: &members,
            family: Some(family),
            ..Default::default()
        };
        let bank = Bank::new(gpu, &desc).unwrap();
        let routing = bank.route(gpu, &ids, RowSample::Uniform(1)).unwrap();
        let y = gpu.zeros("y", u64::from(rows) * WIDTH as u64 * 4);
        // Members without rows, one in the middle of the second window and one past it.
        let absent = [1_000, 1_099].map(|id| u64::from(members[id].b_t.start) * 4);
        for at in absent {
            gpu.queue().write_buffer(&gradient, at, &POISON.to_le_bytes());
        }
        let view = |buffer| View::matrix(buffer, rows, WIDTH as u32);
        let arenas = [View::vector(&arena, elements as u32)];
        let gradients = [View::vector(&gradient, elements as u32)];
        let (x_view, lambda) = (view(&given), Knob::Host(1.0));
        gpu.run(|recorder| {
            let forward = BankForward {
                x: x_view,
                arenas: &arenas,
                bias: None,
                routing: &routing,
                gate: Gate::None,
                lambda,
                dropout: None,
                y: view(&y),
                h: None,
            };
            bank.forward(recorder, &forward)?;
            bank.backward(
                recorder,
                &BankBackward { gradients: Some(&gradients), ..no_gradients(&forward, view(&dy_given)) },
            )
        })
        .unwrap();
        let read = |view: View<'_>| pollster::block_on(gpu.read_f32(&view)).unwrap();
        let y = read(view(&y));
        for at in absent {
            assert_eq!(read(View::vector(&gradient, 1).at(at))[0].to_bits(), POISON);
        }
        for (row, (id, data)) in ids.iter().zip(&numbers).enumerate() {
            let (a, b) = data.split_at(4 * WIDTH);
            let [x, dy] = [&x, &dy].map(|values| &values[row * WIDTH..][..WIDTH]);
            let dot = |x: &[f32], a: &[f32]| {
                x.iter().zip(a).map(|(x, a)| f64::from(*x) * f64::from(*a)).sum::<f64>()
            };
            let h: Vec<f64> = a.chunks(WIDTH).map(|a| dot(x, a)).collect();
            let db = read(
                View::vector(&gradient, 4 * WIDTH as u32).at(u64::from(members[*id as usize].b_t.start) * 4),
            );
            for n in [0, 1, 777, WIDTH - 1] {
                let expected: f64 = (0..4).map(|j| h[j] * f64::from(b[j * WIDTH + n])).sum();
                assert!((f64::from(y[row * WIDTH + n]) - expected).abs() < 2e-3, "y of {id} {family:?}");
                for j in 0..4 {
                    let expected = h[j] * f64::from(dy[n]);
                    assert!(
                        (f64::from(db[j * WIDTH + n]) - expected).abs() < 1e-3,
                        "db_t of {id} {family:?}"
                    );
                }
            }
        }
    }
}

/// A backward of the same arguments that asks for nothing.
fn no_gradients<'a>(args: &BankForward<'a>, dy: View<'a>) -> BankBackward<'a> {
    BankBackward {
        x: args.x,
        dy,
        arenas: args.arenas,
        bias: args.bias,
        routing: args.routing,
        gate: args.gate,
        lambda: args.lambda,
        dropout: args.dropout,
        h: None,
        u: None,
        dx: None,
        gradients: None,
        dbias: None,
        dgate: None,
        dlambda: None,
        dx_mode: Mode::Overwrite,
        parameter_mode: Mode::Overwrite,
        condition_mode: Mode::Overwrite,
    }
}

#[test]
fn a_host_lambda_of_zero_zeroes_the_members_present_alone() {
    let Some(gpu) = gpu() else { return };
    let case =
        Case { lambda: 0.0, ..Case::new(&[3, 4, 2], vec![2, -1, 0], &[5, 2, 3], [6, 5], Gates::Sample) };
    let actual = case.run(gpu, Layout::OneBuffer, Mode::Overwrite);
    case.check(&actual, "off");
    assert_same_bits("y", &actual.y, &case.y);
    assert!(actual.dlambda[0] != 0.0);
}

/// A bank of one on uniform samples whose class tokens are skipped, and the plain op on the same views.
#[test]
fn one_adapter_routed_past_class_tokens_gives_the_bits_of_the_plain_op() {
    let Some(gpu) = gpu() else { return };
    for family in families(gpu) {
        let mut random = Random(9);
        let (inputs, outputs, rank) = (12, 20, 8);
        let desc = LoraDesc { inputs, outputs, rank, alpha: 4.0, family: Some(family), ..Default::default() };
        let op = Lora::new(&desc).unwrap();
        let [a_place, b_place] = [0, 1].map(|arena| Place { arena, start: 0 });
        let members = [Member { rank, alpha: 4.0, a: a_place, b_t: b_place }];
        let bank_desc =
            BankDesc { inputs, outputs, members: &members, family: Some(family), ..Default::default() };
        let bank = Bank::new(gpu, &bank_desc).unwrap();
        let routing = bank.route(gpu, &[0; 5], RowSample::Uniform(9)).unwrap();
        let mut t = Tensors::new(gpu, Layout::Separate);
        let x = t.f32([5, 10, inputs], &random.f32s(600));
        let before = random.f32s(1_000);
        let [plain, routed] = [(); 2].map(|()| t.f32([5, 10, outputs], &before));
        let (a, b_t) =
            (t.f32([rank, 1, inputs], &random.f32s(96)), t.f32([rank, 1, outputs], &random.f32s(160)));
        let gates = t.f32([5, 1, rank], &random.f32s(40));
        let skip = |tensor| {
            let view: View<'_> = t.view(tensor);
            View { shape: [5, 9, view.width()], offset: view.offset + u64::from(view.row_stride) * 4, ..view }
        };
        let (gate, lambda) = (Gate::Rank(t.view(gates)), Knob::Host(0.5));
        let dropout = Some(Dropout { probability: 0.3, seed: 5, ..Default::default() });
        let arenas = [a, b_t].map(|tensor| {
            let view = t.view(tensor);
            View::vector(view.buffer, view.rows() as u32 * view.width())
        });
        t.run(|recorder| {
            let forward = Forward {
                x: skip(x),
                a: t.view(a),
                b_t: t.view(b_t),
                bias: None,
                gate,
                lambda,
                dropout,
                y: skip(plain),
                out: None,
                h: None,
            };
            op.forward(recorder, &forward)?;
            let forward = BankForward {
                x: skip(x),
                arenas: &arenas,
                bias: None,
                routing: &routing,
                gate,
                lambda,
                dropout,
                y: skip(routed),
                h: None,
            };
            bank.forward(recorder, &forward)
        })
        .unwrap();
        let after = t.read(plain);
        assert_same_bits("y", &after, &t.read(routed));
        for sample in 0..5 {
            assert_same_bits("class token", &after[sample * 200..][..20], &before[sample * 200..][..20]);
            assert!(after[sample * 200 + 20..][..180] != before[sample * 200 + 20..][..180]);
        }
    }
}

#[test]
fn layers_in_waves_give_the_bits_of_one_call_after_the_other() {
    let Some(gpu) = gpu() else { return };
    let members = Member::pack(6, 5, &[(4, 4.0), (3, 3.0)], u32::MAX);
    let bank =
        Bank::new(gpu, &BankDesc { inputs: 6, outputs: 5, members: &members, ..Default::default() }).unwrap();
    let routing = bank.route(gpu, &[1, 0], RowSample::Starts(&[0, 3, 7])).unwrap();
    let lora = Lora::new(&LoraDesc { inputs: 6, outputs: 5, rank: 4, ..Default::default() }).unwrap();
    let off = Knob::Host(0.0);
    for layout in LAYOUTS {
        let mut random = Random(3);
        let mut t = Tensors::new(gpu, layout);
        let x = t.f32([1, 7, 6], &random.f32s(42));
        let arena = t.f32([1, 1, 80], &random.f32s(80));
        let (a, b_t) = (t.f32([4, 1, 6], &random.f32s(24)), t.f32([4, 1, 5], &random.f32s(20)));
        let gates = t.f32([1, 1, 4], &random.f32s(4));
        let a16 = t.stored([4, 1, 6], Dtype::F16, &random.f32s(24));
        let b16 = t.stored([4, 1, 5], Dtype::F16, &random.f32s(20));
        let bias = t.stored([1, 1, 5], Dtype::F16, &random.f32s(5));
        let before = random.f32s(35);
        let ys: Vec<_> = (0..9).map(|_| t.f32([1, 7, 5], &before)).collect();
        let [beside, kept] = [(); 2].map(|()| t.poisoned([1, 7, 5]));
        let arenas = [t.view(arena)];
        let (x, a, b_t, gate, lambda) =
            (t.view(x), t.view(a), t.view(b_t), Gate::Rank(t.view(gates)), Knob::Host(0.5));
        let one = |y: usize, lambda| {
            let y = t.view(ys[y]);
            Forward { x, a, b_t, bias: None, gate, lambda, dropout: None, y, out: None, h: None }
        };
        let [a16, b16, bias] = [a16, b16, bias].map(|tensor| t.view(tensor));
        let dropout = Some(Dropout { probability: 0.3, seed: 5, ..Default::default() });
        let halves = |y: usize| Forward { a: a16, b_t: b16, bias: Some(bias), dropout, ..one(y, lambda) };
        let many = |y: usize| BankForward {
            x,
            arenas: &arenas,
            bias: None,
            routing: &routing,
            gate: Gate::None,
            lambda,
            dropout: None,
            y: t.view(ys[y]),
            h: None,
        };
        t.run(|recorder| {
            lora.forward(recorder, &one(0, lambda))?;
            bank.forward(recorder, &many(1))?;
            lora.forward(recorder, &halves(3))?;
            let layers = [
                Layer::One(&lora, one(4, lambda)),
                Layer::One(&lora, one(6, off)),
                Layer::One(&lora, Forward { out: Some(t.view(beside)), ..one(8, lambda) }),
                Layer::One(&lora, Forward { out: Some(t.view(kept)), ..one(8, off) }),
                Layer::Many(&bank, many(5)),
                Layer::One(&lora, halves(7)),
            ];
            forward_layers(recorder, &layers)
        })
        .unwrap();
        for y in 0..4 {
            assert_same_bits("y", &t.read(ys[y]), &t.read(ys[y + 4]));
        }
        assert_same_bits("out of place", &t.read(beside), &t.read(ys[0]));
        assert_same_bits("off, out of place", &t.read(kept), &before);
        assert_same_bits("y that is read", &t.read(ys[8]), &before);
        assert_ne!(t.read(ys[0]), t.read(ys[1]));
        assert_ne!(t.read(ys[0]), t.read(ys[3]));
        let same_y = [Layer::One(&lora, one(0, lambda)), Layer::Many(&bank, many(0))];
        let refused = t.run(|recorder| forward_layers(recorder, &same_y)).unwrap_err().to_string();
        assert!(refused.contains("overlap"), "{refused}");
    }
}

/// Rows of halves change loads and stores alone: all else has the bits that f32 rows of the same numbers give, and y and dx are
/// theirs, rounded once.
#[test]
fn rows_of_halves_give_what_f32_rows_give_rounded_once() {
    let Some(gpu) = gpu() else { return };
    let ranks = [4, 16, 3, 33, 70, 12];
    let mut turn = 0;
    for wide in [Dtype::F16, Dtype::Bf16] {
        for family in families(gpu) {
            for widths in [[13, 17], [20, 36], [64, 64]] {
                turn += 1;
                let lambda = if turn % 6 == 0 { 0.0 } else { 0.75 };
                let ids = ids(Popularity::Distinct, 7, ranks.len());
                let case = Case::new(&ranks, ids, &lengths(7, true), widths, GATES[turn % GATES.len()]);
                let case = Case { family, lambda, ..case.rounded(wide) };
                let label = format!("{wide:?} {family:?} {widths:?} λ {lambda}");
                for mode in [Mode::Overwrite, Mode::Accumulate] {
                    let layout = LAYOUTS[turn % 2];
                    let halves = Case { wide, ..case.clone() }.run(gpu, layout, mode);
                    let mut singles = case.run(gpu, layout, mode);
                    singles.y = stored(wide, &singles.y);
                    singles.dx = stored(wide, &singles.dx);
                    assert_same_in(&format!("{label} {mode:?}"), &halves, &singles);
                }
            }
        }
    }
}

fn stored(dtype: Dtype, values: &[f32]) -> Vec<f32> {
    values.iter().map(|&value| dtype.round(value)).collect()
}

#[test]
fn bad_banks_and_routings_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let members = Member::pack(3, 4, &[(5, 1.0), (2, 1.0)], u32::MAX);
    let desc = BankDesc { inputs: 3, outputs: 4, members: &members, ..Default::default() };
    let bank = Bank::new(gpu, &desc).unwrap();
    let refused = |members: &[Member]| Bank::new(gpu, &BankDesc { members, ..desc }).unwrap_err().to_string();
    assert!(refused(&[]).contains("`members`"));
    let wide = refused(&[members[0], Member { rank: 257, ..members[1] }]);
    assert!(wide.contains("`rank` is 257 of adapter 1"), "{wide}");
    assert!(refused(&[Member { alpha: f32::NAN, ..members[0] }]).contains("`alpha`"));
    let route = |ids: &[i32], rows| bank.route(gpu, ids, rows).unwrap_err().to_string();
    assert!(route(&[0, 2], RowSample::Uniform(1)).contains("`adapters` is 2 at sample 1"));
    assert!(route(&[-2], RowSample::Uniform(1)).contains("`adapters` is -2"));
    assert!(route(&[0, 1], RowSample::Starts(&[0, 3])).contains("S + 1 starts"));
    assert!(route(&[0, 1], RowSample::Starts(&[0, 3, 2])).contains("2 after 3 at sample 1"));
    assert!(route(&[0], RowSample::Starts(&[1, 3])).contains("from row 1"));

    let routing = bank.route(gpu, &[0, 1], RowSample::Uniform(2)).unwrap();
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let (x, y) = (t.f32([2, 2, 3], &[0.0; 12]), t.poisoned([2, 2, 4]));
    let (arena, short) = (t.f32([1, 1, 60], &[0.0; 60]), t.f32([1, 1, 40], &[0.0; 40]));
    let gates = t.f32([2, 1, 2], &[1.0; 4]);
    let (arenas, short) = ([t.view(arena)], [t.view(short)]);
    let lambda = Knob::Host(1.0);
    let good = BankForward {
        x: t.view(x),
        arenas: &arenas,
        bias: None,
        routing: &routing,
        gate: Gate::None,
        lambda,
        dropout: None,
        y: t.view(y),
        h: None,
    };
    let message =
        |args: BankForward<'_>| t.run(|recorder| bank.forward(recorder, &args)).unwrap_err().to_string();
    assert!(message(BankForward { arenas: &short, ..good }).contains("40 elements in arena 0"));
    assert!(message(BankForward { arenas: &[], ..good }).contains("0 arenas"));
    assert!(message(BankForward { gate: Gate::Rank(t.view(gates)), ..good }).contains("`gate`"));
    let whole = arenas.map(|arena| arena.of(Dtype::U32));
    let refused = message(BankForward { arenas: &whole, ..good });
    assert!(refused.contains("`arenas` is U32"), "{refused}");
    let biases = View { shape: [2, 1, 4], sample_stride: 5, ..arenas[0] };
    let refused = message(BankForward { bias: Some(biases), ..good });
    assert!(refused.contains("`bias`") && refused.contains("without gaps"), "{refused}");
    assert!(message(BankForward { bias: Some(biases.of(Dtype::F16)), ..good }).contains("`bias`"));
    let dropout = Some(Dropout { probability: 1.0, ..Default::default() });
    assert!(message(BankForward { dropout, ..good }).contains("`dropout`"));
    let args = BankBackward { dbias: Some(biases), ..no_gradients(&good, t.view(y)) };
    let refused = t.run(|recorder| bank.backward(recorder, &args)).unwrap_err().to_string();
    assert!(refused.contains("`dbias`") && refused.contains("no bias"), "{refused}");
    let far = Member { a: Place { arena: usize::MAX, start: 0 }, ..members[0] };
    let refused = Bank::new(gpu, &BankDesc { members: &[far], ..desc }).unwrap_err().to_string();
    assert!(refused.contains("of adapter 0") && refused.contains("at most 65536"), "{refused}");
    let half = View { shape: [2, 2, 4], ..t.view(y) }.of(Dtype::F16);
    assert!(message(BankForward { y: half, ..good }).contains("`y`"), "x is f32, y is not");
    let fewer = bank.route(gpu, &[0], RowSample::Uniform(3)).unwrap();
    assert!(message(BankForward { routing: &fewer, ..good }).contains("of 3 rows"));
    let other = Bank::new(gpu, &BankDesc { members: &members[..1], ..desc }).unwrap();
    let other = other.route(gpu, &[0, 0], RowSample::Uniform(2)).unwrap();
    assert!(message(BankForward { routing: &other, ..good }).contains("for 1 adapters"));
    let inside = View { offset: arenas[0].offset + 8, ..t.view(y) };
    assert!(message(BankForward { y: inside, ..good }).contains("overlap"));
    let twice = [members[0], Member { rank: 5, ..members[0] }];
    let shared = Bank::new(gpu, &BankDesc { members: &twice, ..desc }).unwrap();
    let args = BankBackward { gradients: Some(&arenas), ..no_gradients(&good, t.view(y)) };
    let refused = t.run(|recorder| shared.backward(recorder, &args)).unwrap_err().to_string();
    assert!(refused.contains("adapters 0 and 1"), "{refused}");
    assert!(t.read(y).iter().all(|value| value.to_bits() == POISON), "nothing may have been recorded");
}

#[test]
fn accumulated_gradients_add_to_the_members_present_alone() {
    let Some(gpu) = gpu() else { return };
    let members = Member::pack(6, 5, &[(4, 4.0), (3, 3.0), (2, 2.0)], u32::MAX);
    let bank =
        Bank::new(gpu, &BankDesc { inputs: 6, outputs: 5, members: &members, ..Default::default() }).unwrap();
    let routing = bank.route(gpu, &[1, -1, 0], RowSample::Starts(&[0, 70, 72, 75])).unwrap();
    let mut random = Random(3);
    for per_token in [false, true] {
        let mut t = Tensors::new(gpu, Layout::OneBuffer);
        let (x, dy) = (t.f32([1, 75, 6], &random.f32s(450)), t.f32([1, 75, 5], &random.f32s(375)));
        let (arena, gradient) = (t.f32([1, 1, 104], &random.f32s(104)), t.poisoned([1, 1, 104]));
        let shape = if per_token { [1, 75, 4] } else { [3, 1, 4] };
        let gates = t.f32(shape, &random.f32s((shape[0] * shape[1] * 4) as usize));
        let (dgate, y) = (t.poisoned(shape), t.poisoned([1, 75, 5]));
        let (arenas, gradients) = ([t.view(arena)], [t.view(gradient)]);
        let (gate, lambda) = (Gate::Rank(t.view(gates)), Knob::Host(0.5));
        let forward = BankForward {
            x: t.view(x),
            arenas: &arenas,
            bias: None,
            routing: &routing,
            gate,
            lambda,
            dropout: None,
            y: t.view(y),
            h: None,
        };
        let run = |mode| {
            let args = BankBackward {
                gradients: Some(&gradients),
                dgate: Some(t.view(dgate)),
                parameter_mode: mode,
                condition_mode: mode,
                ..no_gradients(&forward, t.view(dy))
            };
            t.run(|recorder| bank.backward(recorder, &args)).unwrap();
            [t.read(gradient), t.read(dgate)]
        };
        let (once, twice) = (run(Mode::Overwrite), run(Mode::Accumulate));
        // Member 2 has no rows: its elements, from 80 on, and the gaps between matrices stay poisoned.
        assert!(once[0][80..].iter().all(|value| value.to_bits() == POISON));
        for (once, twice) in once.iter().flatten().zip(twice.iter().flatten()) {
            let expected = if once.to_bits() == POISON { *once } else { 2.0 * once };
            assert_eq!(twice.to_bits(), expected.to_bits());
        }
    }
}
