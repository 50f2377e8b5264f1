//! Spherical harmonics: every degree, every convention.

use super::inputs::input_gradient;
use super::*;
use gtca::encode::{AddToTokens, Convention, TokenGrid, twin};

const CONVENTIONS: [Convention; 3] =
    [Convention::Orthonormal, Convention::SatClip, Convention::SatClipAnalytic];

fn published(degree: u32, convention: Convention, validity: bool) -> Block {
    Block::Harmonics { degree, convention, validity }
}

/// Places next to poles and to the antimeridian, on meridians and parallels, and all over the sphere.
fn places(random_ones: usize) -> Vec<Record> {
    let near = [0.0, 1e-9, 1e-6, 1e-4, 1e-2, 1.0];
    let lats = near.iter().flat_map(|d| [90.0 - d, -90.0 + d, *d, -d]);
    let lons = near.iter().flat_map(|d| [180.0 - d, -180.0 + d, *d, 90.0 - d]).collect::<Vec<_>>();
    let edges = lats.flat_map(|lat| lons.iter().map(move |&lon| [lat, lon]));
    let mut random = Random(40);
    let random = (0..random_ones)
        .map(|_| [(random.unit() * 2.0 - 1.0).asin().to_degrees(), random.unit() * 360.0 - 180.0]);
    let place = |[lat, lon]: [f64; 2]| Record::new().lat_deg(lat).lon_deg(lon);
    edges.map(place).chain(random.collect::<Vec<_>>().into_iter().map(place)).collect()
}

/// Worst |e − expected| of each degree; `e` has the columns of one block.
fn worst_by_degree(e: &[f32], expected: &[f64], degree: usize, width: usize) -> Vec<f64> {
    let rows = || e.chunks_exact(width).zip(expected.chunks_exact(width));
    let of = |l: usize| {
        let columns = l * l..(l + 1) * (l + 1);
        rows()
            .flat_map(|(e, expected)| e[columns.clone()].iter().zip(&expected[columns.clone()]))
            .map(|(&e, expected)| (f64::from(e) - expected).abs())
            .fold(0.0, f64::max)
    };
    (0..=degree).map(of).collect()
}

#[test]
fn every_degree_holds_its_bound_everywhere() {
    let Some(gpu) = gpu() else { return };
    let batch = Batch::of(Plan::new(&[Block::Place { degree: 40 }]).unwrap(), &places(1200));
    let (e, _) = batch.forward(gpu, Layout::Separate);
    let expected = batch.reference(&wide(&batch.arena));
    let worst = worst_by_degree(&e, &expected, 40, batch.plan.width() as usize);
    let twin = wide(&twin::forward(&batch.plan, &batch.records, &batch.arena, &[]));
    let from_twin = worst_by_degree(&e, &twin, 40, batch.plan.width() as usize);
    for (l, (worst, from_twin)) in worst.iter().zip(&from_twin).enumerate() {
        // As the documentation of `Convention` says.
        let bound = 2e-7 + 1e-8 * l as f64;
        assert!(*worst <= bound, "degree {l}: {worst:e} from f64");
        assert!(*from_twin <= bound, "degree {l}: {from_twin:e} from the twin");
    }
}

#[test]
fn satclips_columns_equal_upstreams() {
    let Some(gpu) = gpu() else { return };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/satclip.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let f64s = |name: &str| {
        file.tensor(name).ok().map(|tensor| bytemuck::pod_collect_to_vec::<u8, f64>(tensor.data()))
    };
    let names = file.names();
    let mut cases = 0;
    for (group, convention) in
        [("sh_closed", Convention::SatClip), ("sh_analytic", Convention::SatClipAnalytic)]
    {
        for case in
            names.iter().filter_map(|name| name.strip_suffix(".in.L")).filter(|n| n.starts_with(group))
        {
            let levels: Vec<i32> =
                bytemuck::pod_collect_to_vec(file.tensor(&format!("{case}.in.L")).unwrap().data());
            let lonlat = f64s(&format!("{case}.in.lonlat_deg")).or_else(|| f64s("in.lonlat_deg")).unwrap();
            let place = |p: &[f64]| Record::new().lat_deg(p[1]).lon_deg(p[0]);
            let all: Vec<Record> = lonlat.chunks_exact(2).map(place).collect();
            let block = published(levels[0] as u32 - 1, convention, false);
            let batch = Batch::of(Plan::new(&[block]).unwrap(), &all);
            let (e, _) = batch.forward(gpu, Layout::OneBuffer);
            assert_near(case, &e, &f64s(&format!("{case}.out_f64")).unwrap(), 6e-7);
            cases += 1;
        }
    }
    assert_eq!(cases, 5);
}

