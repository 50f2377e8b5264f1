//! A case's numbers in f64, and what the reference makes of each of its outputs.

use super::case::{Case, Many};
use super::memory::{Memory, Spot};
use super::reference::{Adapter, Model, Outputs};
use crate::support::*;
use gtca::common::rng;
use gtca::gpu::{Dtype, Mode};
use gtca::lora::{Dropout, LoraDesc, PURPOSE_DROPOUT, Place, Scaling};

/// The sample of every row.
fn samples(case: &Case) -> Vec<usize> {
    match &case.many {
        None => (0..case.batch[0]).flat_map(|sample| vec![sample as usize; case.batch[1] as usize]).collect(),
        Some(many) => {
            let of_sample = |(sample, ends): (usize, &[u32])| vec![sample; (ends[1] - ends[0]) as usize];
            many.starts.windows(2).enumerate().flat_map(of_sample).collect()
        }
    }
}

/// A matrix or vector of an adapter inside an arena.
fn inside(arena: &Spot, start: u32, rank: u32, width: u32) -> Spot {
    let offset = arena.offset + u64::from(start) * arena.dtype.bytes();
    Spot { offset, shape: [rank, 1, width], sample_stride: width, row_stride: width, ..*arena }
}

pub fn model(case: &Case, memory: &Memory) -> Model {
    let get = |name: &str| case.spots.get(name).map(|spot| wide(&memory.get(spot)));
    let LoraDesc { inputs, outputs, rank, alpha, scaling, .. } = case.desc;
    let scale = |rank: u32, alpha: f32| match scaling {
        Scaling::Standard => f64::from(alpha) / f64::from(rank),
        _ => f64::from(alpha) / f64::from(rank).sqrt(),
    };
    let samples = samples(case);
    let (adapters, adapter_of_row) = match &case.many {
        None => {
            let (a, b_t, bias) = (get("a").unwrap(), get("b_t").unwrap(), get("bias").unwrap_or_default());
            let one = Adapter { rank: rank as usize, scale: scale(rank, alpha), a, b_t, bias };
            (vec![one], vec![Some(0); samples.len()])
        }
        Some(Many { members, ids, .. }) => {
            let matrix = |place: Place, rank, width| {
                let arena = &case.spots[format!("a{}", place.arena).as_str()];
                wide(&memory.get(&inside(arena, place.start, rank, width)))
            };
            let biases = get("bias").unwrap_or_default();
            let width = outputs as usize;
            let adapters = members.iter().enumerate().map(|(id, member)| Adapter {
                rank: member.rank as usize,
                scale: scale(member.rank, member.alpha),
                a: matrix(member.a, member.rank, inputs),
                b_t: matrix(member.b_t, member.rank, outputs),
                bias: biases.iter().skip(id * width).take(width).copied().collect(),
            });
            (adapters.collect(), samples.iter().map(|&sample| usize::try_from(ids[sample]).ok()).collect())
        }
    };
    let rank = rank as usize;
    let gate_at = (0..samples.len() * rank).map(|at| {
        let (row, j) = (at / rank, at % rank);
        case.gates.map(|gates| {
            let line = if gates.per_token { row } else { samples[row] };
            if gates.scalar { line } else { line * rank + j }
        })
    });
    Model {
        inputs: inputs as usize,
        outputs: outputs as usize,
        rank,
        adapters,
        adapter_of_row,
        gates: get("gate").unwrap_or_default(),
        gate_at: gate_at.collect(),
        lambda: case.lambda.into(),
        x: get("x").unwrap(),
        kept: kept(case.dropout, samples.len(), inputs as usize),
        dy: get("dy").unwrap_or_default(),
        h: get("h").filter(|_| case.backward),
    }
}

