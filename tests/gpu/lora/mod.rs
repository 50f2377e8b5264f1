//! `lora` against its twin, an f64 reference and central differences.

mod case;
mod fuzz;
mod many;
mod sizes;

use crate::support::*;
use case::{Case, KINDS, Kind, TYPES, Wide, assert_same_results, backward, families};
use gtca::gpu::{Dtype, Gpu, Knob, Mode, OpenOptions, Recorder, View};
use gtca::lora::{Backward, Dropout, Family, Forward, Gate, Lora, LoraDesc, Scaling, Tuned, Workload, twin};
use std::time::Duration;

#[test]
fn every_rank_and_gate_matches_the_reference() {
    let Some(gpu) = gpu() else { return };
    let ranks = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 128, 256];
    for (i, rank) in ranks.into_iter().enumerate() {
        for (k, kind) in KINDS.into_iter().enumerate() {
            let tokens = [1, 3, 8][(i + k) % 3];
            Case::new([5, tokens, 11, 13, rank], kind).check(gpu, LAYOUTS[usize::from(i % 5 == k)]);
        }
    }
}

#[test]
fn gates_per_token_match_the_reference_and_repeated_ones_give_the_bits_of_gates_per_sample() {
    let Some(gpu) = gpu() else { return };
    for (i, [tokens, rank]) in [[1, 4], [3, 5], [8, 8], [70, 17]].into_iter().enumerate() {
        for kind in [Kind::Token, Kind::TokenScalar] {
            Case::new([5, tokens, 11, 13, rank], kind).check(gpu, LAYOUTS[i % 2]);
        }
        for (kind, own) in [(Kind::Rank, Kind::Token), (Kind::Scalar, Kind::TokenScalar)] {
            let case = Case::new([5, tokens, 11, 13, rank], kind);
            let columns = if kind.is_scalar() { 1 } else { rank };
            let repeated = case.gates.chunks(columns).flat_map(|gates| gates.repeat(tokens)).collect();
            let (shared, own) = (
                case.run(gpu, Layout::Separate),
                Case { kind: own, gates: repeated, ..case }.run(gpu, Layout::Separate),
            );
            for (name, a, b) in
                [("y", &shared.y, &own.y), ("dx", &shared.dx, &own.dx), ("da", &shared.da, &own.da)]
            {
                assert_same_bits(name, a, b);
            }
        }
    }
}

#[test]
fn every_size_around_the_tile_edges_matches_the_reference() {
    let Some(gpu) = gpu() else { return };
    let sizes = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33];
    for (i, &samples) in sizes.iter().enumerate() {
        for (j, &inputs) in sizes.iter().enumerate() {
            let (outputs, rank) = (sizes[(i * 5 + j * 7) % 12], sizes[(i + j) % 9]);
            Case::new([samples, [1, 3, 8][(i + j) % 3], inputs, outputs, rank], KINDS[j % 3])
                .check(gpu, Layout::Separate);
        }
    }
}

#[test]
fn every_size_around_the_larger_tiles_matches_the_reference() {
    let Some(gpu) = gpu() else { return };
    for (i, size) in [31, 32, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513].into_iter().enumerate()
    {
        Case::new([size, 1, 5, 4, 3], KINDS[i % 3]).check(gpu, Layout::Separate);
        Case::new([3, 1, size, 5, 4], KINDS[(i + 1) % 3]).check(gpu, LAYOUTS[i % 2]);
        Case::new([1, 3, 4, size, 8], KINDS[(i + 2) % 3]).check(gpu, LAYOUTS[i % 2]);
    }
}

#[test]
fn whole_vectors_and_single_numbers_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    for family in families(gpu) {
        for rank in [4, 8, 12, 16, 32, 64, 68] {
            for kind in [Kind::Rank, Kind::Scalar] {
                // Separate buffers hold vectors; in one buffer rows start at odd elements.
                let case = Case::new([13, 7, 76, 68, rank], kind).with(family);
                assert_same_results(&case.run(gpu, Layout::Separate), &case.run(gpu, Layout::OneBuffer));
            }
        }
        // Weights of halves are written out first, so each type of rows is enough.
        for wide in TYPES {
            let case = Case::new([13, 3, 80, 64, 8], Kind::Rank).stored(wide, wide).with(family);
            let case = case.with_bias().with_dropout(0.3);
            assert_same_results(&case.run(gpu, Layout::Separate), &case.run(gpu, Layout::OneBuffer));
        }
    }
}

/// Every pair of a type for rows and one for weights.
fn types() -> Vec<(Dtype, Dtype)> {
    TYPES.into_iter().flat_map(|wide| TYPES.map(|weights| (wide, weights))).collect()
}

