//! `linear` against its twin, an f64 reference and central differences.

use crate::support::*;
use gtca::common::reduce::column_sum;
use gtca::gpu::View;
use gtca::gpu::{Gpu, Mode};
use gtca::linear::{Activation, Backward, Forward, Linear, LinearDesc, twin};

/// One case's inputs.
struct Case {
    rows: usize,
    inputs: usize,
    outputs: usize,
    activation: Activation,
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(rows: usize, inputs: usize, outputs: usize, activation: Activation) -> Self {
        let mut random = Random((rows * 10_007 + inputs * 101 + outputs) as u64);
        let (x, w) = (random.f32s(rows * inputs), random.f32s(outputs * inputs));
        let (b, dy) = (random.f32s(outputs), random.f32s(rows * outputs));
        Self { rows, inputs, outputs, activation, x, w, b, dy }
    }

    fn op(&self) -> Linear {
        let (inputs, outputs) = (self.inputs as u32, self.outputs as u32);
        Linear::new(&LinearDesc { inputs, outputs, activation: self.activation }).unwrap()
    }

    /// y, dx, dW, db from the kernels.
    fn run(&self, gpu: &'static Gpu, layout: Layout) -> [Vec<f32>; 4] {
        let (rows, inputs, outputs) = (self.rows as u32, self.inputs as u32, self.outputs as u32);
        let mut t = Tensors::new(gpu, layout);
        let x = t.f32([rows, 1, inputs], &self.x);
        let w = t.f32([outputs, 1, inputs], &self.w);
        let b = t.f32([1, 1, outputs], &self.b);
        let dy = t.f32([rows, 1, outputs], &self.dy);
        let [y, pre] = [(); 2].map(|()| t.poisoned([rows, 1, outputs]));
        let dx = t.poisoned([rows, 1, inputs]);
        let dw = t.poisoned([outputs, 1, inputs]);
        let db = t.poisoned([1, 1, outputs]);
        let saved = (self.activation != Activation::None).then(|| t.view(pre));
        let (x, w, bias, dy) = (t.view(x), t.view(w), Some(t.view(b)), t.view(dy));
        t.run(|recorder| {
            self.op().forward(recorder, &Forward { x, weight: w, bias, pre: saved, y: t.view(y) })?;
            let (dx, dweight, dbias) = (Some(t.view(dx)), Some(t.view(dw)), Some(t.view(db)));
            let (dx_mode, parameter_mode) = (Mode::Overwrite, Mode::Overwrite);
            let args = Backward { x, weight: w, pre: saved, dy, dx, dweight, dbias, dx_mode, parameter_mode };
            self.op().backward(recorder, &args)
        })
        .unwrap();
        [y, dx, dw, db].map(|tensor| t.read(tensor))
    }

    /// The f64 reference: plain formula, no tiling.
    fn reference(&self, x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
        let line =
            |x: &[f64], n: usize| b[n] + (0..self.inputs).map(|k| x[k] * w[n * self.inputs + k]).sum::<f64>();
        let act = |v: f64| if self.activation == Activation::Silu { v / (1.0 + (-v).exp()) } else { v };
        x.chunks_exact(self.inputs).flat_map(|x| (0..self.outputs).map(move |n| act(line(x, n)))).collect()
    }

    /// Σ dy·y, whose gradients the backward gives.
    fn objective(&self, x: &[f64], w: &[f64], b: &[f64]) -> f64 {
        self.reference(x, w, b).iter().zip(&self.dy).map(|(y, &dy)| y * f64::from(dy)).sum()
    }
}

#[test]
fn every_size_around_the_tile_edges_matches_the_reference() {
    let Some(gpu) = gpu() else { return };
    let sizes = [1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 65];
    for layout in LAYOUTS {
        for (i, &rows) in sizes.iter().enumerate() {
            for (j, &inputs) in sizes.iter().enumerate() {
                let outputs = sizes[(i * 3 + j * 5) % sizes.len()];
                let case = Case::new(rows, inputs, outputs, Activation::None);
                let [y, dx, dw, db] = case.run(gpu, layout);
                let expected = case.reference(&wide(&case.x), &wide(&case.w), &wide(&case.b));
                assert_near("y", &y, &expected, sum_bound(inputs + 1, inputs as f64 + 1.0));
                let w_back = twin::rows(&case.dy, outputs, &case.w, [1, inputs], inputs, None);
                assert_near("dx", &dx, &wide(&w_back), sum_bound(outputs, outputs as f64));
                let dw_twin = twin::outer(&case.dy, outputs, &case.x, inputs);
                assert_near("dW", &dw, &wide(&dw_twin), sum_bound(rows, rows as f64));
                assert_near("db", &db, &wide(&column_sum(&case.dy, outputs)), sum_bound(rows, rows as f64));
            }
        }
    }
}

