//! `linear_forward`: y = x Wᵀ.

use super::{assert_near, numbers, read_rows};
use crate::{Case, Job};
use gtca::gpu::{Gpu, View};
use gtca::linear::{Forward, Linear, LinearDesc, twin};

const ROWS: u32 = 4096;
const WIDTH: u32 = 256;

pub(super) fn cases() -> Vec<Case> {
    vec![Case {
        name: "linear_forward",
        shape: format!("{ROWS}x{WIDTH}x{WIDTH}"),
        make: Box::new(linear_forward),
    }]
}

fn linear_forward(gpu: &Gpu) -> Job {
    let (x_host, w_host) = (numbers(ROWS * WIDTH, 0), numbers(WIDTH * WIDTH, 1));
    let (x, w) = (gpu.upload("x", &x_host), gpu.upload("w", &w_host));
    let y = gpu.zeros("y", u64::from(ROWS * WIDTH) * 4);
    let op = Linear::new(&LinearDesc { inputs: WIDTH, outputs: WIDTH, ..Default::default() })
        .expect("a valid shape");
    let (host, result) = (gpu.clone(), y.clone());
    let elements = f64::from(2 * ROWS * WIDTH + WIDTH * WIDTH);
    Job {
        written: 0.0,
        bytes: elements * 4.0,
        flops: 2.0 * f64::from(ROWS) * f64::from(WIDTH) * f64::from(WIDTH),
        pairs: 0.0,
        record: Box::new(move |encoder| {
            let weight = View::matrix(&w, WIDTH, WIDTH);
            let (x, y) = (View::matrix(&x, ROWS, WIDTH), View::matrix(&y, ROWS, WIDTH));
            let args = Forward { x, weight, bias: None, pre: None, y };
            op.forward(&mut host.recorder(encoder), &args).expect("valid arguments");
        }),
        check: Box::new(move |gpu| {
            let last = ROWS - 1;
            let got = read_rows(gpu, &result, WIDTH, last..ROWS);
            let x = &x_host[(last * WIDTH) as usize..];
            let width = WIDTH as usize;
            assert_near("linear_forward", &got, &twin::rows(x, width, &w_host, [width, 1], width, None));
        }),
    }
}
