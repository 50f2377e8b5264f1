// The gate's curve g(a) = 2σ(a). Twins: src/gate/twin.rs.

#import common/numeric

fn gate_curve(a: f32) -> f32 {
    return 2.0 * sigmoid(a);
}

// g'(a) = 2σ(a)σ(−a).
fn gate_slope(a: f32) -> f32 {
    return 2.0 * sigmoid(a) * sigmoid(-a);
}