/// What dropout multiplies x by, as its documentation says.
fn kept(dropout: Option<Dropout>, rows: usize, width: usize) -> Vec<f64> {
    let Some(Dropout { probability, seed, step, first_row }) = dropout else {
        return vec![1.0; rows * width];
    };
    let p = f64::from(probability);
    let kept = |at: usize| {
        let (row, k) = (first_row.wrapping_add((at / width) as u64), at % width);
        let draws = rng::draw4(seed, PURPOSE_DROPOUT, row, step, k as u32 / 4);
        if f64::from(draws[k % 4]) < p * 2f64.powi(32) { 0.0 } else { 1.0 / (1.0 - p) }
    };
    (0..rows * width).map(kept).collect()
}

/// What an element of an output must be.
#[derive(Clone, Copy)]
pub enum Expected {
    /// The bits that it had.
    Kept,
    /// These bits.
    Bits(u32),
    /// A number, within a bound; without one that is finite, anything.
    Near(f64, f64),
}

/// Elements of an output: those of a sum that is written or added, whose magnitude is known.
struct Sums<'a> {
    values: &'a [f64],
    magnitudes: &'a [f64],
    terms: usize,
}

impl Sums<'_> {
    fn expected(&self, before: &[f32], mode: Mode, dtype: Dtype) -> Vec<Expected> {
        let of_one = |((value, magnitude), before): ((&f64, &f64), &f32)| {
            let before = if mode == Mode::Accumulate { f64::from(*before) } else { 0.0 };
            let value = value + before;
            // Subnormals may be flushed wherever they arise.
            let bound = sum_bound(self.terms, magnitude + before.abs()) + 1e-30;
            let (unit, least, largest) = match dtype {
                Dtype::F16 => (2f64.powi(-11), 2f64.powi(-25), 65_000.0),
                Dtype::Bf16 => (2f64.powi(-8), 2f64.powi(-134), 1e37),
                _ => (0.0, 0.0, 1e37),
            };
            let overflows = value.abs() + bound > largest || !magnitude.is_finite() || *magnitude > 1e37;
            let bound = bound + unit * (bound + value.abs()) + least;
            Expected::Near(value, if overflows { f64::INFINITY } else { bound })
        };
        self.values.iter().zip(self.magnitudes).zip(before).map(of_one).collect()
    }
}

/// The reference's outputs of a case.
pub struct Reference<'a> {
    case: &'a Case,
    before: &'a Memory,
    model: Model,
    values: Outputs,
    magnitudes: Outputs,
}

impl<'a> Reference<'a> {
    pub fn new(case: &'a Case, before: &'a Memory) -> Self {
        let model = model(case, before);
        let (values, magnitudes) = (model.outputs(), model.magnitudes().outputs());
        Self { case, before, model, values, magnitudes }
    }

    /// Where every output lies, and what must be there.
    pub fn expected(&self) -> Vec<(String, Spot, Vec<Expected>)> {
        let written = self.case.spots.iter().filter(|(name, _)| self.case.is_output(name));
        let of_one = |(name, spot): (&&str, &Spot)| match name.strip_prefix('g').map(str::parse) {
            Some(Ok(arena)) => self.of_arena(arena, spot),
            _ => vec![((*name).to_owned(), *spot, self.of_output(name, spot))],
        };
        written.flat_map(of_one).collect()
    }

    /// Roundings on the way of an output without a sum over rows, and of one with it.
    fn terms(&self) -> [usize; 2] {
        let Model { inputs, outputs, rank, adapter_of_row, .. } = &self.model;
        let (widths, rows) = (inputs + outputs + rank + 8, adapter_of_row.len());
        [widths, widths + rows.min(512) * 2 + rows / 64 + 2 + 64 * rank]
    }

    fn is_off_for_the_host(&self) -> bool {
        self.case.lambda == 0.0 && !self.case.spots.contains_key("lambda")
    }

