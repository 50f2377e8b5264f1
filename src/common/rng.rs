//! Random numbers by counter, without state; `shaders/common/rng.wgsl`, bit-equal.
//!
//! Threefry-4x32 with 20 rounds (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

/// Rotation counts of the eight rounds that repeat: for the pairs of words 0 and 2.
const ROTATIONS: [[u32; 2]; 8] =
    [[10, 26], [11, 21], [13, 27], [23, 5], [6, 20], [17, 11], [25, 10], [18, 20]];

/// Four random words from a key and a counter.
///
/// ```
/// let words = gtca::common::rng::threefry4x32_20([0; 4], [0; 4]);
/// assert_eq!(words, [0x9c6c_a96a, 0xe17e_ae66, 0xfc10_ecd4, 0x5256_a7d8]);
/// ```
pub fn threefry4x32_20(key: [u32; 4], counter: [u32; 4]) -> [u32; 4] {
    let parity = 0x1bd1_1bda ^ key[0] ^ key[1] ^ key[2] ^ key[3];
    let ring = [key[0], key[1], key[2], key[3], parity];
    let mut x: [u32; 4] = std::array::from_fn(|i| counter[i].wrapping_add(key[i]));
    for round in 0..20 {
        let [left, right] = ROTATIONS[round % 8];
        // The partners of words 0 and 2 change places after each round.
        let (a, b) = if round % 2 == 0 { (1, 3) } else { (3, 1) };
        x[0] = x[0].wrapping_add(x[a]);
        x[a] = x[a].rotate_left(left) ^ x[0];
        x[2] = x[2].wrapping_add(x[b]);
        x[b] = x[b].rotate_left(right) ^ x[2];
        if round % 4 == 3 {
            let injection = round / 4 + 1;
            for (i, word) in x.iter_mut().enumerate() {
                *word = word.wrapping_add(ring[(injection + i) % 5]);
            }
            x[3] = x[3].wrapping_add(injection as u32);
        }
    }
    x
}

/// Four draws for one sample: key = (seed low, seed high, purpose, 0), counter = (id low, id high, step, number).
///
/// `purpose` keeps unlike uses of one seed apart; `step` is the training step or the perturbation's index.
pub fn draw4(seed: u64, purpose: u32, sample_id: u64, step: u32, number: u32) -> [u32; 4] {
    threefry4x32_20(
        [seed as u32, (seed >> 32) as u32, purpose, 0],
        [sample_id as u32, (sample_id >> 32) as u32, step, number],
    )
}

/// `[0, 1)` in steps of 2⁻²⁴, exact.
///
/// ```
/// assert_eq!(gtca::common::rng::uniform01(0x8000_0000), 0.5);
/// assert!(gtca::common::rng::uniform01(u32::MAX) < 1.0);
/// ```
pub fn uniform01(bits: u32) -> f32 {
    (bits >> 8) as f32 * 2f32.powi(-24)
}

/// Key word that keeps [`normals`] apart from every other use of a seed.
const NORMAL: u32 = 0x6e6f_726d;

/// Normal numbers of mean 0 and variance 1 (Box and Muller, 1958), the same for a seed as far as the platform's logarithm
/// and cosine are. Host only.
///
/// ```
/// let numbers: Vec<f64> = gtca::common::rng::normals(7).take(4096).collect();
/// let mean = numbers.iter().sum::<f64>() / 4096.0;
/// let variance = numbers.iter().map(|x| x * x).sum::<f64>() / 4096.0;
/// assert!(mean.abs() < 0.06 && (variance - 1.0).abs() < 0.08);
/// ```
pub fn normals(seed: u64) -> impl Iterator<Item = f64> {
    (0u64..).flat_map(move |id| {
        let [size, turn, ..] = draw4(seed, NORMAL, id, 0, 0).map(|word| f64::from(word) / 4_294_967_296.0);
        let radius = (-2.0 * (1.0 - size).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * turn).sin_cos();
        [radius * cosine, radius * sine]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_hold() {
        // From the test vectors that the authors publish with Random123.
        for (counter, key, expected) in [
            ([0; 4], [0; 4], [0x9c6c_a96a, 0xe17e_ae66, 0xfc10_ecd4, 0x5256_a7d8]),
            ([u32::MAX; 4], [u32::MAX; 4], [0x2a88_1696, 0x5701_2287, 0xf6c7_446e, 0xa16a_6732]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0, 0x082e_fa98, 0xec4e_6c89],
                [0x59cd_1dbb, 0xb887_9579, 0x86b5_d00c, 0xac8b_6d84],
            ),
        ] {
            assert_eq!(threefry4x32_20(key, counter), expected);
        }
    }

    #[test]
    fn draws_differ_in_every_part_of_the_counter() {
        let base = draw4(7, 1, 1 << 40, 3, 0);
        assert_eq!(base, draw4(7, 1, 1 << 40, 3, 0));
        for other in [
            draw4(8, 1, 1 << 40, 3, 0),
            draw4(7, 2, 1 << 40, 3, 0),
            draw4(7, 1, 1, 3, 0),
            draw4(7, 1, 1 << 40, 4, 0),
            draw4(7, 1, 1 << 40, 3, 1),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn uniform_draws_fill_the_unit_interval() {
        let draws: Vec<f32> = (0..4096).flat_map(|id| draw4(1, 0, id, 0, 0)).map(uniform01).collect();
        let mean = draws.iter().sum::<f32>() / draws.len() as f32;
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        // Standard error: 1 / √(12 · 16,384) = 0.0023.
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }
}
