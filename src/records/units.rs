//! Fixed-point units of the record's fields.

/// Degrees as fixed point, unit 2⁻⁴⁰ degree, rounded half to even; exact up to 12 binary digits finer than needed.
///
/// ```
/// use gtca::records::{degrees_from_fixed, fixed_from_degrees};
/// assert_eq!(fixed_from_degrees(-180.0), -180 << 40);
/// assert_eq!(degrees_from_fixed(fixed_from_degrees(47.5)), 47.5);
/// ```
pub fn fixed_from_degrees(degrees: f64) -> i64 {
    (degrees * 2f64.powi(40)).round_ties_even() as i64
}

/// Fixed-point degrees (unit 2⁻⁴⁰) as f64; exact within ±8,192°.
pub fn degrees_from_fixed(fixed: i64) -> f64 {
    fixed as f64 * 2f64.powi(-40)
}

/// A length or wavelength in units of 2⁻³², rounded half to even.
pub(crate) fn fixed32(value: f64) -> u64 {
    (value * 2f64.powi(32)).round_ties_even() as u64
}

/// The inverse of [`fixed32`].
pub(crate) fn from_fixed32(fixed: u64) -> f64 {
    fixed as f64 * 2f64.powi(-32)
}
