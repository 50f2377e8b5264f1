// The pooled injection without subgroups and without barriers: every invocation has four columns of one sample under four
// gates, and takes four tokens at a time.
//
// Workgroup: 64 invocations over (sample, gate tile, four columns), columns fastest, so that y and B_t come in whole lines and h
// and gates are the same for neighbours. Loops tokens / 4 · (rank / 4 + 1) times.

#import readout/injected

fn four_h(start: u32, rank: u32) -> vec4<f32> {
    return vec4<f32>(load_h(start, rank), load_h(start, rank + 1u), load_h(start, rank + 2u), load_h(start, rank + 3u));
}

fn four_gates(start: u32, rank: u32) -> vec4<f32> {
    return vec4<f32>(load_gate(start, rank), load_gate(start, rank + 1u), load_gate(start, rank + 2u), load_gate(start, rank + 3u));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups) * 64u + lane;
    let fours = (params.width + 3u) / 4u;
    let gate_tiles = (params.variants + 3u) / 4u;
    let gate_tile = index / fours;
    let column = (index - gate_tile * fours) * 4u;
    let sample = gate_tile / gate_tiles;
    let first_gate = (gate_tile - sample * gate_tiles) * 4u;
    if sample >= params.samples {
        return;
    }
#repeat k 4
    let gate$k = gate_start(first_gate + $ku, sample);
    var sum$k = vec4<f32>();
#end
    // Within a sample rows lie at one distance.
    let row = sample * params.tokens;
    let y_start = row_start(params.y, row);
    let h_start = row_start(params.h, row);
    let y_step = row_start(params.y, row + 1u) - y_start;
    let h_step = row_start(params.h, row + 1u) - h_start;
    let there = places(column, params.width);
    let count = token_count(sample);
    for (var token = 0u; token < count; token += 4u) {
#repeat t 4
        // Tokens past the end repeat the last one; they are not added.
        let token$t = min(token + $tu, count - 1u);
        let h_at$t = h_start + token$t * h_step;
#repeat k 4
        var injected$t_$k = vec4<f32>();
#end
#end
        for (var j = 0u; j < params.rank; j += 4u) {
            // [rank][column].
            let b = mat4x4<f32>(load_b(j, column), load_b(j + 1u, column), load_b(j + 2u, column), load_b(j + 3u, column));
#repeat k 4
            let g$k = four_gates(gate$k, j);
#end
#repeat t 4
            let h$t = four_h(h_at$t, j);
#repeat k 4
            injected$t_$k = add_four(injected$t_$k, h$t * g$k, b);
#end
#end
        }
#repeat t 4
        let y$t = load_wide(y_start + token$t * y_step + column, there);
#repeat k 4
        sum$k += select(vec4<f32>(), moved(y$t, injected$t_$k), token + $tu < count);
#end
#end
    }
#repeat k 4
    store(first_gate + $ku, sample, column, sum$k, count);
#end
}