#[test]
fn gradients_match_central_differences() {
    let Some(gpu) = gpu() else { return };
    for activation in [Activation::None, Activation::Silu] {
        let case = Case::new(9, 7, 5, activation);
        let [_, dx, dw, db] = case.run(gpu, Layout::OneBuffer);
        let (x, w, b) = (wide(&case.x), wide(&case.w), wide(&case.b));
        let numeric = |at: &[f64], f: &dyn Fn(&[f64]) -> f64| central_differences(at, 1e-5, f);
        assert_near("dx", &dx, &numeric(&x, &|x| case.objective(x, &w, &b)), 2e-6);
        assert_near("dW", &dw, &numeric(&w, &|w| case.objective(&x, w, &b)), 4e-6);
        assert_near("db", &db, &numeric(&b, &|b| case.objective(&x, &w, b)), 4e-6);
    }
}

#[test]
fn twenty_repeats_and_both_layouts_give_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(300, 37, 41, Activation::Silu);
    let first = case.run(gpu, Layout::Separate);
    for repeat in 0..20 {
        let again = case.run(gpu, LAYOUTS[repeat % 2]);
        for (a, b) in first.iter().zip(&again) {
            assert_same_bits("repeat", a, b);
        }
    }
}

#[test]
fn a_row_alone_equals_the_row_in_a_batch() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(70, 33, 35, Activation::Silu);
    let [y, dx, ..] = case.run(gpu, Layout::Separate);
    for row in [0, 1, 31, 32, 69] {
        let mut alone = Case::new(1, 33, 35, Activation::Silu);
        (alone.x, alone.dy) = (case.x[row * 33..][..33].to_vec(), case.dy[row * 35..][..35].to_vec());
        (alone.w, alone.b) = (case.w.clone(), case.b.clone());
        let [y_alone, dx_alone, ..] = alone.run(gpu, Layout::OneBuffer);
        assert_same_bits("y", &y_alone, &y[row * 35..][..35]);
        assert_same_bits("dx", &dx_alone, &dx[row * 33..][..33]);
    }
}

#[test]
fn a_sum_over_200_000_rows_is_whole() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(200_000, 3, 2, Activation::None);
    let [_, _, dw, db] = case.run(gpu, Layout::Separate);
    let (x, dy) = (wide(&case.x), wide(&case.dy));
    let expect = |n: usize, k: usize| (0..case.rows).map(|i| dy[i * 2 + n] * x[i * 3 + k]).sum::<f64>();
    let expected: Vec<f64> = (0..6).map(|i| expect(i / 3, i % 3)).collect();
    // 256 terms, then 782 partials: the error grows with the longer of the two stages, not with 200,000.
    assert_near("dW", &dw, &expected, sum_bound(256 + 782, 200_000.0 / 4.0));
    let expected: Vec<f64> = (0..2).map(|n| (0..case.rows).map(|i| dy[i * 2 + n]).sum()).collect();
    assert_near("db", &db, &expected, sum_bound(256 + 782, 200_000.0 / 2.0));
}

#[test]
fn accumulation_adds_to_what_is_there() {
    let Some(gpu) = gpu() else { return };
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let x = t.f32([1, 1, 2], &[1.0, 2.0]);
    let w = t.f32([1, 1, 2], &[3.0, 4.0]);
    let dy = t.f32([1, 1, 1], &[10.0]);
    let dx = t.f32([1, 1, 2], &[0.5, 0.25]);
    let dw = t.f32([1, 1, 2], &[0.5, 0.25]);
    let op = Linear::new(&LinearDesc { inputs: 2, outputs: 1, ..Default::default() }).unwrap();
    let args = Backward {
        x: t.view(x),
        weight: t.view(w),
        pre: None,
        dy: t.view(dy),
        dx: Some(t.view(dx)),
        dweight: Some(t.view(dw)),
        dbias: None,
        dx_mode: Mode::Accumulate,
        parameter_mode: Mode::Accumulate,
    };
    t.run(|recorder| op.backward(recorder, &args)).unwrap();
    assert_eq!(t.read(dx), [30.5, 40.25]);
    assert_eq!(t.read(dw), [10.5, 20.25]);
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let Some(gpu) = gpu() else { return };
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let x = t.f32([2, 1, 3], &[0.0; 6]);
    let w = t.f32([4, 1, 3], &[0.0; 12]);
    let y = t.poisoned([2, 1, 4]);
    let op = Linear::new(&LinearDesc { inputs: 3, outputs: 4, ..Default::default() }).unwrap();
    let good = Forward { x: t.view(x), weight: t.view(w), bias: None, pre: None, y: t.view(y) };
    let message = |args: Forward<'_>| t.run(|recorder| op.forward(recorder, &args)).unwrap_err().to_string();
    assert!(message(Forward { weight: t.view(x), ..good }).contains("`weight`"));
    let uneven = View { shape: [2, 2, 3], ..t.view(w) }.strided(20, 6);
    assert!(message(Forward { weight: uneven, ..good }).contains("one distance"));
    assert!(message(Forward { y: t.view(y).at(u64::MAX - 3), ..good }).contains("`y`"));
    assert!(message(Forward { y: t.view(x).columns(0, 4), ..good }).contains("overlap"));
    assert!(message(Forward { pre: Some(t.view(y)), ..good }).contains("`pre`"));
    assert!(message(Forward { x: t.view(x).of(gtca::gpu::Dtype::U32), ..good }).contains("U32"));
    assert!(t.read(y).iter().all(|value| value.to_bits() == POISON), "nothing may have been recorded");
}
