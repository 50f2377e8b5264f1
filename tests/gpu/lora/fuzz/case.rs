//! A call of the injection made from a list of choices, lawful or with one fault.

use super::memory::Spot;
use gtca::gpu::{Dtype, Mode};
use gtca::lora::{Dropout, Family, LoraDesc, Member, Scaling};
use std::collections::BTreeMap;

/// Choices that a case is made of. 0 is the plainest, so that shrinking leads to plain cases.
struct Choices(std::vec::IntoIter<u32>);

impl Choices {
    fn below(&mut self, n: u32) -> u32 {
        let choice = self.0.next().unwrap_or(0);
        ((u64::from(choice) * u64::from(n)) >> 32) as u32
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == n - 1
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize]
    }

    /// A width, a rank or a count of rows: mostly small, sometimes beside the edge of a tile.
    fn size(&mut self) -> u32 {
        match self.below(8) {
            0..=3 => 1 + self.below(9),
            4..=6 => 1 + self.below(33),
            _ => self.of(&[63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513]),
        }
    }

    /// Mostly of the classes that compile fast.
    fn rank(&mut self) -> u32 {
        if self.one_in(8) { 1 + self.below(256) } else { 1 + self.below(17) }
    }
}

/// Adapters and samples of a bank.
#[derive(Clone, Debug)]
pub struct Many {
    pub members: Vec<Member>,
    /// Elements of every arena.
    pub arenas: Vec<u32>,
    pub ids: Vec<i32>,
    pub starts: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
pub struct Gates {
    pub scalar: bool,
    pub per_token: bool,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub seed: u64,
    /// Of a bank: rank is the largest.
    pub desc: LoraDesc,
    /// Samples and tokens of x.
    pub batch: [u32; 2],
    pub many: Option<Many>,
    pub backward: bool,
    /// Type of x, y and their gradients.
    pub wide: Dtype,
    /// Type of A, b_t and bias.
    pub weights: Dtype,
    pub gates: Option<Gates>,
    /// In the buffer if `spots` has a place for it.
    pub lambda: f32,
    pub dropout: Option<Dropout>,
    /// Of dx, parameters and conditions.
    pub modes: [Mode; 3],
    /// Scratch is lent, exactly as much as is asked for.
    pub lends: bool,
    /// Some numbers are NaN, infinite or subnormal.
    pub awkward: bool,
    /// Every argument's place, by its name; arenas are a0, a1 … and their gradients g0, g1 ….
    pub spots: BTreeMap<&'static str, Spot>,
    /// Bytes of every buffer.
    pub sizes: Vec<u64>,
    /// A buffer without the usages that arguments need.
    pub bare: Option<usize>,
    /// What was made wrong, or might be.
    pub fault: Option<&'static str>,
    /// It is wrong.
    pub flawed: bool,
}

const ARENAS: [&str; 8] = ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"];
const GRADIENTS: [&str; 8] = ["g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7"];
const TYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];
const MODES: [Mode; 2] = [Mode::Overwrite, Mode::Accumulate];

/// Multiply-adds that a case may take, so that the reference stays quick.
const MAX_COST: u64 = 1 << 20;

