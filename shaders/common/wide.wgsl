// Wide rows as they are stored; the importing kernel binds them as `wide`: in lora, x or dy in `down` and `outer`, y or dx in `up`;
// x or y in readout. HALF=f16, HALF=bf16: two numbers to a word, the first in the low bits, every row from a whole word on.

#import common/four

#if HALF
#import common/pack

alias Four = vec2<u32>; // four numbers as stored
#if VEC4
#if LONG
alias Stored = u64; // what the binding holds

fn unstored(word: Stored) -> Four {
    return vec2<u32>(u32(word), u32(word >> 32u));
}

fn stored(four: Four) -> Stored {
    return u64(four.x) | (u64(four.y) << 32u);
}
#else
alias Stored = vec2<u32>;

fn unstored(four: Stored) -> Four {
    return four;
}

fn stored(four: Four) -> Stored {
    return four;
}
#endif
#else
alias Stored = u32;
#endif
#else
alias Four = vec4<f32>;
#if VEC4
alias Stored = Vector;

fn unstored(four: Stored) -> Four {
    return four_of(four);
}

fn stored(four: Four) -> Stored {
    return words_of(four);
}
#else
alias Stored = f32;
#endif
#endif

// Four numbers from element `at` on, a multiple of four under VEC4 and even under HALF. Unless VEC4, only the first `count` are
// read; under HALF an odd count brings along the number behind them.
fn load_stored(at: u32, count: u32) -> Four {
#if VEC4
    return unstored(wide[at >> 2u]);
#else
    var four = Four();
#if HALF
    if 0u < count { four.x = wide[at >> 1u]; }
    if 2u < count { four.y = wide[(at >> 1u) + 1u]; }
#else
    if 0u < count { four.x = wide[at]; }
    if 1u < count { four.y = wide[at + 1u]; }
    if 2u < count { four.z = wide[at + 2u]; }
    if 3u < count { four.w = wide[at + 3u]; }
#endif
    return four;
#endif
}

// What is stored, as numbers; exact.
fn numbers(four: Four) -> vec4<f32> {
#if HALF
    return vec4<f32>(unpack_$HALF(four.x), unpack_$HALF(four.y));
#else
    return four;
#endif
}

// As load_stored, in numbers; unless VEC4, those past `count` are 0.
fn load_wide(at: u32, count: u32) -> vec4<f32> {
    let four = numbers(load_stored(at, count));
#if HALF
#if VEC4
    return four;
#else
    return select(vec4<f32>(), four, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(count));
#endif
#else
    return four;
#endif
}
