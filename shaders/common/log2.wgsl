// Binary logarithms in integers, one digit after another: bit-equal on every device.
// Twins: src/common/log2.rs.

#import common/fixed64

// log2 of an unsigned number above 0, with 32 binary digits after the point, within 2e-9 below its value.
// Squaring the mantissa doubles its logarithm: the next digit is 1 where the square reaches 2. 32 iterations.
fn log2_fixed(value: vec2<u32>) -> vec2<u32> {
    let zeros = select(countLeadingZeros(value.y), 32u + countLeadingZeros(value.x), value.y == 0u);
    var mantissa = shl64(value, zeros).y; // in [1, 2) with 31 digits after the point
    var fraction = 0u;
    for (var digit = 0u; digit < 32u; digit++) {
        let square = mul32_wide(mantissa, mantissa);
        let carry = square.y >> 31u;
        mantissa = select((square.y << 1u) | (square.x >> 31u), square.y, carry == 1u);
        fraction = (fraction << 1u) | carry;
    }
    return vec2<u32>(fraction, 63u - zeros);
}
