// Four records at a time, for the kernels of spherical harmonics. The importing kernel defines
//     fn record_word(word: u32, sample: u32) -> u32     as records/load says
//     fn row_of(sample: u32) -> u32                     where the row of a record starts
// Records from `samples` on, and those whose place is not known, have the row NONE.

#import common/phase
#import encode/block
#import encode/position

struct FourPlaces {
    theta: vec4<u32>, // in turns
    phi: vec4<u32>,
    rows: vec4<u32>,
}

// θ, φ and the row of one record.
fn place_and_row(sample: u32, samples: u32) -> vec3<u32> {
    let inside = sample < samples;
    let read = select(0u, sample, inside);
    let place = position(read);
    return vec3<u32>(place.theta, place.phi, select(NONE, row_of(read), inside && place.known));
}

fn four_places(first: u32, samples: u32) -> FourPlaces {
    let a = place_and_row(first, samples);
    let b = place_and_row(first + 1u, samples);
    let c = place_and_row(first + 2u, samples);
    let d = place_and_row(first + 3u, samples);
    return FourPlaces(
        vec4<u32>(a.x, b.x, c.x, d.x),
        vec4<u32>(a.y, b.y, c.y, d.y),
        vec4<u32>(a.z, b.z, c.z, d.z),
    );
}

// One term of four series, a column each, of four records: series ⊗ wave.
fn add_outer(sums: mat4x4<f32>, series: vec4<f32>, wave: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(vec4<f32>(series.x), wave, sums[0]),
        fma(vec4<f32>(series.y), wave, sums[1]),
        fma(vec4<f32>(series.z), wave, sums[2]),
        fma(vec4<f32>(series.w), wave, sums[3]),
    );
}