    fn of_output(&self, name: &str, spot: &Spot) -> Vec<Expected> {
        if name == "out" {
            // What y in place would become.
            let y = &self.case.spots["y"];
            let kept = |(expected, bits)| {
                if let Expected::Kept = expected { Expected::Bits(bits) } else { expected }
            };
            return self.of_output("y", y).into_iter().zip(self.before.bits(y)).map(kept).collect();
        }
        let [of_row, of_rows] = self.terms();
        let both = [&self.values, &self.magnitudes];
        let (parts, terms): ([Vec<f64>; 2], usize) = match name {
            "y" => (both.map(|out| out.y.clone()), of_row),
            "h" => (both.map(|out| out.h.clone()), of_row),
            "u" => (both.map(|out| out.u.clone()), of_row),
            "dx" => (both.map(|out| out.dx.clone()), of_row),
            "da" => (both.map(|out| out.da.concat()), of_rows),
            "db_t" => (both.map(|out| out.db_t.concat()), of_rows),
            "dbias" => (both.map(|out| out.dbias.concat()), of_rows),
            "dgate" => (both.map(|out| out.dgate.clone()), of_rows),
            _ => (both.map(|out| vec![out.dlambda]), of_rows),
        };
        let (mode, [values, magnitudes]) = (self.case.mode_of(name), &parts);
        let mut expected =
            Sums { values, magnitudes, terms }.expected(&self.before.get(spot), mode, spot.dtype);
        let width = (spot.shape[2] as usize).max(1);
        let adapters = &self.model.adapters;
        match name {
            "y" | "dx" => {
                let is_off = |id: usize| self.case.lambda == 0.0 || adapters[id].scale == 0.0;
                for (row, expected) in expected.chunks_mut(width).enumerate() {
                    if self.model.adapter_of_row[row].is_none_or(is_off) {
                        expected.fill(off(mode));
                    }
                }
            }
            "h" | "u" | "dlambda" => {}
            _ if self.is_off_for_the_host() => expected.fill(off(mode)),
            _ => {}
        }
        if name == "dbias" && self.case.many.is_some() {
            let of_adapters = expected.chunks_mut(width).enumerate();
            of_adapters.filter(|(id, _)| !self.has_rows(*id)).for_each(|(_, out)| out.fill(Expected::Kept));
        }
        expected
    }

    fn has_rows(&self, id: usize) -> bool {
        self.model.adapter_of_row.contains(&Some(id))
    }

    /// Gradients of the adapters with rows whose matrices lie in an arena; all else there is kept.
    fn of_arena(&self, arena: usize, spot: &Spot) -> Vec<(String, Spot, Vec<Expected>)> {
        let LoraDesc { inputs, outputs, .. } = self.case.desc;
        let (mode, terms) = (self.case.mode_of("g"), self.terms()[1]);
        let (values, magnitudes) = (&self.values, &self.magnitudes);
        let members = self.case.many.iter().flat_map(|many| &many.members).enumerate();
        let sides = members.filter(|(id, _)| self.has_rows(*id)).flat_map(|(id, member)| {
            let rank = member.rank;
            [
                (id, rank, member.a, inputs, &values.da[id], &magnitudes.da[id]),
                (id, rank, member.b_t, outputs, &values.db_t[id], &magnitudes.db_t[id]),
            ]
        });
        let of_side =
            |(id, rank, place, width, values, magnitudes): (usize, u32, Place, u32, &Vec<f64>, &Vec<f64>)| {
                let own = inside(spot, place.start, rank, width);
                let sums = Sums { values, magnitudes, terms };
                let mut expected = sums.expected(&self.before.get(&own), mode, Dtype::F32);
                if self.is_off_for_the_host() {
                    expected.fill(off(mode));
                }
                (format!("gradient of {id} in arena {arena}"), own, expected)
            };
        sides.filter(|(_, _, place, ..)| place.arena == arena).map(of_side).collect()
    }
}

/// Of an output that the call has nothing to add to.
fn off(mode: Mode) -> Expected {
    if mode == Mode::Accumulate { Expected::Kept } else { Expected::Near(0.0, 0.0) }
}