#[test]
fn every_pair_of_types_matches_the_reference_with_bias_and_dropout() {
    let Some(gpu) = gpu() else { return };
    // Every width modulo four in both places, whole vectors, more than a tile.
    let shapes = [[5, 3, 9, 10, 3], [5, 3, 10, 11, 4], [3, 1, 11, 33, 8], [7, 1, 1, 1, 1], [9, 2, 48, 36, 8]];
    for (i, (wide, weights)) in types().into_iter().enumerate() {
        for (j, shape) in shapes.into_iter().enumerate() {
            let case = Case::new(shape, KINDS[(i + j) % 3]).stored(wide, weights);
            let case = if j % 2 == 0 { case.with_bias() } else { case };
            let case = if shape[4] == 8 { case.with_dropout(0.4) } else { case };
            case.check(gpu, LAYOUTS[j % 2]);
        }
    }
}

#[test]
fn halves_are_rounded_once_to_even_with_subnormals_and_overflow() {
    let Some(gpu) = gpu() else { return };
    // y = x · 1 · 1 through a rank of 1: what is stored is x, rounded; and what was stored comes back.
    for wide in [Dtype::F16, Dtype::Bf16] {
        let mut random = Random(3);
        let scales = [1.0, 2f32.powi(-14), 2f32.powi(-20), 2f32.powi(-24), 65_504.0];
        let values = |random: &mut Random| -> Vec<f32> {
            let scaled =
                |&scale: &f32| random.f32s(64).into_iter().chain([1.0, -1.0]).map(move |v| v * scale);
            scales.iter().flat_map(scaled).collect()
        };
        let (x, y) = (values(&mut random), values(&mut random));
        let rows = x.len();
        for family in families(gpu) {
            let case = Case {
                x: x.clone(),
                y: y.iter().rev().copied().collect(),
                a: vec![1.0],
                b_t: vec![1.0],
                lambda: 1.0 / 6.0,
                scaling: Scaling::Standard,
                ..Case::new([rows, 1, 1, 1, 1], Kind::None)
            };
            let case = case.stored(wide, Dtype::F32).with(family);
            let (actual, twin) = (case.run(gpu, Layout::Separate), case.twin());
            assert_same_bits("y", &actual.y, &twin.y);
            assert_same_bits("dx", &actual.dx, &twin.dx);
        }
    }
}

#[test]
fn dropout_draws_the_same_in_parts_and_nothing_at_zero() {
    let Some(gpu) = gpu() else { return };
    for family in families(gpu) {
        let case = Case::new([8, 3, 36, 20, 8], Kind::None).with(family);
        let plain = case.run(gpu, Layout::Separate);
        assert_same_results(&plain, &case.clone().with_dropout(0.0).run(gpu, Layout::Separate));
        let whole = case.clone().with_dropout(0.5);
        let all = whole.run(gpu, Layout::Separate);
        assert!(all.dx.iter().zip(&plain.dx).any(|(dropped, kept)| *dropped == 0.0 && *kept != 0.0));
        let mut part = Case { samples: 3, ..whole.clone() };
        let from = 5 * 3;
        part.dropout = whole.dropout.map(|d| Dropout { first_row: d.first_row + from as u64, ..d });
        part.x = case.x[from * 36..].to_vec();
        (part.y, part.dy) = (case.y[from * 20..].to_vec(), case.dy[from * 20..].to_vec());
        let some = part.run(gpu, Layout::OneBuffer);
        assert_same_bits("y", &some.y, &all.y[from * 20..]);
        assert_same_bits("dx", &some.dx, &all.dx[from * 36..]);
    }
}

#[test]
fn dropout_drops_its_share_and_keeps_the_mean() {
    let dropout = Dropout { probability: 0.3, seed: 1, ..Default::default() };
    let kept = twin::dropped(Some(dropout), &[1.0; 40_000], 100);
    let share = kept.iter().filter(|value| **value == 0.0).count() as f64 / 40_000.0;
    let mean = kept.iter().map(|&value| f64::from(value)).sum::<f64>() / 40_000.0;
    // Standard error of the share: √(0.3 · 0.7 / 40,000) = 0.0023.
    assert!((share - 0.3).abs() < 0.01 && (mean - 1.0).abs() < 0.015, "{share} {mean}");
}

#[test]
fn a_device_without_subgroups_runs_another_family_and_refuses_lanes() {
    let Some(gpu) = gpu() else { return };
    let plain: &'static Gpu = Box::leak(Box::new(with_features(gpu, wgpu::Features::empty())));
    assert!(!Family::Lanes.runs_on(plain));
    assert_ne!(Family::of(plain), Family::Lanes);
    let case = Case::new([3, 5, 12, 20, 8], Kind::Rank);
    case.check(plain, Layout::Separate);
    let op = case.with(Family::Lanes).op();
    let refused = op.variant(plain).unwrap_err().to_string();
    assert!(refused.contains("`family`") && refused.contains("SUBGROUP"), "{refused}");
    let automatic = Lora::new(&LoraDesc { inputs: 12, outputs: 20, ..Default::default() }).unwrap();
    assert_eq!(automatic.variant(gpu), Ok(Family::of(gpu)));
}

