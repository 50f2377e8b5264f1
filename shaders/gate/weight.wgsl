// A row's weight w = μ · validity[row]. ROW_MU reads μ per row, else it is a parameter.
// The importing kernel declares `validity` and `mu`, and `validity`, `mu_rows` and `mu` among its parameters.
// Host side: `Weight` in src/gate/gpu.rs.

#import common/view

fn row_weight(row: u32) -> f32 {
#if ROW_MU
    let own = mu[row_start(params.mu_rows, row)];
#else
    let own = params.mu;
#endif
    return own * validity[row_start(params.validity, row)];
}
