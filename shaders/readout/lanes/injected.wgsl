// The pooled injection for subgroups of exactly eight lanes whose loads are dear and whose broadcasts are not (software adapters).
//
// Workgroup: one subgroup over one sample, 32 columns and $GATES gates, column tiles fastest. Lane = four columns, with B_t's
// $RANKS ranks of them in registers, and ranks l, l + 8, … of every gate. h ⊙ g is one product of lanes; a broadcast of one of its
// lanes feeds four products. Loops tokens times. VEC4 always.

#import readout/injected

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = flat_group(group, groups);
    let column_tiles = (params.width + 31u) / 32u;
    let gate_tiles = (params.variants + $GATESu - 1u) / $GATESu;
    let gate_tile = index / column_tiles;
    let column = (index - gate_tile * column_tiles) * 32u + lane * 4u;
    let sample = gate_tile / gate_tiles;
    let first_gate = (gate_tile - sample * gate_tiles) * $GATESu;
    if sample >= params.samples {
        return;
    }
#repeat j RANKS
    let b$j = load_b($ju, column);
#end
#repeat k GATES
    let gate$k = gate_start(first_gate + $ku, sample);
#repeat m RANKS/8
    let g$k_$m = load_gate(gate$k, $mu * 8u + lane);
#end
    var sum$k = vec4<f32>();
#end
    // Within a sample rows lie at one distance.
    let row = sample * params.tokens;
    let y_start = row_start(params.y, row);
    let h_start = row_start(params.h, row);
    let y_step = row_start(params.y, row + 1u) - y_start;
    let h_step = row_start(params.h, row + 1u) - h_start;
    var y_at = y_start + min(column, params.width - 4u);
    var h_at = h_start;
    let count = token_count(sample);
    for (var token = 0u; token < count; token++) {
        let y = load_wide(y_at, 4u);
#repeat m RANKS/8
        let h$m = load_h(h_at, $mu * 8u + lane);
#end
        y_at += y_step;
        h_at += h_step;
#repeat k GATES
        let gated$k = array<f32, $RANKS / 8>(
#repeat m RANKS/8
            h$m * g$k_$m,
#end
        );
        var injected$k = vec4<f32>();
#repeat j RANKS
        injected$k = fma(vec4<f32>(subgroupBroadcast(gated$k[$j / 8], $ju % 8u)), b$j, injected$k);
#end
        sum$k += moved(y, injected$k);
#end
    }
#repeat k GATES
    store(first_gate + $ku, sample, column, sum$k, count);
#end
}
