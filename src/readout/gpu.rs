//! Recording of the readout's kernels.

use super::{Activation, Form, Head, Injected, Mean, OP};
use crate::Error;
use crate::gpu::{Binding, Dispatch, Dtype, Gpu, Kernel, Knob, Recorder, Rows, View};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;
use std::ops::Range;

/// Every activation.
const ACT: &str = "|ACT=relu|ACT=gelu|ACT=gelu_tanh|ACT=silu";
/// How y may be stored.
const STORED: &str = "|HALF=f16|HALF=bf16";

static MEAN: Kernel = Kernel {
    name: "readout/mean",
    source: include_str!("../../shaders/readout/mean.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<MeanParams>(),
    flags: &[&["|VEC4", STORED, ACT]],
    loop_bound: "tokens",
    when: "means over tokens",
};

const INJECTED: &[Binding] =
    &[Binding::Read, Binding::Read, Binding::Read, Binding::Read, Binding::Read, Binding::Write];

static LANES: Kernel = Kernel {
    name: "readout/lanes/injected",
    source: include_str!("../../shaders/readout/lanes/injected.wgsl"),
    storage: INJECTED,
    params_bytes: size_of::<InjectedParams>(),
    flags: &[
        &["RANKS=8|RANKS=16", "GATES=5|GATES=17", "VEC4", "|LONG", ACT],
        &["RANKS=32|RANKS=64", "GATES=5", "VEC4", "|LONG", ACT],
    ],
    loop_bound: "tokens",
    when: "means under many gates, subgroups of 8, f32, at most 64 ranks",
};

static THREADS: Kernel = Kernel {
    name: "readout/threads/injected",
    source: include_str!("../../shaders/readout/threads/injected.wgsl"),
    storage: INJECTED,
    params_bytes: size_of::<InjectedParams>(),
    flags: &[&["|VEC4", STORED, ACT]],
    loop_bound: "tokens / 4 · (rank / 4 + 1)",
    when: "means under many gates, GPUs and elsewhere",
};

static HEAD: Kernel = Kernel {
    name: "readout/head",
    source: include_str!("../../shaders/readout/head.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<HeadParams>(),
    flags: &[&["|VEC4", "|BIAS"]],
    loop_bound: "width / 4 + 64",
    when: "logits of means",
};

pub(crate) const KERNELS: &[&Kernel] = &[&MEAN, &LANES, &THREADS, &HEAD];

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct MeanParams {
    x: Rows,
    counts: Rows,
    out: Rows,
    samples: u32,
    tokens: u32,
    width: u32,
    has_counts: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct InjectedParams {
    y: Rows,
    h: Rows,
    gates: Rows,
    counts: Rows,
    out: Rows,
    samples: u32,
    tokens: u32,
    width: u32,
    rank: u32,
    variants: u32,
    b_start: u32,
    b_stride: u32,
    gate_step: u32,
    has_counts: u32,
    lambda: f32,
    scale: f32,
    pad: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct HeadParams {
    x: Rows,
    out: Rows,
    rows: u32,
    classes: u32,
    width: u32,
    weight_start: u32,
    weight_stride: u32,
    bias_start: u32,
    pad: [u32; 2],
}

impl Activation {
    fn flag(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Relu => Some("ACT=relu"),
            Self::Gelu => Some("ACT=gelu"),
            Self::GeluTanh => Some("ACT=gelu_tanh"),
            Self::Silu => Some("ACT=silu"),
        }
    }
}

/// The flags that are on, in the table's order.
fn on<const N: usize>(flags: [Option<&'static str>; N]) -> Vec<&'static str> {
    flags.into_iter().flatten().collect()
}

/// Whole vectors, if all of these allow them; the numbers are the same.
fn vectors(views: &[&View<'_>]) -> Option<&'static str> {
    views.iter().all(|view| view.is_vec4()).then_some("VEC4")
}

/// Runs of samples whose rows of tokens each fit a binding.
fn sample_chunks(gpu: &Gpu, views: &[View<'_>], tokens: u32) -> Result<Vec<Range<u32>>, Error> {
    let tokens = tokens.max(1);
    let chunks = gpu.row_chunks(OP, views, tokens)?;
    Ok(chunks.into_iter().map(|rows| rows.start / tokens..rows.end / tokens).collect())
}

pub(super) fn mean(recorder: &mut Recorder<'_>, act: Activation, args: &Mean<'_>) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let [_, tokens, width] = args.x.shape;
    let flags = on([vectors(&[&args.x, &args.out]), args.x.dtype.flag(), act.flag()]);
    for samples in sample_chunks(recorder.gpu(), &[args.x], tokens)? {
        let x = args.x.block(&samples, &(0..tokens)).bind(alignment);
        let out = args.out.block(&samples, &(0..1)).bind(alignment);
        let counts = args.counts.map(|counts| counts.block(&samples, &(0..1)).bind(alignment));
        let count = samples.end - samples.start;
        let params = MeanParams {
            x: x.rows,
            counts: counts.unwrap_or(x).rows,
            out: out.rows,
            samples: count,
            tokens,
            width,
            has_counts: counts.is_some().into(),
        };
        recorder.dispatch(&Dispatch {
            kernel: &MEAN,
            flags: &flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[x, counts.unwrap_or(x), out],
            groups: (u64::from(count) * u64::from(width.div_ceil(4))).div_ceil(64),
            iterations: tokens.into(),
        })?;
    }
    Ok(())
}

/// Gates of one tile of the lanes' form: few tiles read y seldom, small ones waste little. A tile costs three gates more than it
/// holds (`docs/DESIGN.md`).
fn gates_together(rank: u32, variants: u32) -> u32 {
    let cost = |gates: u32| variants.div_ceil(gates) * (gates + 3);
    if rank > 16 || cost(5) <= cost(17) { 5 } else { 17 }
}

fn injected_vectors(args: &Injected<'_>) -> Option<&'static str> {
    vectors(&[&args.y, &args.b_t, &args.out])
}

/// Whether [`Form::Lanes`] has a variant for a call.
pub(super) fn lanes_take(args: &Injected<'_>) -> bool {
    injected_vectors(args).is_some() && args.y.dtype == Dtype::F32 && args.h.width() <= 64
}

pub(super) fn injected(
    recorder: &mut Recorder<'_>,
    form: Form,
    act: Activation,
    args: &Injected<'_>,
) -> Result<(), Error> {
    let [_, tokens, _] = args.y.shape;
    let variants = args.gates.shape[0];
    let limit = recorder.gpu().largest_view();
    for samples in sample_chunks(recorder.gpu(), &[args.y, args.h], tokens)? {
        let fits = |view: &View<'_>| view.block(&(0..variants), &samples).span() * 4 <= limit;
        let step = if fits(&args.gates) && fits(&args.out) { variants } else { 1 };
        for from in (0..variants).step_by(step.max(1) as usize) {
            dispatch_injected(recorder, form, act, args, (from..from + step, samples.clone()))?;
        }
    }
    Ok(())
}

fn dispatch_injected(
    recorder: &mut Recorder<'_>,
    form: Form,
    act: Activation,
    args: &Injected<'_>,
    (ks, samples): (Range<u32>, Range<u32>),
) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let [_, tokens, width] = args.y.shape;
    let rank = args.h.width();
    let vectors = injected_vectors(args);
    let [y, h] = [args.y, args.h].map(|view| view.block(&samples, &(0..tokens)).bind(alignment));
    let [gates, out] = [args.gates, args.out].map(|view| view.block(&ks, &samples).bind(alignment));
    let counts = args.counts.map(|counts| counts.block(&samples, &(0..1)).bind(alignment));
    let b_t = args.b_t.bind(alignment);
    let (variants, samples) = (ks.end - ks.start, samples.end - samples.start);
    let params = InjectedParams {
        y: y.rows,
        h: h.rows,
        gates: gates.rows,
        counts: counts.unwrap_or(y).rows,
        out: out.rows,
        samples,
        tokens,
        width,
        rank,
        variants,
        b_start: b_t.rows.start,
        b_stride: args.b_t.sample_stride,
        gate_step: (args.gates.width() > 1).into(),
        has_counts: counts.is_some().into(),
        lambda: args.lambda.host_value(),
        scale: args.scale,
        pad: 0,
    };
    let knob: (usize, Knob<'_>) = (offset_of!(InjectedParams, lambda), args.lambda);
    let of_gates = |gates: u32| u64::from(samples) * u64::from(variants.div_ceil(gates));
    let (kernel, flags, groups, iterations) = if form == Form::Lanes {
        let gates = gates_together(rank, variants);
        let ranks = ["RANKS=8", "RANKS=16", "RANKS=32", "RANKS=64"];
        let ranks = ranks[rank.next_power_of_two().clamp(8, 64).trailing_zeros() as usize - 3];
        let gates_flag = if gates == 5 { "GATES=5" } else { "GATES=17" };
        let long = recorder.gpu().has_long_words().then_some("LONG");
        let flags = on([Some(ranks), Some(gates_flag), vectors, long, act.flag()]);
        (&LANES, flags, of_gates(gates) * u64::from(width.div_ceil(32)), u64::from(tokens))
    } else {
        let flags = on([vectors, args.y.dtype.flag(), act.flag()]);
        let groups = (of_gates(4) * u64::from(width.div_ceil(4))).div_ceil(64);
        (&THREADS, flags, groups, u64::from(tokens.div_ceil(4)) * u64::from(rank.div_ceil(4) + 1))
    };
    recorder.dispatch(&Dispatch {
        kernel,
        flags: &flags,
        params: bytemuck::bytes_of(&params),
        knobs: &[knob],
        storage: &[y, h, b_t, gates, counts.unwrap_or(y), out],
        groups,
        iterations,
    })
}

pub(super) fn head(recorder: &mut Recorder<'_>, args: &Head<'_>) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let (width, classes) = (args.x.width(), args.logits.width());
    let weight = args.weight.bind(alignment);
    let bias = args.bias.map_or(weight, |bias| bias.bind(alignment));
    let flags = on([vectors(&[&args.x, &args.weight]), args.bias.map(|_| "BIAS")]);
    for range in recorder.gpu().row_chunks(OP, &[args.x, args.logits], 1)? {
        let [x, out] = [args.x, args.logits].map(|view| view.bind_rows(&range, alignment));
        let rows = range.end - range.start;
        let params = HeadParams {
            x: x.rows,
            out: out.rows,
            rows,
            classes,
            width,
            weight_start: weight.rows.start,
            weight_stride: args.weight.row_step(),
            bias_start: bias.rows.start,
            pad: [0; 2],
        };
        recorder.dispatch(&Dispatch {
            kernel: &HEAD,
            flags: &flags,
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[x, weight, bias, out],
            groups: (u64::from(rows.div_ceil(8)) * u64::from(classes.div_ceil(8))).div_ceil(64),
            iterations: u64::from(width.div_ceil(4)) + 64,
        })?;
    }
    Ok(())
}
