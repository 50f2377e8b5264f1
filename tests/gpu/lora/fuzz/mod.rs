//! `lora` under descriptors that nobody chose: every call is refused by a typed error that leaves all bytes alone, or its
//! outputs are the f64 reference's and every other byte is what it was. It never panics, and the device never objects.
//!
//! `GTCA_FUZZ_CASES` asks for more cases, `GTCA_FUZZ_SEED` for others.

mod case;
mod expected;
mod memory;
mod reference;

use crate::support::*;
use case::Case;
use expected::{Expected, Reference, model};
use gtca::Error;
use gtca::gpu::{Dtype, Gpu, Knob, Mode, OpenOptions, Recorder, View};
use gtca::lora::{
    Backward, Bank, BankBackward, BankDesc, BankForward, Family, Forward, Gate, Lora, LoraDesc, RowSample,
};
use memory::{Memory, Spot};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use reference::Model;
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
        if case.is_output(name) && case.mode_of(name) == Mode::Overwrite {
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
            return op.forward(
                recorder,
                &Forward { x, a, b_t, bias, gate, lambda, dropout, y: must("y"), out: view("out"), h },
            );
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

/// Every output as expected, every other byte as before.
fn compare(case: &Case, before: &Memory, mut after: Memory) -> Result<(), TestCaseError> {
    for (name, spot, expected) in Reference::new(case, before).expected() {
        let (had, has, values) = (before.bits(&spot), after.bits(&spot), after.get(&spot));
        for (at, expected) in expected.iter().enumerate() {
            let right = match *expected {
                Expected::Kept => had[at] == has[at],
                Expected::Bits(bits) => bits == has[at],
                Expected::Near(value, bound) => {
                    !value.is_finite()
                        || bound.is_infinite()
                        || (f64::from(values[at]) - value).abs() <= bound
                }
            };
            if !right {
                let wanted = match *expected {
                    Expected::Kept => format!("the bits {:#x}", had[at]),
                    Expected::Bits(bits) => format!("the bits {bits:#x}"),
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