#[test]
fn degrees_and_batches_around_every_tile_edge_are_whole() {
    let Some(gpu) = gpu() else { return };
    for (i, degree) in [0, 1, 2, 3, 6, 7, 8, 9, 15, 16, 17, 24, 31, 39].into_iter().enumerate() {
        let samples = [1, 3, 4, 5, 15, 16, 17, 31, 33, 64, 97][i % 11];
        let blocks = [
            published(degree, CONVENTIONS[i % 3], i % 2 == 0),
            Block::Day,
            Block::Place { degree: 9 - degree.min(9) },
        ];
        let batch = Batch::of(Plan::new(&blocks).unwrap(), &records(200, 3)[..samples]);
        let (e, _) = batch.forward(gpu, LAYOUTS[i % 2]);
        assert_near("e", &e, &batch.reference(&wide(&batch.arena)), 1.5e-6);
        let twin = twin::forward(&batch.plan, &batch.records, &batch.arena, &[]);
        assert_near("e against its twin", &e, &wide(&twin), 6e-7);
    }
}

#[test]
fn a_workgroup_hands_over_to_the_next() {
    let Some(gpu) = gpu() else { return };
    for samples in [1023, 1024, 1025, 1041] {
        let batch =
            Batch::of(Plan::new(&[published(2, Convention::SatClip, false)]).unwrap(), &records(samples, 3));
        let (e, _) = batch.forward(gpu, Layout::OneBuffer);
        assert_near("e", &e, &batch.reference(&[]), 4e-7);
    }
}

#[test]
fn a_missing_place_is_zeros_where_nothing_is_learned() {
    let Some(gpu) = gpu() else { return };
    let mut all = records(70, 5);
    for (i, record) in all.iter_mut().enumerate() {
        record.lat_deg = record.lat_deg.filter(|_| i % 3 != 0);
        record.lon_deg = record.lon_deg.filter(|_| i % 5 != 0);
    }
    let blocks = [published(4, Convention::SatClip, true), published(12, Convention::SatClipAnalytic, false)];
    let plan = Plan::new(&blocks).unwrap();
    assert_eq!((plan.width(), plan.arena_len()), (25 + 1 + 169, 0));
    let batch = Batch::of(plan, &all);
    let (e, status) = batch.forward(gpu, Layout::OneBuffer);
    assert_near("e", &e, &batch.reference(&[]), 2e-6);
    assert_same_bits("row 0", &e[..195], &[0.0; 195]);
    assert_eq!(status, [0, 0]);
}

#[test]
fn a_place_alone_and_twenty_repeats_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let all = records(70, 8);
    let block = [Block::Place { degree: 40 }];
    let batch = Batch::of(Plan::new(&block).unwrap(), &all);
    let (first, _) = batch.forward(gpu, Layout::Separate);
    for repeat in 0..20 {
        assert_same_bits("repeat", &first, &batch.forward(gpu, LAYOUTS[repeat % 2]).0);
    }
    let width = batch.plan.width() as usize;
    for sample in [0, 3, 31, 32, 69] {
        let alone = Batch::of(Plan::new(&block).unwrap(), &all[sample..=sample]);
        let (row, _) = alone.forward(gpu, Layout::OneBuffer);
        assert_same_bits("row", &row, &first[sample * width..][..width]);
    }
}

/// The gradient of the places from the kernel; nothing else moves.
fn place_gradient(batch: &Batch, gpu: &'static Gpu, layout: Layout) -> Vec<f32> {
    let gradient = input_gradient(batch, &vec![0.0; 2 * batch.records.len()], gpu, layout, None);
    gradient.chunks_exact(4).flat_map(|row| row[..2].to_vec()).collect()
}

/// Central differences of Σ de · e in f64, per degree; a place beyond a pole is one on the other side.
fn place_differences(batch: &Batch) -> Vec<f64> {
    let width = batch.plan.width() as usize;
    let of = |i: usize| {
        let record = batch.records.get(i);
        let (Some(lat), Some(lon)) = (record.lat_deg, record.lon_deg) else { return vec![0.0; 2] };
        central_differences(&[lat, lon], 1e-4, |at| {
            let mut sum = 0.0;
            for layout in batch.plan.layouts() {
                let (degree, convention) = match layout.block {
                    Block::Place { degree } => (degree, Convention::Orthonormal),
                    Block::Harmonics { degree, convention, .. } => (degree, convention),
                    _ => continue,
                };
                let de = &batch.de[i * width + layout.features.start as usize..];
                let row = reference::harmonics_of(convention, at[0], at[1], degree);
                sum += row.iter().zip(de).map(|(e, &de)| e * f64::from(de)).sum::<f64>();
            }
            sum
        })
    };
    (0..batch.records.len()).flat_map(of).collect()
}

