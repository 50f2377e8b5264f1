//! `lora` under descriptors that nobody chose: every call is refused by a typed error that leaves all bytes alone, or its
//! outputs are the f64 reference's and every other byte is what it was. It never panics, and the device never objects.
//!
//! `GTCA_FUZZ_CASES` asks for more cases, `GTCA_FUZZ_SEED` for others.

mod case;
mod memory;
mod reference;

use crate::support::*;
use case::{Case, Many, is_output};
use gtca::Error;
use gtca::common::rng;
use gtca::gpu::{Dtype, Gpu, Knob, Mode, OpenOptions, Recorder, View};
use gtca::lora::{
    Backward, Bank, BankBackward, BankDesc, BankForward, Dropout, Family, Forward, Gate, Lora, LoraDesc,
    PURPOSE_DROPOUT, RowSample, Scaling,
};
use memory::{Memory, Spot};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use reference::{Adapter, Model, Outputs};
use std::cell::Cell;

const SEED: u64 = 20_261_125;
const CASES: u32 = 100;
/// More than any case takes.
const CHOICES: usize = 260;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn any_descriptor_is_refused_by_name_or_gives_the_reference() {
    let Some(gpu) = gpu() else { return };
    let limits = wgpu::Limits { max_storage_buffer_binding_size: 64 << 10, ..Default::default() };
    let options = OpenOptions { limits: Some(limits), ..Default::default() };
    let small = pollster::block_on(Gpu::open(&options)).unwrap();
    let (families, lacking): (Vec<_>, Vec<_>) =
        Family::ALL.into_iter().partition(|family| family.runs_on(gpu));
    let seed = variable("GTCA_FUZZ_SEED").unwrap_or(SEED);
    let config = Config {
        cases: variable("GTCA_FUZZ_CASES").map_or(CASES, |cases| cases as u32),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Default::default()
    };
    let strategy = (any::<u8>(), vec(any::<u32>(), CHOICES))
        .prop_map(|(device, choices)| (device, Case::new(choices, &families, &lacking)));
    let ended = Cell::new([0; 2]);
    let result = TestRunner::new(config).run(&strategy, |(device, case)| {
        let refused = check(if device >= 240 { &small } else { gpu }, &case)?;
        let mut counts: [u32; 2] = ended.get();
        counts[usize::from(refused)] += 1;
        ended.set(counts);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, (_, case))) => panic!("GTCA_FUZZ_SEED={seed}: {reason}\n{case:?}"),
        Err(error) => panic!("GTCA_FUZZ_SEED={seed}: {error}"),
    }
    // Neither side of the property may run dry.
    let ended = ended.get();
    assert!(ended.iter().all(|&count| count * 10 > ended.iter().sum::<u32>()), "{ended:?}");
}

fn fail<T>(reason: impl Into<String>) -> Result<T, TestCaseError> {
    Err(TestCaseError::fail(reason.into()))
}

/// Makes the call and says whether it was refused.
fn check(gpu: &Gpu, case: &Case) -> Result<bool, TestCaseError> {
    let before = filled(case);
    let buffers: Vec<_> = before.0.iter().enumerate().map(|(i, bytes)| buffer(gpu, case, i, bytes)).collect();
    let device = gpu.device();
    let filters =
        [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal];
    let scopes = filters.map(|filter| device.push_error_scope(filter));
    let outcome = call(gpu, case, &buffers)?;
    for scope in scopes.into_iter().rev() {
        if let Some(error) = pollster::block_on(scope.pop()) {
            return fail(format!("the device objects: {error}"));
        }
    }
    let read = |(buffer, bytes): (&wgpu::Buffer, &Vec<u8>)| {
        pollster::block_on(gpu.read_bytes(buffer, 0..bytes.len() as u64)).unwrap()
    };
    let after = Memory(buffers.iter().zip(&before.0).map(read).collect());
    match outcome {
        Ok(()) if case.flawed => fail(format!("a call with a fault ({:?}) was taken", case.fault)),
        Ok(()) => compare(case, &before, after).map(|()| false),
        Err(error) => {
            let text = error.to_string();
            if !matches!(error, Error::Argument { .. } | Error::Overlap { .. }) {
                return fail(format!("an error of another kind: {text}"));
            }
            // What a device cannot bind it may refuse.
            let is_small = gpu.limits().max_storage_buffer_binding_size < 1 << 20;
            let may_refuse = case.flawed || is_small && text.contains("bind");
            if !may_refuse {
                return fail(format!("a lawful call was refused: {text}"));
            }
            if after != before {
                return fail(format!("commands were recorded before the refusal: {text}"));
            }
            Ok(true)
        }
    }
}