#[test]
fn a_tuner_takes_what_is_clearly_faster_and_remembers_it() {
    let Some(gpu) = gpu() else { return };
    let desc = LoraDesc { inputs: 24, outputs: 16, rank: 5, ..Default::default() };
    let (default, all) = (Family::of(gpu), families(gpu));
    let Some(other) = all.iter().copied().find(|family| *family != default) else { return };
    // The default takes 100 µs; of each family the first call, which compiles, does not count.
    let choice = |micros: u64| {
        let mut tuned = Tuned::default();
        let mut calls = Vec::new();
        let time = |family| {
            calls.push(family);
            let took = if calls.len() <= all.len() { 1 } else { 100 };
            Ok(Duration::from_micros(if family == other && took == 100 { micros } else { took }))
        };
        let family = tuned.measure_by(gpu, &desc, Workload::default(), time).unwrap();
        assert_eq!(calls[..all.len()], calls[all.len()..2 * all.len()], "families take turns");
        (family, tuned)
    };
    assert_eq!((choice(98).0, choice(100).0, choice(140).0), (default, default, default));
    let (family, mut tuned) = choice(90);
    assert_eq!(family, other);

    let path = std::env::temp_dir().join(format!("gtca-tuned-{}", std::process::id()));
    assert_eq!(Tuned::load(&path), Ok(Tuned::default()));
    tuned.save(&path).unwrap();
    let read = Tuned::load(&path).unwrap();
    assert_eq!(read, tuned);
    // Ranks of a class share a choice; nothing else does.
    let known = |desc: LoraDesc, workload| read.choice(gpu, &desc, workload);
    let every = Workload::default();
    assert_eq!(known(desc, every), Some(other));
    assert_eq!(known(LoraDesc { rank: 8, ..desc }, every), Some(other));
    for desc in [LoraDesc { rank: 4, ..desc }, LoraDesc { inputs: 25, ..desc }] {
        assert_eq!(known(desc, every), None);
    }
    assert_eq!(known(desc, Workload { dtype: Dtype::F16, ..every }), None);
    assert_eq!(known(desc, Workload { backward: false, ..every }), None);
    // What is known is not measured again.
    assert_eq!(tuned.measure(gpu, &desc, every), Ok(other));

    let lora = Lora::new(&LoraDesc { family: Some(other), ..desc }).unwrap();
    assert_eq!(lora.variant(gpu).unwrap().to_string(), other.name());
    std::fs::write(&path, "something else").unwrap();
    let refused = Tuned::load(&path).unwrap_err().to_string();
    assert!(refused.contains("first line") && refused.contains("measure again"), "{refused}");
    std::fs::remove_file(&path).unwrap();
    let nowhere = path.join("file");
    assert!(tuned.save(&nowhere).unwrap_err().to_string().contains("can be written"));
}

#[test]
fn a_tuner_measures_every_type_on_the_device() {
    let Some(gpu) = gpu() else { return };
    for dtype in TYPES {
        let mut tuned = Tuned::default();
        let desc = LoraDesc { inputs: 33, outputs: 20, rank: 4, ..Default::default() };
        let workload = Workload { dtype, backward: dtype != Dtype::Bf16 };
        let family = tuned.measure(gpu, &desc, workload).unwrap();
        assert!(family.runs_on(gpu));
        assert_eq!(tuned.choice(gpu, &desc, workload), Some(family));
    }
    let wrong = LoraDesc { rank: 0, ..Default::default() };
    assert!(Tuned::default().measure(gpu, &wrong, Workload::default()).is_err());
}

#[test]
fn a_warmed_up_call_compiles_nothing_more() {
    let Some(_) = gpu() else { return };
    let fresh = pollster::block_on(Gpu::open(&OpenOptions::default())).unwrap();
    let fresh: &'static Gpu = Box::leak(Box::new(fresh));
    for layout in LAYOUTS {
        let case = Case::new([3, 5, 16, 20, 8], Kind::Rank).with(Family::of(fresh)).with_bias();
        let mut t = Tensors::new(fresh, layout);
        let placed = case.place(&mut t);
        let cold = fresh.compiled_kernels();
        let warm_up = |recorder: &mut Recorder<'_>| {
            if layout == Layout::OneBuffer {
                recorder.lend_scratch(Some(View::vector(t.view(placed.x).buffer, 64)))?;
            }
            case.record(recorder, &t, &placed)
        };
        fresh.warm_up(warm_up).unwrap();
        let warm = fresh.compiled_kernels();
        assert!(warm > cold);
        assert_eq!(t.read(placed.dlambda)[0].to_bits(), POISON, "nothing may have been recorded");
        t.run(|recorder| case.record(recorder, &t, &placed)).unwrap();
        assert_ne!(t.read(placed.dlambda)[0].to_bits(), POISON);
        assert_eq!(fresh.compiled_kernels(), warm);
    }
}

