//! Random draws that depend on a seed and a purpose only.

/// What a stream of draws is for; two purposes never share numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Purpose {
    /// Test and validation parts.
    Splits = 1,
    /// The synthetic world's parameters.
    World = 2,
    /// Samples of the synthetic world.
    Samples = 3,
    /// Initial values and batches of a training.
    Training = 4,
    /// Resamples of a bootstrap.
    Bootstrap = 5,
}

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    state: u64,
}

impl Draws {
    /// The stream `stream` of a purpose under a seed.
    pub(crate) fn new(seed: u64, purpose: Purpose, stream: u64) -> Self {
        let mut this = Self { state: seed ^ ((purpose as u64) << 56) };
        this.state ^= this.word().rotate_left(17) ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        this.word();
        this
    }

    fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1), 53 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in 0..n, for n > 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.word()) * n as u128) >> 64) as usize
    }

    /// Standard normal (Box-Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// An index drawn with the given weights, whose sum must be positive.
    pub(crate) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut rest = self.uniform() * weights.iter().sum::<f64>();
        let mut last = 0;
        for (i, &w) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            last = i;
            rest -= w;
            if rest < 0.0 {
                break;
            }
        }
        last
    }

    /// Fisher-Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_seed_purpose_and_number() {
        let first = |seed, purpose, stream| {
            let mut draw = Draws::new(seed, purpose, stream);
            std::array::from_fn::<u64, 5, _>(|_| draw.word())
        };
        let base = first(1, Purpose::Splits, 0);
        assert_eq!(base, first(1, Purpose::Splits, 0));
        assert!((1..5).all(|i| !base[..i].contains(&base[i])));
        for other in [first(2, Purpose::Splits, 0), first(1, Purpose::World, 0), first(1, Purpose::Splits, 1)]
        {
            assert!(other.iter().all(|word| !base.contains(word)));
        }
    }

    #[test]
    fn draws_have_their_moments() {
        let mut draw = Draws::new(3, Purpose::World, 0);
        let normal: Vec<f64> = (0..20_000).map(|_| draw.normal()).collect();
        let mean = normal.iter().sum::<f64>() / 2e4;
        let square = normal.iter().map(|v| v * v).sum::<f64>() / 2e4;
        // Standard errors: 0.007 and 0.01.
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "{mean} {square}");
        let mut counts = [0_u32; 3];
        (0..9000).for_each(|_| counts[draw.weighted(&[1.0, 0.0, 2.0])] += 1);
        assert!(counts[1] == 0 && (2800..3200).contains(&counts[0]), "{counts:?}");
        let mut order: Vec<usize> = (0..50).collect();
        draw.shuffle(&mut order);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(order != sorted && sorted == (0..50).collect::<Vec<_>>());
    }
}
