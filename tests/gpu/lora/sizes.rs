//! `lora` at every small size and beside every edge of a tile: many cases in one recording, read back once.

use super::case::{Case, Kind, families};
use crate::support::*;
use gtca::gpu::Gpu;
use gtca::lora::{Lora, LoraDesc};

const KINDS: [Kind; 5] = [Kind::None, Kind::Rank, Kind::Scalar, Kind::Token, Kind::TokenScalar];

/// Cases of one recording, so that they fit the tensors' one buffer.
const TOGETHER: usize = 200;

/// Forward and backward of every case on every family, against the f64 reference.
fn check(gpu: &'static Gpu, shapes: &[[usize; 5]]) {
    for (i, shapes) in shapes.chunks(TOGETHER).enumerate() {
        let case = |(j, shape): (usize, &[usize; 5])| Case::new(*shape, KINDS[(i + j) % KINDS.len()]);
        let cases: Vec<Case> = shapes.iter().enumerate().map(case).collect();
        let wanted: Vec<_> = cases.iter().map(|case| (case.reference(&case.wide()), case.bounds())).collect();
        for family in families(gpu) {
            // Whole vectors where widths are such, or none.
            let mut t = Tensors::new(gpu, [Layout::Aligned, Layout::OneBuffer][i % 2]);
            let cases: Vec<Case> = cases.iter().map(|case| case.with(family)).collect();
            let placed: Vec<_> = cases.iter().map(|case| case.place(&mut t)).collect();
            t.run(|recorder| {
                cases.iter().zip(&placed).try_for_each(|(case, placed)| case.record(recorder, &t, placed))
            })
            .unwrap();
            t.fetch();
            for (((case, placed), shape), (expected, bounds)) in
                cases.iter().zip(&placed).zip(shapes).zip(&wanted)
            {
                let results = case.results(&t, placed);
                for (actual, (expected, bounds)) in
                    results.each().into_iter().zip(expected.each().into_iter().zip(bounds.each()))
                {
                    let name = format!("{} of {shape:?} {family:?}", actual.0);
                    assert_close(&name, actual.1, expected.1, bounds.1);
                }
            }
        }
    }
}

/// Rows as samples of 1, 2, 3 … tokens.
fn batch(rows: usize, turn: usize) -> [usize; 2] {
    if rows == 0 {
        return [[0, 1], [1, 0]][turn % 2];
    }
    let tokens = (1..=rows).filter(|tokens| rows.is_multiple_of(*tokens)).nth(turn % 3).unwrap_or(rows);
    [rows / tokens, tokens]
}

#[test]
fn every_size_up_to_33_of_rows_widths_and_rank_matches_the_reference() {
    let Some(gpu) = gpu() else { return };
    for [inputs, outputs, rank] in [[0, 1, 1], [1, 0, 1], [1, 1, 0]] {
        assert!(Lora::new(&LoraDesc { inputs, outputs, rank, ..Default::default() }).is_err());
    }
    // Every pair of rows and inputs, and with them every output width and rank, many times.
    let shape = |rows: usize, inputs: usize| {
        let [samples, tokens] = batch(rows, inputs);
        let (outputs, rank) = ((rows * 5 + inputs * 7) % 33 + 1, (rows * 16 + inputs * 13) % 33 + 1);
        [samples, tokens, inputs, outputs, rank]
    };
    let shapes: Vec<_> = (0..=33)
        .flat_map(|rows| (1..=33).map(move |inputs| (rows, inputs)))
        .map(|(r, i)| shape(r, i))
        .collect();
    for axis in 2..5 {
        assert!((1..=33).all(|size| shapes.iter().any(|shape| shape[axis] == size)), "axis {axis}");
    }
    check(gpu, &shapes);
}

#[test]
fn every_size_beside_an_edge_of_a_tile_matches_the_reference_at_every_class_of_rank() {
    let Some(gpu) = gpu() else { return };
    let edges = [8, 16, 32, 64, 128, 256, 512, 1024].map(|edge| [edge - 1, edge, edge + 1]).concat();
    let ranks = [3, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65];
    let mut shapes = Vec::new();
    for (i, &size) in edges.iter().enumerate() {
        for (j, &rank) in ranks.iter().enumerate() {
            let [samples, tokens] = batch(size, i + j);
            shapes.push([samples, tokens, 5 - j % 2, 4 + i % 2, rank]);
            shapes.push([3, 1 + j % 2, size, 5 - i % 2, rank]);
            shapes.push([1 + i % 2, 3, 4 + j % 2, size, rank]);
        }
    }
    // The largest rank and those beside its tiles.
    shapes.extend([127, 128, 129, 255, 256].map(|rank| [3, 3, 33, 34, rank]));
    check(gpu, &shapes);
}

#[test]
fn widths_of_language_models_match_the_reference() {
    let Some(gpu) = gpu() else { return };
    let widths = [5, 1_280, 1_664, 2_049, 3_424, 5_120, 11_008, 13_824, 32_000, 49_408, 59_999];
    let mut shapes = Vec::new();
    for (i, &width) in widths.iter().enumerate() {
        let rank = [4, 8, 16, 3, 32][i % 5];
        shapes.push([3, 1, width, 5, rank]);
        shapes.push([1, 3, 5, width, rank]);
    }
    shapes.push([2, 1, 2_049, 11_008, 8]);
    shapes.push([2, 1, 3_424, 1_280, 16]);
    shapes.chunks(2).for_each(|shapes| check(gpu, shapes));
}