#[test]
fn a_device_without_64_bit_words_gives_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    if !Family::Lanes.runs_on(gpu) {
        return;
    }
    let short: &'static Gpu = Box::leak(Box::new(with_features(gpu, wgpu::Features::SUBGROUP)));
    for (rank, wide) in [(4, Dtype::F32), (8, Dtype::F16), (16, Dtype::F32), (64, Dtype::F32)] {
        let case = Case::new([3, 31, 96, 80, rank], Kind::Rank).stored(wide, Dtype::F32).with(Family::Lanes);
        assert_same_results(&case.run(gpu, Layout::Separate), &case.run(short, Layout::Separate));
    }
}

#[test]
fn ragged_widths_match_the_reference() {
    let Some(gpu) = gpu() else { return };
    for layout in LAYOUTS {
        Case::new([3, 1, 2_049, 5, 4], Kind::Rank).check(gpu, layout);
        Case::new([1, 3, 5, 2_049, 3], Kind::Scalar).check(gpu, layout);
        Case::new([2, 8, 129, 127, 17], Kind::None).check(gpu, layout);
    }
}

#[test]
fn gradients_match_central_differences() {
    let Some(gpu) = gpu() else { return };
    let kinds = [Kind::None, Kind::Rank, Kind::Scalar, Kind::Token, Kind::TokenScalar];
    for (family, kind) in families(gpu).into_iter().flat_map(|family| kinds.map(|kind| (family, kind))) {
        let case = Case::new([3, 3, 7, 5, 3], kind).with(family).with_bias().with_dropout(0.4);
        let actual = case.run(gpu, Layout::OneBuffer);
        let objective = |w: &Wide| case.reference(w).y.iter().zip(&w.dy).map(|(y, dy)| y * dy).sum::<f64>();
        let check = |name: &str, actual: &[f32], at: &[f64], put: &dyn Fn(&mut Wide, &[f64])| {
            let expected = central_differences(at, 1e-5, |values| {
                let mut w = case.wide();
                put(&mut w, values);
                objective(&w)
            });
            assert_near(name, actual, &expected, 2e-5);
        };
        let w = case.wide();
        check("dx", &actual.dx, &w.x, &|w, v| w.x = v.to_vec());
        check("da", &actual.da, &w.a, &|w, v| w.a = v.to_vec());
        check("db_t", &actual.db_t, &w.b_t, &|w, v| w.b_t = v.to_vec());
        check("dbias", &actual.dbias, &w.bias, &|w, v| w.bias = v.to_vec());
        check("dgate", &actual.dgate, &w.gates, &|w, v| w.gates = v.to_vec());
        check("dlambda", &actual.dlambda, &w.factor[1..], &|w, v| w.factor[1] = v[0]);
    }
}

#[test]
fn twenty_repeats_both_layouts_and_both_sources_of_lambda_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let kinds = [(Kind::Rank, 5), (Kind::Scalar, 20)];
    for (family, (kind, rank)) in
        families(gpu).into_iter().flat_map(|family| kinds.map(|kind| (family, kind)))
    {
        let mut case = Case::new([37, 8, 21, 19, rank], kind).with(family);
        if rank == 5 {
            case = case.stored(Dtype::F16, Dtype::Bf16).with_bias().with_dropout(0.1);
        }
        let first = case.run(gpu, Layout::Separate);
        for repeat in 0..20 {
            case.lambda_in_buffer = repeat % 4 < 2;
            assert_same_results(&first, &case.run(gpu, LAYOUTS[repeat % 2]));
        }
    }
}

#[test]
fn a_sample_alone_equals_the_sample_in_a_batch() {
    let Some(gpu) = gpu() else { return };
    for family in families(gpu) {
        // Ragged, and whole vectors.
        for ([inputs, outputs, rank], wide) in [([33, 35, 6], Dtype::F32), ([80, 36, 8], Dtype::Bf16)] {
            let case = Case::new([23, 3, inputs, outputs, rank], Kind::Rank).with(family).with_bias();
            let case = case.stored(wide, Dtype::F32);
            let all = case.run(gpu, Layout::Separate);
            for sample in [0, 1, 7, 22] {
                let mut alone = Case { samples: 1, ..case.clone() };
                let first = sample as u64 * 3;
                alone.dropout = case.dropout.map(|d| Dropout { first_row: d.first_row + first, ..d });
                let part = |values: &[f32], width: usize| values[sample * width..][..width].to_vec();
                (alone.x, alone.gates) = (part(&case.x, 3 * inputs), part(&case.gates, rank));
                (alone.y, alone.dy) = (part(&case.y, 3 * outputs), part(&case.dy, 3 * outputs));
                let one = alone.run(gpu, Layout::OneBuffer);
                assert_same_bits("y", &one.y, &part(&all.y, 3 * outputs));
                assert_same_bits("dx", &one.dx, &part(&all.dx, 3 * inputs));
                assert_same_bits("dgate", &one.dgate, &part(&all.dgate, rank));
            }
        }
    }
}