impl Case {
    pub fn new(choices: Vec<u32>, families: &[Family], lacking: &[Family]) -> Self {
        let mut choices = Choices(choices.into_iter());
        let c = &mut choices;
        let fault = if c.one_in(3) { Some(c.of(&FAULTS)) } else { None };
        let (backward, is_many) = (c.one_in(2), c.one_in(3));
        let [inputs, outputs] = [c.size(), c.size()];
        let rank = c.rank();
        // A family's kernels take long to compile where they are unrolled: most cases run on the one that is not.
        let family = match c.below(4) {
            0 | 1 => Some(Family::Threads),
            2 => None,
            _ => Some(c.of(families)),
        };
        let scaling = c.of(&[Scaling::Standard, Scaling::RankStabilized]);
        let alpha = c.of(&[8.0, 1.0, -3.0, 0.0, 1e-3]);
        let wide = c.of(&TYPES);
        let gates = c.one_in(2).then(|| Gates { scalar: c.one_in(2), per_token: c.one_in(2) });
        let mut case = Self {
            seed: u64::from(c.below(1 << 30)),
            desc: LoraDesc { inputs, outputs, rank, alpha, scaling, family },
            batch: [1; 2],
            many: None,
            backward,
            wide,
            weights: Dtype::F32,
            gates,
            lambda: c.of(&[1.0, 0.75, -2.0, 0.0, -0.0, 1e-6]),
            dropout: None,
            modes: [(); 3].map(|()| c.of(&MODES)),
            lends: c.one_in(3),
            awkward: c.one_in(6),
            spots: BTreeMap::new(),
            sizes: vec![0],
            bare: None,
            fault,
            flawed: false,
        };
        case.weights = c.of(&TYPES);
        case.make_dropout(c);
        if is_many {
            case.make_many(c);
        } else {
            case.batch = [c.of(&[1, 2, 3, 5, 0]), if c.one_in(12) { 0 } else { c.size() }];
            case.batch[1] = case.affordable(case.batch[0], case.batch[1]);
        }
        case.place_all(c);
        case.share_inputs(c);
        if let Some(fault) = fault {
            case.make_fault(fault, c, lacking);
        }
        case
    }

    /// So many rows that the reference stays quick.
    fn affordable(&self, samples: u32, tokens: u32) -> u32 {
        let LoraDesc { inputs, outputs, rank, .. } = self.desc;
        let of_row = u64::from(inputs + outputs) * u64::from(rank) * u64::from(samples.max(1));
        tokens.min((MAX_COST / of_row) as u32).max(tokens.min(1))
    }

    fn make_dropout(&mut self, c: &mut Choices) {
        if c.one_in(4) {
            let probability = c.of(&[0.5, 0.1, 0.9, 0.0]);
            let first_row = c.of(&[0, (1 << 32) - 2, u64::MAX - 1]);
            self.dropout = Some(Dropout { probability, seed: u64::MAX / 3, step: c.below(9), first_row });
        }
    }

    fn make_many(&mut self, c: &mut Choices) {
        let LoraDesc { inputs, outputs, .. } = self.desc;
        let count = 1 + c.below(5);
        let ranks: Vec<u32> = (0..count).map(|_| c.rank()).collect();
        self.desc.rank = ranks.iter().copied().max().unwrap_or(1);
        let adapters: Vec<(u32, f32)> = ranks.iter().map(|&rank| (rank, c.of(&[8.0, 1.0, -2.0]))).collect();
        let mut members = Member::pack(inputs, outputs, &adapters, c.of(&[u32::MAX, 4_000]));
        let gap = c.of(&[0, 1, 4]);
        let mut arenas = Vec::new();
        for member in &mut members {
            for (place, width) in [(&mut member.a, inputs), (&mut member.b_t, outputs)] {
                place.start += gap;
                arenas.resize(arenas.len().max(place.arena + 1), 0);
                arenas[place.arena] = arenas[place.arena].max(place.start + member.rank * width + gap);
            }
        }
        let samples = c.below(7);
        let ids = (0..samples).map(|_| c.below(count + 1) as i32 - 1).collect();
        let mut starts = vec![0];
        let ragged = c.one_in(2);
        let tokens = c.size();
        let tokens = self.affordable(samples, tokens);
        for sample in 0..samples {
            starts.push(starts[sample as usize] + if ragged { c.below(tokens + 1) } else { tokens });
        }
        let rows = starts[samples as usize];
        self.batch = if ragged { [1, rows] } else { [samples, tokens] };
        self.many = Some(Many { members, arenas, ids, starts });
    }

