// `down` for GPUs: tiles of x and A in workgroup memory, loaded in whole lines.
//
// Workgroup: 128 invocations over 32 rows and $RANKS ranks, rank tiles fastest; 64 columns at a time. An invocation has
// 4 rows × 4 ranks of one part of the columns: of P = 64 / $RANKS parts, part p has the fours of columns c with
// c mod P = p. The parts lie on neighbouring invocations and are added in index order at the end, over the tiles' memory.
// Loops inputs / 64 · (10 + 16 / P) + P times. Lines are padded by four columns against bank conflicts.

#import lora/down

const PARTS = 64u / $RANKSu;
const LINE = 17u; // vec4s: 64 columns and the padding

var<workgroup> x_tile: array<vec4<f32>, 32u * LINE>; // 8,704 bytes; in the end the parts' sums
var<workgroup> a_tile: array<vec4<f32>, $RANKSu * LINE>; // 4,352 bytes at 16 ranks

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(group, groups);
    let rank_tiles = (params.rank + $RANKSu - 1u) / $RANKSu;
    let row_tile = index / rank_tiles;
    let first_rank = (index - row_tile * rank_tiles) * $RANKSu;
    let tile = tile_at(row_tile, 32u);
    let first_row = tile.first;
    // The few workgroups past the end run along: no barrier is left out.
    let part = lane % PARTS;
    let square = lane / PARTS; // 8 squares down, $RANKS / 4 across
    let row = (square & 7u) * 4u;
    let rank = (square >> 3u) * 4u;
    let line = lane >> 4u; // eight lines of 16 fours at a time
    let four = lane & 15u;
    // [row], over ranks.
    var sums = mat4x4<f32>();
    for (var k = 0u; k < params.inputs; k += 64u) {
        workgroupBarrier();
        // Columns past the end count as 0.
        let inside = k + four * 4u < params.inputs;
        let column = select(0u, k + four * 4u, inside);
#repeat i 4
        let row$i = row_at(tile, first_row + line + $iu * 8u);
        let start$i = row_start(params.x, row$i);
        x_tile[(line + $iu * 8u) * LINE + four] = select(vec4<f32>(), load_x(start$i, row$i, column), inside);
#end
        for (var j = line; j < $RANKSu; j += 8u) {
            a_tile[j * LINE + four] = select(vec4<f32>(), load_a(a_row(tile, first_rank + j), column), inside);
        }
        workgroupBarrier();
        for (var c = part; c < 16u; c += PARTS) {
            let at = rank * LINE + c;
            // [column][rank].
            let a = transpose(mat4x4<f32>(a_tile[at], a_tile[at + LINE], a_tile[at + 2u * LINE], a_tile[at + 3u * LINE]));
#repeat i 4
            sums[$i] = add_four(sums[$i], x_tile[(row + $iu) * LINE + c], a);
#end
        }
    }
    workgroupBarrier();
#repeat i 4
    x_tile[lane * 4u + $iu] = sums[$i];
#end
    workgroupBarrier();
    // One invocation per row and four ranks.
    if lane < 8u * $RANKSu {
        let own = lane & 31u;
        let across = lane >> 5u;
        let first = ((across * 8u + (own >> 2u)) * PARTS) * 4u + (own & 3u);
        var total = x_tile[first];
        for (var p = 1u; p < PARTS; p++) {
            total += x_tile[first + p * 4u];
        }
        store_h(tile, first_row + own, first_rank + across * 4u, total);
    }
}