/// Numbers whose bits an addition of 0 would change, or hide.
fn awkward(count: usize) -> Vec<f32> {
    let bits = [0x8000_0000, 0x7fc0_1234, 0x7f80_0000, 0xff80_0000, 0x0000_0001, 0x3f80_0000, 0xffa0_4321, 0];
    (0..count).map(|i| f32::from_bits(bits[i % bits.len()])).collect()
}

/// What comes back of values that are stored in halves.
fn stored_bits(gpu: &'static Gpu, dtype: Dtype, values: &[f32]) -> Vec<f32> {
    let mut t = Tensors::new(gpu, Layout::Separate);
    let tensor = t.stored([1, 1, values.len() as u32], dtype, values);
    t.read_stored(tensor)
}

#[test]
fn a_backward_that_computes_h_again_gives_the_bits_of_one_that_reads_it() {
    let Some(gpu) = gpu() else { return };
    for (i, family) in families(gpu).into_iter().enumerate() {
        for (shape, wide) in [([5, 3, 9, 10, 5], Dtype::F32), ([9, 2, 48, 36, 8], Dtype::F16)] {
            let case = Case::new(shape, KINDS[i % 3]).with(family).stored(wide, Dtype::F32);
            let case = case.with_bias().with_dropout(0.3);
            let [saved, again] = [true, false].map(|saves| Case { saves, ..case.clone() });
            let saved = saved.run(gpu, Layout::Separate);
            assert_same_results(&saved, &again.run(gpu, Layout::Separate));
            // And it reads h where it is given: of another h come other gradients.
            let mut t = Tensors::new(gpu, Layout::Separate);
            let placed = case.place(&mut t);
            let zeros = t.f32(
                [shape[0] as u32, shape[1] as u32, shape[4] as u32],
                &vec![0.0; shape[0] * shape[1] * shape[4]],
            );
            let args = Backward {
                db_t: Some(t.view(placed.db_t)),
                ..backward(
                    t.view(placed.x),
                    t.view(placed.dy),
                    t.view(placed.a),
                    t.view(placed.b_t),
                    Gate::None,
                    Knob::Host(1.0),
                    Some(t.view(zeros)),
                )
            };
            t.run(|recorder| case.op().backward(recorder, &args)).unwrap();
            assert!(t.read(placed.db_t).iter().all(|value| *value == 0.0));
        }
    }
}

#[test]
fn scratch_is_two_numbers_a_row_and_rank_at_most_beside_the_documented_partial_sums() {
    let Some(gpu) = gpu() else { return };
    let (samples, tokens, inputs, outputs, rank) = (10u64, 300, 36, 52, 8);
    let rows = samples * tokens;
    let shape = [samples, tokens, inputs, outputs, rank].map(|n| n as usize);
    let bytes = |numbers: u64| (numbers * 4).next_multiple_of(256);
    let hidden = bytes(rows * rank);
    for family in families(gpu) {
        // dA, dB: chunks of 512 rows in Lanes, else 256; dg: of 64 tokens; dλ: fewer than of dA.
        let chunks = rows.div_ceil(if family == Family::Lanes { 512 } else { 256 });
        let sums =
            [chunks * rank * inputs, chunks * rank * outputs, tokens.div_ceil(64) * samples * rank, chunks];
        let sums = sums.map(bytes).iter().sum::<u64>();
        for (kind, saves, forward) in
            [(Kind::None, true, 0), (Kind::None, false, 1), (Kind::Rank, true, 1), (Kind::Rank, false, 2)]
        {
            let case = Case { saves, ..Case::new(shape, kind).with(family) };
            let mut t = Tensors::new(gpu, Layout::Separate);
            let placed = case.place(&mut t);
            let taken = gpu.scratch_bytes(|recorder| case.record_forward(recorder, &t, &placed)).unwrap();
            assert!(taken.next_multiple_of(256) == forward * hidden, "{family:?} {kind:?} forward: {taken}");
            let taken = gpu.scratch_bytes(|recorder| case.record_backward(recorder, &t, &placed)).unwrap();
            let most = 2 * hidden + sums;
            assert!(taken <= most, "{family:?} {kind:?} backward: {taken} of {most}");
        }
    }
}