    /// The shape of every argument.
    fn shapes(&self, c: &mut Choices) -> Vec<(&'static str, Dtype, [u32; 3])> {
        let LoraDesc { inputs, outputs, rank, .. } = self.desc;
        let [samples, tokens] = self.batch;
        let (wide, weights, single) = (self.wide, self.weights, Dtype::F32);
        let hidden = [samples, tokens, rank];
        let mut shapes = vec![("x", wide, [samples, tokens, inputs])];
        let mut gradients = vec![("dx", wide, [samples, tokens, inputs]), ("dlambda", single, [1, 1, 1])];
        match &self.many {
            Some(many) => {
                assert!(many.arenas.len() <= ARENAS.len());
                let of = |names: [&'static str; 8], dtype| {
                    let shape = |(name, &length): (&'static str, &u32)| (name, dtype, [1, 1, length]);
                    names.into_iter().zip(&many.arenas).map(shape).collect::<Vec<_>>()
                };
                shapes.extend(of(ARENAS, weights));
                // All or none.
                if self.backward && c.one_in(2) {
                    shapes.extend(of(GRADIENTS, single));
                }
            }
            None => {
                shapes.push(("a", weights, [rank, 1, inputs]));
                shapes.push(("b_t", weights, [rank, 1, outputs]));
                gradients.push(("da", single, [rank, 1, inputs]));
                gradients.push(("db_t", single, [rank, 1, outputs]));
            }
        }
        if c.one_in(3) {
            let members = self.many.as_ref().map_or(1, |many| many.members.len() as u32);
            shapes.push(("bias", weights, [members, 1, outputs]));
            gradients.push(("dbias", single, [members, 1, outputs]));
        }
        if let Some(Gates { scalar, per_token }) = self.gates {
            let width = if scalar { 1 } else { rank };
            let of_samples = self.many.as_ref().map_or(samples, |many| many.ids.len() as u32);
            let shape = if per_token { [samples, tokens, width] } else { [of_samples, 1, width] };
            shapes.push(("gate", single, shape));
            gradients.push(("dgate", single, shape));
        }
        if c.one_in(3) {
            shapes.push(("lambda", single, [1, 1, 1]));
        }
        if c.one_in(2) {
            shapes.push(("h", single, hidden));
        }
        if !self.backward {
            shapes.push(("y", wide, [samples, tokens, outputs]));
            if self.many.is_none() && c.one_in(2) {
                shapes.push(("out", wide, [samples, tokens, outputs]));
            }
            return shapes;
        }
        shapes.push(("dy", wide, [samples, tokens, outputs]));
        gradients.push(("u", single, hidden));
        shapes.extend(gradients.into_iter().filter(|_| !c.one_in(4)));
        shapes
    }

    fn place_all(&mut self, c: &mut Choices) {
        for (name, dtype, shape) in self.shapes(c) {
            self.place(c, name, dtype, shape);
        }
        for size in &mut self.sizes {
            *size = (*size).max(4) + 4 * u64::from(c.below(40));
        }
    }

    /// Behind everything else in the shared buffer, or in a buffer of its own; with gaps between rows.
    fn place(&mut self, c: &mut Choices, name: &'static str, dtype: Dtype, shape: [u32; 3]) {
        let [samples, tokens, width] = shape;
        let unit = 4 / dtype.bytes() as u32;
        let mut stride = |least: u32| {
            let gap = if c.one_in(3) { c.below(6) } else { 0 };
            (least + gap).next_multiple_of(unit)
        };
        let row_stride = stride(width);
        let sample_stride = stride(tokens.max(1) * row_stride);
        // The biases of many adapters have no gaps.
        let is_packed = matches!(name, "bias" | "dbias") && samples > 1 && dtype == Dtype::F32;
        let sample_stride = if is_packed { width } else { sample_stride };
        // Strides that nothing is reached by may be anything.
        let row_stride = if tokens <= 1 && c.one_in(3) { c.of(&[0, 1, u32::MAX]) } else { row_stride };
        let sample_stride = if samples <= 1 && c.one_in(3) { c.of(&[0, 1, u32::MAX]) } else { sample_stride };
        let buffer = if c.one_in(2) { 0 } else { self.sizes.len() };
        if buffer == self.sizes.len() {
            self.sizes.push(0);
        }
        let start = self.sizes[buffer].next_multiple_of(c.of(&[4, 16, 256]));
        let offset = start + 4 * c.of(&[0u64, 0, 1, 2, 3, 5]);
        let spot = Spot { buffer, offset, shape, sample_stride, row_stride, dtype };
        self.sizes[buffer] = spot.range().end as u64;
        self.spots.insert(name, spot);
    }

    /// Inputs may lie in the same bytes.
    fn share_inputs(&mut self, c: &mut Choices) {
        let y_is_read = self.spots.contains_key("out").then_some(("x", "y"));
        for (one, other) in [("dy", "x"), ("b_t", "a"), ("a0", "lambda")].into_iter().chain(y_is_read) {
            let (Some(a), Some(b)) = (self.spots.get(one), self.spots.get(other)) else { continue };
            if c.one_in(6) && a.dtype == b.dtype && (a.shape == b.shape || other == "lambda") {
                let shared = if other == "lambda" { Spot { shape: b.shape, ..*a } } else { *a };
                self.spots.insert(other, shared);
            }
        }
    }

    /// Whether an argument is written.
    pub fn is_output(&self, name: &str) -> bool {
        match name {
            "h" => !self.backward,
            "y" => !self.spots.contains_key("out"),
            "out" | "u" | "dx" | "da" | "db_t" | "dbias" | "dgate" | "dlambda" => true,
            _ => name.starts_with('g') && name != "gate",
        }
    }

    pub fn mode_of(&self, name: &str) -> Mode {
        let [dx, parameters, conditions] = self.modes;
        match name {
            "y" => Mode::Accumulate,
            "h" | "u" | "out" => Mode::Overwrite,
            "dx" => dx,
            "dgate" | "dlambda" => conditions,
            _ => parameters,
        }
    }

    /// Arguments that overlap where one is written.
    pub fn overlaps(&self) -> bool {
        let spots: Vec<_> = self.spots.iter().collect();
        let written = |name: &str| self.is_output(name);
        let of_one = |(i, (name, spot)): (usize, &(&&str, &Spot))| {
            spots[i + 1..]
                .iter()
                .any(|(other, its)| (written(name) || written(other)) && spot.shares_bytes(its))
        };
        spots.iter().enumerate().any(of_one)
    }

    /// Biases of many adapters with gaps.
    fn has_loose_biases(&self) -> bool {
        let loose = |spot: &Spot| {
            spot.shape[0] > 1 && spot.dtype == Dtype::F32 && spot.sample_stride != spot.shape[2]
        };
        ["bias", "dbias"].iter().filter_map(|name| self.spots.get(name)).any(loose)
    }

    /// A view that leaves its buffer, overlaps itself or splits words.
    fn has_bad_view(&self) -> bool {
        self.spots.iter().filter(|(name, _)| **name != "lambda").any(|(_, spot)| {
            let [samples, tokens, _] = spot.shape;
            let odd = |count: u32, stride: u32| count > 1 && stride % 2 == 1;
            let halves = spot.dtype.bytes() == 2;
            spot.overlaps_itself()
                || spot.range().end > u128::from(self.sizes[spot.buffer])
                || !spot.offset.is_multiple_of(4)
                || halves && (odd(samples, spot.sample_stride) || odd(tokens, spot.row_stride))
        })
    }
}

const FAULTS: [&str; 16] = [
    "overlap",
    "outside",
    "misaligned",
    "shape",
    "strides",
    "dtype",
    "huge offset",
    "huge strides",
    "huge shape",
    "usage",
    "lambda",
    "lambda's place",
    "dropout",
    "desc",
    "family",
    "bank",
];

impl Case {
    fn any_spot(&mut self, c: &mut Choices) -> &mut Spot {
        let names: Vec<_> = self.spots.keys().copied().filter(|name| *name != "lambda").collect();
        let name = c.of(&names);
        self.spots.get_mut(name).expect("it is one of the names")
    }

