//! `shortcut_forward`: the anti-shortcut loss of embeddings 1024 × 256. `shortcut_gradient`: the loss with its gradient.
//!
//! Flops are those of the similarities, all S² pairs of them, and with the gradient of computing them again and of `Σ_j c_ij z_j`.

use super::{assert_near, numbers, read_rows};
use crate::{Case, Job};
use gtca::gpu::{Dtype, Gpu, View};
use gtca::loss::shortcut::{AntiShortcut, anti_shortcut, twin};

const SAMPLES: u32 = 1024;
const WIDTH: u32 = 256;
/// Temperature and weight.
const NUMBERS: (f32, f32) = (0.1, 2.0);

pub(super) fn cases() -> Vec<Case> {
    let case = |name, with_gradient| Case {
        name,
        shape: format!("{SAMPLES}x{WIDTH}"),
        make: Box::new(move |gpu| shortcut(gpu, with_gradient)),
    };
    vec![case("shortcut_forward", false), case("shortcut_gradient", true)]
}

fn shortcut(gpu: &Gpu, with_gradient: bool) -> Job {
    let mut z = numbers(SAMPLES * WIDTH, 0);
    for row in z.chunks_exact_mut(WIDTH as usize) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= length);
    }
    let [classes, regions] = [10, 37]
        .map(|n| (0..SAMPLES).map(|i| i.wrapping_mul(2_654_435_761) >> 8).map(|i| i % n).collect::<Vec<_>>());
    let (z_buffer, of_z) = (gpu.upload("z", &z), u64::from(SAMPLES * WIDTH) * 4);
    let ids = [&classes, &regions].map(|ids| gpu.upload("ids", ids));
    let (loss, dz) = (gpu.zeros("loss", 4), gpu.zeros("dz", of_z));
    let (host, results) = (gpu.clone(), [loss.clone(), dz.clone()]);
    let record = move |commands: &mut wgpu::CommandEncoder| {
        let [classes, regions] = ids.each_ref().map(|ids| View::matrix(ids, SAMPLES, 1).of(Dtype::U32));
        let (z, loss) = (View::matrix(&z_buffer, SAMPLES, WIDTH), View::vector(&loss, 1));
        let dz = with_gradient.then(|| View::matrix(&dz, SAMPLES, WIDTH));
        let args = AntiShortcut { dz, ..AntiShortcut::new(z, classes, regions, NUMBERS, loss) };
        anti_shortcut(&mut host.recorder(commands), &args).expect("valid arguments");
    };
    let check = move |gpu: &Gpu| {
        let expected = twin::anti_shortcut(&z, WIDTH as usize, [&classes, &regions], NUMBERS, 1.0);
        let [loss, dz] = &results;
        assert_near("shortcut", &read_rows(gpu, loss, 1, 0..1), &[expected.value]);
        if with_gradient {
            assert_near("shortcut_gradient", &read_rows(gpu, dz, WIDTH, 0..SAMPLES), &expected.gradients[0]);
        }
    };
    let similarities = 2.0 * f64::from(SAMPLES).powi(2) * f64::from(WIDTH);
    let (bytes, flops) = if with_gradient { (2 * of_z, 3.0 * similarities) } else { (of_z, similarities) };
    Job {
        bytes: bytes as f64,
        written: 0.0,
        flops,
        pairs: 0.0,
        record: Box::new(record),
        check: Box::new(check),
    }
}