fn buffer(gpu: &Gpu, case: &Case, index: usize, bytes: &[u8]) -> wgpu::Buffer {
    let copies = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let storage =
        if case.bare == Some(index) { wgpu::BufferUsages::VERTEX } else { wgpu::BufferUsages::STORAGE };
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("fuzz"),
        size: bytes.len() as u64,
        usage: copies | storage,
        mapped_at_creation: false,
    });
    gpu.queue().write_buffer(&buffer, 0, bytes);
    buffer
}

/// Poison, and numbers where the call reads.
fn filled(case: &Case) -> Memory {
    let poison = |&size: &u64| POISON.to_le_bytes().repeat(size as usize / 4);
    let mut memory = Memory(case.sizes.iter().map(poison).collect());
    if case.flawed {
        return memory;
    }
    let mut random = Random(case.seed);
    for (name, spot) in &case.spots {
        if is_output(name, case.backward) && mode_of(case, name) == Mode::Overwrite {
            continue;
        }
        let mut values = random.f32s(spot.count());
        for value in values.iter_mut().filter(|_| case.awkward) {
            if random.below(40) == 0 {
                let odd = [f32::NAN, f32::INFINITY, -f32::INFINITY, -0.0, 1e-40, 6e-8, 1e6, 0.0];
                *value = odd[random.below(8) as usize];
            }
        }
        memory.put(spot, &values);
    }
    if let Some(spot) = case.spots.get("lambda") {
        memory.put(spot, &[case.lambda]);
    }
    if let (true, Some(spot)) = (case.backward, case.spots.get("h")) {
        let h = Model { h: None, ..model(case, &memory) }.outputs().h;
        memory.put(spot, &h.iter().map(|&h| h as f32).collect::<Vec<_>>());
    }
    memory
}

fn mode_of(case: &Case, name: &str) -> Mode {
    let [dx, parameters, conditions] = case.modes;
    match name {
        "y" => Mode::Accumulate,
        "h" | "u" => Mode::Overwrite,
        "dx" => dx,
        "dgate" | "dlambda" => conditions,
        _ => parameters,
    }
}

/// Records and submits, whether or not it was refused.
fn call(gpu: &Gpu, case: &Case, buffers: &[wgpu::Buffer]) -> Result<Result<(), Error>, TestCaseError> {
    let scratch =
        if case.lends { gpu.scratch_bytes(|recorder| record(gpu, recorder, case, buffers)) } else { Ok(0) };
    let lent = match scratch {
        Err(error) => return Ok(Err(error)),
        Ok(bytes) => {
            let words = bytes.div_ceil(4) as usize;
            (gpu.upload("scratch", &vec![POISON; words + 1]), words)
        }
    };
    let mut encoder = gpu.encoder();
    let mut recorder = gpu.recorder(&mut encoder);
    if case.lends {
        recorder.lend_scratch(Some(View::vector(&lent.0, lent.1 as u32))).unwrap();
    }
    let outcome = record(gpu, &mut recorder, case, buffers);
    drop(recorder);
    gpu.submit(encoder).unwrap();
    let guard =
        pollster::block_on(gpu.read_u32(&View::vector(&lent.0, 1).at(lent.1 as u64 * 4).of(Dtype::U32)));
    if guard.unwrap() != [POISON] {
        return fail("a word behind the lent scratch was written");
    }
    Ok(outcome)
}