    fn make_fault(&mut self, fault: &str, c: &mut Choices, lacking: &[Family]) {
        match fault {
            "overlap" => {
                let at = *self.any_spot(c);
                let moved = 4 * u64::from(c.below(3));
                let names: Vec<_> = self.spots.keys().copied().collect();
                let spot = self.spots.get_mut(c.of(&names)).expect("it is one of the names");
                (spot.buffer, spot.offset) = (at.buffer, at.offset + moved);
            }
            "outside" => {
                let sizes = self.sizes.clone();
                let spot = self.any_spot(c);
                spot.offset = sizes[spot.buffer] - 4 * u64::from(c.below(2)) + 4;
            }
            "misaligned" => self.any_spot(c).offset += c.of(&[1u64, 2, 3]),
            "shape" => {
                let axis = c.below(3) as usize;
                let up = c.one_in(2);
                let spot = self.any_spot(c);
                // Of a bank's arenas only the length is free.
                let free = spot.shape[0] == 1 && spot.shape[1] == 1 && axis == 2;
                spot.shape[axis] =
                    if up && !free { spot.shape[axis] + 1 } else { spot.shape[axis].saturating_sub(1) };
                self.flawed = true;
            }
            "strides" => {
                let stride = c.of(&[0, 1, 2, 3, 7]);
                let of_rows = c.one_in(2);
                let spot = self.any_spot(c);
                *if of_rows { &mut spot.row_stride } else { &mut spot.sample_stride } = stride;
            }
            "dtype" => {
                let dtype = c.of(&[Dtype::U32, Dtype::I32]);
                self.any_spot(c).dtype = dtype;
                self.flawed = true;
            }
            "huge offset" => self.any_spot(c).offset = c.of(&[u64::MAX, u64::MAX - 3, 1 << 63]),
            "huge strides" => {
                let spot = self.any_spot(c);
                (spot.sample_stride, spot.row_stride) = (u32::MAX - 1, u32::MAX - 1);
            }
            "huge shape" => {
                let spot = self.any_spot(c);
                spot.shape = c.of(&[[u32::MAX; 3], [u32::MAX, u32::MAX, 1], [1 << 31, 2, 1 << 16]]);
                (spot.sample_stride, spot.row_stride) = c.of(&[(u32::MAX, u32::MAX), (0, 0), (1 << 20, 1)]);
                self.flawed = true;
            }
            "usage" => {
                self.bare = Some(self.any_spot(c).buffer);
                self.flawed = true;
            }
            "lambda" => {
                self.flawed = !self.spots.contains_key("lambda");
                self.lambda = c.of(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
            }
            "lambda's place" => {
                let (buffer, dtype) = (0, Dtype::F32);
                let offset = c.of(&[u64::MAX - 3, 2, 1 << 40, self.sizes[0], self.sizes[0] - 3]);
                let spot = Spot { buffer, offset, shape: [1; 3], sample_stride: 0, row_stride: 0, dtype };
                self.spots.insert("lambda", spot);
                self.flawed = true;
            }
            "dropout" => {
                let probability = c.of(&[1.0, -0.1, f32::NAN, f32::INFINITY]);
                self.dropout = Some(Dropout { probability, ..Default::default() });
                self.flawed = true;
            }
            "desc" => {
                let desc = &mut self.desc;
                match c.below(4) {
                    0 => desc.rank = c.of(&[0, 257, u32::MAX]),
                    1 => desc.inputs = c.of(&[0, 60_000, u32::MAX]),
                    2 => desc.outputs = c.of(&[0, 60_000, u32::MAX]),
                    _ => desc.alpha = c.of(&[f32::NAN, f32::INFINITY]),
                }
                if let Some(Many { members, .. }) = &mut self.many {
                    let (rank, alpha) = (desc.rank, desc.alpha);
                    members.iter_mut().for_each(|member| (member.rank, member.alpha) = (rank, alpha));
                }
                self.flawed = true;
            }
            "family" => {
                if let [family, ..] = lacking {
                    self.desc.family = Some(*family);
                    self.flawed = true;
                }
            }
            "bank" => self.spoil_bank(c),
            _ => {}
        }
        self.flawed |= self.has_bad_view() || self.overlaps() || self.has_loose_biases();
    }

    fn spoil_bank(&mut self, c: &mut Choices) {
        let Some(Many { members, ids, starts, .. }) = &mut self.many else { return };
        self.flawed = true;
        match c.below(6) {
            0 => members[0].a.arena = c.of(&[usize::MAX, 1 << 40, 9]),
            1 => members[0].b_t.start = c.of(&[u32::MAX, 1 << 31]),
            2 => ids.push(members.len() as i32 + c.below(2) as i32),
            3 => ids.push(c.of(&[-2, i32::MIN, i32::MAX])),
            4 => starts.push(c.of(&[0, u32::MAX])),
            _ => members.clear(),
        }
    }
}
