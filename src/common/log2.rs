//! Binary logarithms in integers; `shaders/common/log2.wgsl`, bit-equal.

/// log2 of a number above 0, with 32 binary digits after the point, within 2e-9 below its value.
///
/// ```
/// use gtca::common::log2::log2_fixed;
/// assert_eq!(log2_fixed(8), 3 << 32);
/// ```
pub fn log2_fixed(value: u64) -> i64 {
    debug_assert!(value > 0);
    let zeros = value.leading_zeros();
    let mut mantissa = (value << zeros) >> 32;
    let mut fraction = 0i64;
    for _ in 0..32 {
        let square = mantissa * mantissa;
        let carry = square >> 63;
        mantissa = if carry == 1 { square >> 32 } else { square >> 31 };
        fraction = (fraction << 1) | carry as i64;
    }
    (i64::from(63 - zeros) << 32) | fraction
}

#[cfg(test)]
mod tests {
    use super::log2_fixed;

    #[test]
    fn logarithms_stay_within_their_bound() {
        let mut value = 1u64;
        for k in 0..20_000u64 {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = (value >> (k % 64)).max(1);
            let error = log2_fixed(value) as f64 / 2f64.powi(32) - (value as f64).log2();
            assert!((-2e-9..1e-14 * 64.0).contains(&error), "{value}: {error:e}");
        }
        for power in 0..64 {
            assert_eq!(log2_fixed(1 << power), i64::from(power) << 32);
        }
        assert!(log2_fixed(u64::MAX) < 64 << 32);
    }
}