#[test]
fn off_is_off_bit_for_bit() {
    let Some(gpu) = gpu() else { return };
    // Ragged widths and a rank with padding, or whole vectors.
    let shapes = [[5, 3, 9, 10, 5], [5, 3, 12, 40, 8]];
    let shaped = |kind| shapes.map(|shape| Case::new(shape, kind));
    let cases = KINDS.into_iter().flat_map(shaped);
    for mut case in cases.flat_map(|case| families(gpu).into_iter().map(move |family| case.with(family))) {
        case.y = awkward(case.y.len());
        for wide in [Dtype::F16, Dtype::Bf16] {
            let mut case = case.clone();
            case.wide = wide;
            // What the halves hold, to the bit.
            case.y = stored_bits(gpu, wide, &case.y);
            let off = Case { lambda: 0.0, lambda_in_buffer: true, ..case.clone() }.with_bias();
            for layout in LAYOUTS {
                assert_same_bits("halves, lambda = 0", &off.run(gpu, layout).y, &case.y);
            }
            case.b_t.fill(0.0);
            assert_same_bits("halves, B = 0", &case.run(gpu, Layout::Separate).y, &case.y);
        }
        let mut b_is_zero = case.clone();
        b_is_zero.b_t.fill(0.0);
        b_is_zero.b_t[3] = -0.0;
        assert_same_bits("B = 0", &b_is_zero.run(gpu, Layout::Separate).y, &case.y);
        case.x[4] = f32::INFINITY;
        case.gates.iter_mut().take(1).for_each(|gate| *gate = f32::NAN);
        for lambda in [0.0, -0.0] {
            for lambda_in_buffer in [false, true] {
                let off = Case { lambda, lambda_in_buffer, ..case.clone() };
                for layout in LAYOUTS {
                    assert_same_bits("lambda = 0", &off.run(gpu, layout).y, &case.y);
                }
            }
        }
    }
}

#[test]
fn a_host_lambda_of_zero_zeroes_what_it_replaces_and_still_gives_dlambda() {
    let Some(gpu) = gpu() else { return };
    let kinds = KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]);
    for (family, (kind, lambda_in_buffer)) in
        families(gpu).into_iter().flat_map(|family| kinds.clone().map(move |kind| (family, kind)))
    {
        let wide = if lambda_in_buffer { Dtype::F32 } else { Dtype::F16 };
        let case = Case::new([4, 3, 6, 7, 5], kind).stored(wide, Dtype::F32).with_bias();
        let case = Case { lambda: 0.0, lambda_in_buffer, family, ..case };
        let actual = case.run(gpu, Layout::OneBuffer);
        for values in [&actual.dx, &actual.da, &actual.db_t, &actual.dbias, &actual.dgate] {
            assert!(values.iter().all(|value| *value == 0.0));
        }
        let (expected, bounds) = (case.reference(&case.wide()), case.bounds());
        assert_close("dlambda", &actual.dlambda, &expected.dlambda, &bounds.dlambda);
        assert!(actual.dlambda[0] != 0.0);
    }
}

#[test]
fn accumulation_adds_and_a_zero_lambda_leaves_what_is_there() {
    let Some(gpu) = gpu() else { return };
    let op =
        Lora::new(&LoraDesc { inputs: 2, outputs: 1, rank: 1, alpha: 1.0, ..Default::default() }).unwrap();
    for lambda in [2.0, 0.0] {
        let mut t = Tensors::new(gpu, Layout::OneBuffer);
        let x = t.f32([1, 1, 2], &[1.0, 2.0]);
        let a = t.f32([1, 1, 2], &[3.0, 4.0]);
        let b_t = t.f32([1, 1, 1], &[5.0]);
        let gate = t.f32([1, 1, 1], &[0.5]);
        let dy = t.f32([1, 1, 1], &[10.0]);
        let dx = t.f32([1, 1, 2], &[0.25, -0.0]);
        let da = t.f32([1, 1, 2], &[0.25, 0.5]);
        let db_t = t.f32([1, 1, 1], &[0.25]);
        let dgate = t.f32([1, 1, 1], &[0.25]);
        let dlambda = t.f32([1, 1, 1], &[0.25]);
        let mode = Mode::Accumulate;
        let gates = Gate::Scalar(t.view(gate));
        let args = Backward {
            dx: Some(t.view(dx)),
            da: Some(t.view(da)),
            db_t: Some(t.view(db_t)),
            dgate: Some(t.view(dgate)),
            dlambda: Some(t.view(dlambda)),
            dx_mode: mode,
            parameter_mode: mode,
            condition_mode: mode,
            ..backward(t.view(x), t.view(dy), t.view(a), t.view(b_t), gates, Knob::Host(lambda), None)
        };
        t.run(|recorder| op.backward(recorder, &args)).unwrap();
        // h = 11, u = 50.
        let on = f32::from(lambda != 0.0);
        assert_same_bits("dx", &t.read(dx), &[0.25 + on * 150.0, if on == 1.0 { 200.0 } else { -0.0 }]);
        assert_eq!(t.read(da), [0.25 + on * 50.0, 0.5 + on * 100.0]);
        assert_eq!(t.read(db_t), [0.25 + on * 110.0]);
        assert_eq!(t.read(dgate), [0.25 + on * 1100.0]);
        assert_eq!(t.read(dlambda), [0.25 + 275.0]);
    }
}

#[test]
fn sums_over_200_000_rows_are_whole() {
    let Some(gpu) = gpu() else { return };
    Case::new([1, 200_000, 3, 2, 2], Kind::Rank).check(gpu, Layout::Separate);
    Case::new([200_000, 1, 2, 3, 1], Kind::Scalar).check(gpu, Layout::Separate);
}