fn record(
    gpu: &Gpu,
    recorder: &mut Recorder<'_>,
    case: &Case,
    buffers: &[wgpu::Buffer],
) -> Result<(), Error> {
    let view = |name: &str| case.spots.get(name).map(|spot| spot.view(buffers));
    let must = |name: &str| view(name).unwrap();
    let lambda = case
        .spots
        .get("lambda")
        .map_or(Knob::Host(case.lambda), |spot| Knob::Buffer(&buffers[spot.buffer], spot.offset));
    let gate = match (case.gates, view("gate")) {
        (Some(gates), Some(view)) if gates.scalar => Gate::Scalar(view),
        (Some(_), Some(view)) => Gate::Rank(view),
        _ => Gate::None,
    };
    let [dx_mode, parameter_mode, condition_mode] = case.modes;
    let (x, h, u, dx) = (must("x"), view("h"), view("u"), view("dx"));
    let (dgate, dlambda) = (view("dgate"), view("dlambda"));
    let (bias, dropout) = (view("bias"), case.dropout);
    let Some(many) = &case.many else {
        let op = Lora::new(&case.desc)?;
        let (a, b_t) = (must("a"), must("b_t"));
        if !case.backward {
            return op
                .forward(recorder, &Forward { x, a, b_t, bias, gate, lambda, dropout, y: must("y"), h });
        }
        let args = Backward {
            x,
            dy: must("dy"),
            a,
            b_t,
            bias,
            gate,
            lambda,
            dropout,
            h,
            u,
            dx,
            da: view("da"),
            db_t: view("db_t"),
            dbias: view("dbias"),
            dgate,
            dlambda,
            dx_mode,
            parameter_mode,
            condition_mode,
        };
        return op.backward(recorder, &args);
    };
    let LoraDesc { inputs, outputs, scaling, family, .. } = case.desc;
    let bank = Bank::new(gpu, &BankDesc { inputs, outputs, members: &many.members, scaling, family })?;
    let routing = &bank.route(gpu, &many.ids, RowSample::Starts(&many.starts))?;
    let views = |letter| {
        let of_letter = |(name, spot): (&&str, &Spot)| {
            let rest = name.strip_prefix(letter)?;
            rest.parse::<u32>().ok().map(|_| spot.view(buffers))
        };
        case.spots.iter().filter_map(of_letter).collect::<Vec<_>>()
    };
    let (arenas, gradients) = (views('a'), views('g'));
    if !case.backward {
        let args = BankForward { x, arenas: &arenas, bias, routing, gate, lambda, dropout, y: must("y"), h };
        return bank.forward(recorder, &args);
    }
    let args = BankBackward {
        x,
        dy: must("dy"),
        arenas: &arenas,
        bias,
        routing,
        gate,
        lambda,
        dropout,
        h,
        u,
        dx,
        dbias: view("dbias"),
        gradients: (!gradients.is_empty()).then_some(&gradients),
        dgate,
        dlambda,
        dx_mode,
        parameter_mode,
        condition_mode,
    };
    bank.backward(recorder, &args)
}

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

