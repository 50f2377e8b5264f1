// Phases, derived columns and possible fields of a record. Input: the records, [word][S].

#import common/season
#import records/load
#import records/valid

@group(0) @binding(0) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read_write> output: array<u32>;

fn samples() -> u32 {
    return arrayLength(&input) / RECORD_WORDS;
}

fn record_word(word: u32, sample: u32) -> u32 {
    return input[word * samples() + sample];
}

fn put_integer(at: u32, integer: OptionalInteger) {
    output[at] = select(0u, 1u, integer.known);
    output[at + 1u] = select(0u, bitcast<u32>(integer.value), integer.known);
}

fn put_turns(at: u32, phase: OptionalTurns) {
    output[at] = select(0u, 1u, phase.known);
    output[at + 1u] = select(0u, phase.turns, phase.known);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= samples() {
        return;
    }
    let valid = possible_fields(id.x);
    let time = load_time(id.x, valid);
    let to = id.x * 16u;
    output[to] = valid;
    put_turns(to + 1u, season_phase(time));
    put_turns(to + 3u, day_phase(time));
    let year = year_phase(time);
    put_turns(to + 5u, OptionalTurns(year.known, year.turns));
    output[to + 7u] = select(0u, bitcast<u32>(year.year), year.known);
    put_integer(to + 8u, derived_day_of_year(time));
    put_integer(to + 10u, derived_iso_week(time));
    put_integer(to + 12u, derived_month(time));
    put_integer(to + 14u, derived_hour(time));
}