#[test]
fn a_batch_beyond_the_binding_limit_gives_the_same_bits() {
    let Some(whole) = gpu() else { return };
    let limits = wgpu::Limits { max_storage_buffer_binding_size: 32 << 10, ..Default::default() };
    let options = OpenOptions { limits: Some(limits), ..Default::default() };
    let small: &'static Gpu = Box::leak(Box::new(pollster::block_on(Gpu::open(&options)).unwrap()));
    for (family, kind) in families(whole).into_iter().flat_map(|family| KINDS.map(|kind| (family, kind))) {
        // Many samples; samples that fill several bindings each; one sample.
        for shape in [[601, 5, 7, 6, 3], [2, 1_500, 6, 7, 7], [1, 3_001, 7, 7, 4]] {
            let case = Case::new(shape, kind).with(family).with_dropout(0.3);
            let case =
                if kind == Kind::Rank { case.stored(Dtype::F16, Dtype::F16).with_bias() } else { case };
            let expected = case.run(whole, Layout::Separate);
            for layout in LAYOUTS {
                assert_same_results(&expected, &case.run(small, layout));
            }
        }
    }
}

#[test]
fn class_tokens_can_be_skipped_by_strides() {
    let Some(gpu) = gpu() else { return };
    for family in families(gpu) {
        let case = Case::new([4, 3, 6, 7, 5], Kind::Rank).with(family);
        let expected = case.run(gpu, Layout::Separate).y;
        let with_class_token = |values: &[f32], width: usize| -> Vec<f32> {
            values.chunks(3 * width).flat_map(|sample| [vec![9.0; width], sample.to_vec()].concat()).collect()
        };
        let mut t = Tensors::new(gpu, Layout::Separate);
        let x = t.f32([4, 4, 6], &with_class_token(&case.x, 6));
        let [y, first, second, third] = [(); 4].map(|()| t.f32([4, 4, 7], &with_class_token(&case.y, 7)));
        let (bases, tight) = ([first, second, third], [(); 2].map(|()| t.f32([4, 3, 7], &case.y)));
        let (a, b_t) = (t.f32([5, 1, 6], &case.a), t.f32([5, 1, 7], &case.b_t));
        let gates = t.f32([4, 1, 5], &case.gates);
        let skip = |tensor| {
            let view: View<'_> = t.view(tensor);
            View {
                offset: view.offset + u64::from(view.row_stride) * 4,
                shape: [4, 3, view.shape[2]],
                ..view
            }
        };
        let gate = Gate::Rank(t.view(gates));
        let lambda = Knob::Host(case.lambda);
        let (a, b_t) = (t.view(a), t.view(b_t));
        t.run(|recorder| {
            let (bias, dropout, h) = (None, None, None);
            let args = Forward { x: skip(x), a, b_t, bias, gate, lambda, dropout, y: skip(y), out: None, h };
            // Tokens lie unevenly in one of the two, then in the other, then in both.
            for (y, out) in [(skip(bases[0]), t.view(tight[1])), (t.view(tight[0]), skip(bases[1]))] {
                case.op().forward(recorder, &Forward { y, out: Some(out), ..args })?;
            }
            let [y, out] = [bases[0], bases[2]].map(skip);
            case.op().forward(recorder, &Forward { y, out: Some(out), ..args })?;
            case.op().forward(recorder, &args)
        })
        .unwrap();
        assert_same_bits("y", &t.read(y), &with_class_token(&expected, 7));
        assert_same_bits("y that is read", &t.read(bases[0]), &with_class_token(&case.y, 7));
        assert_same_bits("without gaps", &t.read(tight[1]), &expected);
        for out in [bases[1], bases[2]] {
            assert_same_bits("with gaps", &t.read(out), &with_class_token(&expected, 7));
        }
    }
}