fn model(case: &Case, memory: &Memory) -> Model {
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
            let matrix = |place: gtca::lora::Place, rank, width| {
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
enum Expected {
    /// The bits that it had.
    Kept,
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

/// Where every output lies, and what must be there.
fn expected(case: &Case, before: &Memory) -> Vec<(String, Spot, Vec<Expected>)> {
    let model = model(case, before);
    let (values, magnitudes) = (model.outputs(), model.magnitudes().outputs());
    let rows = model.adapter_of_row.len();
    let widths = model.inputs + model.outputs + model.rank + 8;
    let over_rows = rows.min(512) * 2 + rows / 64 + 2;
    let all = widths + over_rows + 64 * model.rank;
    let is_off = case.lambda == 0.0;
    let is_host_off = is_off && !case.spots.contains_key("lambda");
    let row_is_off =
        |row: usize| model.adapter_of_row[row].is_none_or(|id| is_off || model.adapters[id].scale == 0.0);
    let sums = |of: fn(&Outputs) -> &Vec<f64>, terms| Sums {
        values: of(&values),
        magnitudes: of(&magnitudes),
        terms,
    };
    let dbias = [&values, &magnitudes].map(|out| out.dbias.concat());
    let has_rows = |id: usize| model.adapter_of_row.contains(&Some(id));
    let mut out = Vec::new();
    for (name, spot) in &case.spots {
        if !is_output(name, case.backward) {
            continue;
        }
        let (mode, had) = (mode_of(case, name), before.get(spot));
        let is_wide = matches!(*name, "y" | "dx");
        if let Some(arena) = name.strip_prefix('g').and_then(|arena| arena.parse::<usize>().ok()) {
            out.extend(expected_gradients(
                case,
                &model,
                [&values, &magnitudes],
                before,
                arena,
                spot,
                [all; 2],
            ));
            continue;
        }
        let sums = match *name {
            "y" => sums(|out| &out.y, widths),
            "h" => sums(|out| &out.h, widths),
            "u" => sums(|out| &out.u, widths),
            "dx" => sums(|out| &out.dx, widths),
            "da" => sums(|out| &out.da[0], all),
            "db_t" => sums(|out| &out.db_t[0], all),
            "dbias" => Sums { values: &dbias[0], magnitudes: &dbias[1], terms: all },
            "dgate" => sums(|out| &out.dgate, all),
            _ => Sums { values: &[values.dlambda], magnitudes: &[magnitudes.dlambda], terms: all },
        };
        let mut expected = sums.expected(&had, mode, spot.dtype);
        if is_wide {
            let width = spot.shape[2] as usize;
            for (_, expected) in expected.chunks_mut(width).enumerate().filter(|(row, _)| row_is_off(*row)) {
                expected.fill(off(mode));
            }
        } else if is_host_off && !matches!(*name, "h" | "u" | "dlambda") {
            expected.fill(off(mode));
        }
        if *name == "dbias" {
            let of_adapters = expected.chunks_mut(model.outputs).enumerate();
            of_adapters
                .filter(|(id, _)| case.many.is_some() && !has_rows(*id))
                .for_each(|(_, expected)| expected.fill(Expected::Kept));
        }
        out.push(((*name).to_owned(), *spot, expected));
    }
    out
}

/// Of an output that the call has nothing to add to.
fn off(mode: Mode) -> Expected {
    if mode == Mode::Accumulate { Expected::Kept } else { Expected::Near(0.0, 0.0) }
}

/// Of the adapters whose matrices lie in an arena; what belongs to no adapter with rows is kept.
fn expected_gradients(
    case: &Case,
    model: &Model,
    [values, magnitudes]: [&Outputs; 2],
    before: &Memory,
    arena: usize,
    spot: &Spot,
    [terms, _]: [usize; 2],
) -> Vec<(String, Spot, Vec<Expected>)> {
    let Some(many) = &case.many else { return Vec::new() };
    let mode = mode_of(case, "g");
    let is_host_off = case.lambda == 0.0 && !case.spots.contains_key("lambda");
    let mut out = Vec::new();
    for (id, member) in many.members.iter().enumerate() {
        if !model.adapter_of_row.contains(&Some(id)) {
            continue;
        }
        let sides = [
            (member.a, case.desc.inputs, &values.da, &magnitudes.da),
            (member.b_t, case.desc.outputs, &values.db_t, &magnitudes.db_t),
        ];
        for (place, width, values, magnitudes) in sides {
            if place.arena != arena {
                continue;
            }
            let own = inside(spot, place.start, member.rank, width);
            let sums = Sums { values: &values[id], magnitudes: &magnitudes[id], terms };
            let mut expected = sums.expected(&before.get(&own), mode, Dtype::F32);
            if is_host_off {
                expected.fill(off(mode));
            }
            out.push((format!("gradient of {id} in arena {arena}"), own, expected));
        }
    }
    out
}

/// Every output as expected, every other byte as before.
fn compare(case: &Case, before: &Memory, mut after: Memory) -> Result<(), TestCaseError> {
    for (name, spot, expected) in expected(case, before) {
        let (had, has, values) = (before.bits(&spot), after.bits(&spot), after.get(&spot));
        for (at, expected) in expected.iter().enumerate() {
            let right = match *expected {
                Expected::Kept => had[at] == has[at],
                Expected::Near(value, bound) => {
                    !value.is_finite()
                        || bound.is_infinite()
                        || (f64::from(values[at]) - value).abs() <= bound
                }
            };
            if !right {
                let wanted = match *expected {
                    Expected::Kept => format!("the bits {:#x}", had[at]),
                    Expected::Near(value, bound) => format!("{value} ± {bound:e}"),
                };
                return fail(format!("{name}[{at}] is {} ({:#x}), not {wanted}", values[at], has[at]));
            }
        }
        after.copy(&spot, before);
    }
    for (buffer, (before, after)) in before.0.iter().zip(&after.0).enumerate() {
        if let Some(at) = before.iter().zip(after).position(|(before, after)| before != after) {
            return fail(format!("byte {at} of buffer {buffer} belongs to no output and was written"));
        }
    }
    Ok(())
}
