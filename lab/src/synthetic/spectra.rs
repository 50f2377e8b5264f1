//! Class signatures: mean courses, covariance, likelihood.

use super::{CHANNELS, CLASSES, STEPS, ZONES};

const WIDTH: usize = STEPS * CHANNELS.len();
/// Factors of the covariance.
const FACTORS: usize = 4;

/// p(y | z), the world's own distribution of classes over zones.
pub(super) const CLASS_GIVEN_ZONE: [[f64; CLASSES.len()]; ZONES] = [
    [0.38, 0.24, 0.20, 0.10, 0.04, 0.04],
    [0.03, 0.27, 0.20, 0.10, 0.08, 0.32],
    [0.22, 0.10, 0.22, 0.20, 0.20, 0.06],
    [0.40, 0.06, 0.12, 0.14, 0.12, 0.16],
];

/// Brightness, greenness, amplitude and phase (share of the year after mid-winter) of a class.
const SIGNATURE: [[f64; 4]; CLASSES.len()] = [
    [-0.9, 1.0, 0.3, 0.50],
    [0.0, 0.1, 0.9, 0.50],
    [0.2, 0.5, 0.7, 0.42],
    [0.3, 0.2, 1.2, 0.58],
    [0.3, 0.2, 1.2, 0.17],
    [1.1, -0.9, 0.1, 0.50],
];

/// What a zone adds to brightness and greenness, and by what it scales the amplitude.
const ZONE_EFFECT: [[f64; 3]; ZONES] =
    [[-0.4, 0.6, 0.5], [0.7, -0.7, 0.7], [0.0, 0.0, 1.0], [0.2, -0.3, 1.3]];

/// Response of the channels to brightness and to greenness.
const BRIGHT: [f64; CHANNELS.len()] = [0.6, 0.7, 0.8, 1.0, 1.1, 1.0];
const GREEN: [f64; CHANNELS.len()] = [-0.3, 0.1, -0.6, 1.0, -0.4, -0.6];

/// Standard deviations of brightness, greenness and the two seasonal components between samples.
const FACTOR_SD: [f64; FACTORS] = [0.45, 0.40, 0.45, 0.45];
/// Standard deviation of the white noise.
const NOISE_SD: f64 = 0.5;

/// Mean courses and factors.
#[derive(Debug, Clone)]
pub(super) struct Spectra {
    /// `[class][zone][local month of the first step]`.
    means: Vec<[f64; WIDTH]>,
    factors: [[f64; WIDTH]; FACTORS],
}

impl Spectra {
    pub(super) fn new() -> Self {
        let mut means = Vec::with_capacity(CLASSES.len() * ZONES * 12);
        for [bright, green, amplitude, phase] in SIGNATURE {
            for [zone_bright, zone_green, scale] in ZONE_EFFECT {
                means.extend((0..12).map(|first| {
                    course(|step| {
                        let season = ((first + step) % 12) as f64 / 12.0;
                        let swing = amplitude * scale * (std::f64::consts::TAU * (season - phase)).cos();
                        (bright + zone_bright - 0.2 * swing, green + zone_green + swing)
                    })
                }));
            }
        }
        let turn = |step: usize| std::f64::consts::TAU * step as f64 / 12.0;
        let factors = [
            course(|_| (FACTOR_SD[0], 0.0)),
            course(|_| (0.0, FACTOR_SD[1])),
            course(|step| (0.0, FACTOR_SD[2] * turn(step).cos())),
            course(|step| (0.0, FACTOR_SD[3] * turn(step).sin())),
        ];
        Self { means, factors }
    }

    pub(super) fn mean(&self, class: usize, zone: usize, local_month: usize) -> &[f64; WIDTH] {
        &self.means[(class * ZONES + zone) * 12 + local_month]
    }

    /// A spectrum from `FACTORS + WIDTH` standard normal numbers.
    pub(super) fn spectrum(&self, mean: &[f64; WIDTH], mut normal: impl FnMut() -> f64) -> [f64; WIDTH] {
        let scores: [f64; FACTORS] = std::array::from_fn(|_| normal());
        std::array::from_fn(|i| {
            let broad: f64 = (0..FACTORS).map(|f| scores[f] * self.factors[f][i]).sum();
            mean[i] + broad + NOISE_SD * normal()
        })
    }

    /// Log densities of the observed entries for every state, up to a constant that all states share.
    /// The covariance is `NOISE_SD² I + U Uᵀ`; its inverse by Woodbury's identity.
    pub(super) fn log_likelihoods(&self, series: &[f32]) -> Vec<f64> {
        let observed: Vec<usize> = (0..WIDTH).filter(|&i| !series[i].is_nan()).collect();
        let precision = NOISE_SD.powi(-2);
        let inner = |a: usize, b: usize| -> f64 {
            observed.iter().map(|&i| self.factors[a][i] * self.factors[b][i]).sum::<f64>() * precision
        };
        let root = cholesky(std::array::from_fn(|a| {
            std::array::from_fn(|b| f64::from(u8::from(a == b)) + inner(a, b))
        }));
        let density = |mean: &[f64; WIDTH]| {
            let mut square = 0.0;
            let mut scores = [0.0; FACTORS];
            for &i in &observed {
                let rest = f64::from(series[i]) - mean[i];
                square += rest * rest;
                (0..FACTORS).for_each(|f| scores[f] += self.factors[f][i] * rest * precision);
            }
            let solved = forward_solve(&root, scores);
            -0.5 * (square * precision - solved.iter().map(|v| v * v).sum::<f64>())
        };
        self.means.iter().map(density).collect()
    }
}

fn course(level: impl Fn(usize) -> (f64, f64)) -> [f64; WIDTH] {
    std::array::from_fn(|i| {
        let (step, channel) = (i / CHANNELS.len(), i % CHANNELS.len());
        let (bright, green) = level(step);
        bright * BRIGHT[channel] + green * GREEN[channel]
    })
}

fn cholesky(m: [[f64; FACTORS]; FACTORS]) -> [[f64; FACTORS]; FACTORS] {
    let mut root = [[0.0; FACTORS]; FACTORS];
    for i in 0..FACTORS {
        for j in 0..=i {
            let rest = m[i][j] - (0..j).map(|k| root[i][k] * root[j][k]).sum::<f64>();
            root[i][j] = if i == j { rest.sqrt() } else { rest / root[j][j] };
        }
    }
    root
}

fn forward_solve(root: &[[f64; FACTORS]; FACTORS], v: [f64; FACTORS]) -> [f64; FACTORS] {
    let mut out = [0.0; FACTORS];
    for i in 0..FACTORS {
        out[i] = (v[i] - (0..i).map(|k| root[i][k] * out[k]).sum::<f64>()) / root[i][i];
    }
    out
}