#[test]
fn an_empty_batch_records_only_zeros() {
    let Some(gpu) = gpu() else { return };
    let op = Lora::new(&LoraDesc { inputs: 2, outputs: 3, rank: 4, ..Default::default() }).unwrap();
    let mut t = Tensors::new(gpu, Layout::Separate);
    let (x, dy) = (t.f32([0, 1, 2], &[]), t.f32([0, 1, 3], &[]));
    let (a, b_t) = (t.f32([4, 1, 2], &[1.0; 8]), t.f32([4, 1, 3], &[1.0; 12]));
    let (da, dlambda) = (t.poisoned([4, 1, 2]), t.poisoned([1, 1, 1]));
    let (x, dy, a, b_t) = (t.view(x), t.view(dy), t.view(a), t.view(b_t));
    let args = Backward {
        da: Some(t.view(da)),
        dlambda: Some(t.view(dlambda)),
        ..backward(x, dy, a, b_t, Gate::None, Knob::default(), None)
    };
    t.run(|recorder| op.backward(recorder, &args)).unwrap();
    assert_eq!((t.read(da), t.read(dlambda)), (vec![0.0; 8], vec![0.0]));
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let x = t.f32([2, 2, 3], &[0.0; 12]);
    let (y, beside) = (t.poisoned([2, 2, 4]), t.poisoned([2, 2, 4]));
    let (a, b_t) = (t.f32([5, 1, 3], &[0.0; 15]), t.f32([5, 1, 4], &[0.0; 20]));
    let gates = t.f32([2, 1, 5], &[1.0; 10]);
    let op = Lora::new(&LoraDesc { inputs: 3, outputs: 4, rank: 5, ..Default::default() }).unwrap();
    let (x, a, b_t) = (t.view(x), t.view(a), t.view(b_t));
    let gate = Gate::Rank(t.view(gates));
    let lambda = Knob::Host(1.0);
    let good =
        Forward { x, a, b_t, bias: None, gate, lambda, dropout: None, y: t.view(y), out: None, h: None };
    let message = |args: Forward<'_>| t.run(|recorder| op.forward(recorder, &args)).unwrap_err().to_string();
    assert!(message(Forward { a: b_t, ..good }).contains("`a`"));
    assert!(message(Forward { b_t: a, ..good }).contains("`b_t`"));
    assert!(message(Forward { gate: Gate::Scalar(t.view(gates)), ..good }).contains("`gate`"));
    assert!(message(Forward { lambda: Knob::Host(f32::NAN), ..good }).contains("`lambda`"));
    assert!(message(Forward { h: Some(t.view(y)), ..good }).contains("`h`"));
    assert!(
        message(Forward { y: View { buffer: x.buffer, offset: x.offset, ..t.view(y) }, ..good })
            .contains("overlap")
    );
    let other = t.view(beside);
    assert!(message(Forward { out: Some(t.view(y)), ..good }).contains("overlap"), "y as its own out");
    assert!(message(Forward { out: Some(View { shape: [2, 2, 3], ..other }), ..good }).contains("`out`"));
    assert!(message(Forward { out: Some(other.of(Dtype::F16)), ..good }).contains("`out`"));
    let x_is_y = Forward { y: View { buffer: x.buffer, offset: x.offset, ..t.view(y) }, ..good };
    assert!(message(Forward { out: Some(x_is_y.y), y: other, ..good }).contains("overlap"), "out over x");
    let dropped = |probability| Some(Dropout { probability, ..Default::default() });
    for probability in [-0.1, 1.0, f32::NAN] {
        assert!(message(Forward { dropout: dropped(probability), ..good }).contains("`dropout`"));
    }
    assert!(message(Forward { bias: Some(b_t), ..good }).contains("`bias`"));
    fn of(view: View<'_>, dtype: Dtype) -> View<'_> {
        View { dtype, ..view }
    }
    fn half(view: View<'_>, offset: u64, stride: u32) -> View<'_> {
        of(view.at(offset).strided(2 * stride, stride), Dtype::F16)
    }
    let refused = message(Forward { x: of(x, Dtype::U32), ..good });
    assert!(refused.contains("`x`") && refused.contains("U32"), "{refused}");
    let (x16, y16) = (half(x, 4, 4), half(t.view(y), 400, 4));
    assert!(message(Forward { y: y16, ..good }).contains("`y`"), "x is f32, y is not");
    assert!(message(Forward { x: x16, y: of(y16, Dtype::Bf16), ..good }).contains("`y`"));
    assert!(message(Forward { a: half(a, 4, 4), ..good }).contains("`b_t`"));
    let refused = message(Forward { x: half(x, 4, 3), y: y16, ..good });
    assert!(refused.contains("`x`") && refused.contains("strides must be even"), "{refused}");
    let refused = message(Forward { x: half(x, 6, 4), y: y16, ..good });
    assert!(refused.contains("`x`") && refused.contains("multiple of 4"), "{refused}");
    let args =
        Backward { dbias: Some(b_t), ..backward(x, t.view(y), a, b_t, Gate::None, Knob::default(), None) };
    let refused = t.run(|recorder| op.backward(recorder, &args)).unwrap_err().to_string();
    assert!(refused.contains("`dbias`"));
    let args = Backward {
        dgate: Some(t.view(gates)),
        ..backward(x, t.view(y), a, b_t, Gate::None, Knob::default(), None)
    };
    let refused = t.run(|recorder| op.backward(recorder, &args)).unwrap_err().to_string();
    assert!(refused.contains("`dgate`"));
    let untouched = [t.read(y), t.read(beside)].concat();
    assert!(untouched.iter().all(|value| value.to_bits() == POISON), "nothing may have been recorded");
    for desc in [
        LoraDesc { inputs: 0, outputs: 1, ..Default::default() },
        LoraDesc { inputs: 1, outputs: 1, rank: 0, ..Default::default() },
        LoraDesc { inputs: 1, outputs: 1, alpha: f32::INFINITY, ..Default::default() },
    ] {
        assert!(Lora::new(&desc).is_err());
    }
}