#[test]
fn the_slope_of_every_column_holds_its_bound() {
    let Some(gpu) = gpu() else { return };
    for degree in [1, 8, 40u32] {
        let mut batch = Batch::of(Plan::new(&[Block::Place { degree }]).unwrap(), &places(600));
        let (width, columns) = (batch.plan.width() as usize, (degree as usize + 1).pow(2));
        batch.de.fill(0.0);
        for i in 0..batch.records.len() {
            // One column a record, near and far ones in turn.
            batch.de[i * width + (i * 7919) % columns] = 1.0;
        }
        let bound = |i: usize| {
            let l = ((((i * 7919) % columns) as f64).sqrt()).floor();
            (l * (2e-7 + 1e-8 * l)).to_radians() + 1e-9
        };
        let bounds: Vec<f64> = (0..batch.records.len()).flat_map(|i| [bound(i); 2]).collect();
        let gradient = place_gradient(&batch, gpu, Layout::Separate);
        assert_close("dposition", &gradient, &place_differences(&batch), &bounds);
    }
}

#[test]
fn gradients_of_places_match_central_differences_and_the_twin() {
    let Some(gpu) = gpu() else { return };
    for (i, samples) in [1, 3, 4, 5, 63, 255, 256, 257, 300].into_iter().enumerate() {
        let mut all = records(samples, 6);
        all.iter_mut().skip(2).step_by(3).for_each(|record| record.lat_deg = None);
        let blocks = [
            Block::Season,
            published(5 + i as u32, CONVENTIONS[i % 3], i % 2 == 0),
            Block::Place { degree: 8 },
        ];
        let batch = Batch::of(Plan::new(&blocks).unwrap(), &all);
        let gradient = place_gradient(&batch, gpu, LAYOUTS[i % 2]);
        assert_near("against f64", &gradient, &place_differences(&batch), 2e-6);
        let twin = twin::input_gradient(&batch.plan, &batch.records, &batch.arena, &[], &batch.de);
        let twin: Vec<f64> = twin.chunks_exact(4).flat_map(|row| wide(&row[..2])).collect();
        assert_near("against the twin", &gradient, &twin, 1e-6);
        for repeat in 0..if i == 8 { 20 } else { 1 } {
            assert_same_bits("repeat", &gradient, &place_gradient(&batch, gpu, LAYOUTS[repeat % 2]));
        }
        let mut alone = Batch::of(batch.plan.clone(), &all[samples - 1..]);
        alone.de = batch.de[batch.de.len() - alone.de.len()..].to_vec();
        assert_same_bits("alone", &gradient[samples * 2 - 2..], &place_gradient(&alone, gpu, LAYOUTS[0]));
    }
}

#[test]
fn tokens_get_the_harmonics_of_their_record_and_class_tokens_keep_their_bits() {
    let Some(gpu) = gpu() else { return };
    let blocks = [
        Block::Place { degree: 3 },
        Block::Day,
        published(2, Convention::SatClip, true),
        Block::Place { degree: 10 },
    ];
    let plan = Plan::new(&blocks).unwrap();
    let width = plan.width();
    let (samples, frames) = (5u32, 4u32);
    for (layout, (skipped, frames_a_record)) in LAYOUTS.into_iter().flat_map(|l| [(l, (0, 0)), (l, (2, 2))]) {
        let grid = TokenGrid { skipped, frames_a_record, ..TokenGrid::series(frames, 3, 2) };
        let a_sample = frames.checked_div(frames_a_record).unwrap_or(1);
        let mut all = records((samples * a_sample) as usize, 12);
        all[1].lon_deg = None;
        let batch = Batch::of(plan.clone(), &all);
        let tokens = skipped + frames * 6;
        let before = Random(3).f32s((samples * tokens * width) as usize);
        let mut t = Tensors::new(gpu, layout);
        let words = t.u32([RECORD_WORDS, 1, samples * a_sample], batch.records.words());
        let arena = t.f32([1, 1, plan.arena_len()], &batch.arena);
        let out = t.f32([samples, tokens, width], &before);
        let args = AddToTokens {
            records: t.view(words),
            arena: t.view(arena),
            given: None,
            tokens: t.view(out),
            grid,
            status: None,
        };
        let encoder = Encoder::new(gpu, plan.clone());
        t.run(|recorder| encoder.add_to_tokens(recorder, &args)).unwrap();
        let got = t.read(out);
        let mut from_twin = before.clone();
        twin::add_to_tokens(&plan, &batch.records, &batch.arena, &[], &grid, (&mut from_twin, tokens));
        assert_near("tokens against the twin", &got, &wide(&from_twin), 6e-7);
        let encoded = batch.reference(&wide(&batch.arena));
        for (row, (got, before)) in
            got.chunks_exact(width as usize).zip(before.chunks_exact(width as usize)).enumerate()
        {
            let (sample, t) = (row as u32 / tokens, row as u32 % tokens);
            let Some(position) = t.checked_sub(skipped) else {
                assert_same_bits("class token", got, before);
                continue;
            };
            let record = sample * a_sample + (position / 6).checked_div(frames_a_record).unwrap_or(0);
            let encoded = &encoded[(record * width) as usize..][..width as usize];
            let sums: Vec<f64> = wide(before).iter().zip(encoded).map(|(b, e)| b + e).collect();
            assert_near("tokens against f64", got, &sums, 8e-7);
        }
    }
}
