// The adapter's own roofs. Entry points:
//   stream_add:   c[i] = a[i] + b[i] on vec4s, 48 bytes an invocation (two reads, one write);
//   stream_read:  every invocation sums 16 strided vec4s and writes one;
//   stream_write: c[i] = constant;
//   fma_*: independent vec4 chains (eight or four), 16 or 8 steps unrolled, a loop around them.
// The best FMA form is the roof: a weak one would make kernels look better than they are.

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;

// Which vec4 of the stream; groups beyond one dimension's limit are folded into the second.
fn place(group: vec3<u32>, groups: vec3<u32>, lane: u32) -> u32 {
    return (group.y * groups.x + group.x) * 64u + lane;
}

@compute @workgroup_size(64)
fn stream_add(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = place(group, groups, lane);
    c[i] = a[i] + b[i];
}

@compute @workgroup_size(64)
fn stream_write(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    c[place(group, groups, lane)] = vec4<f32>(1.0, 2.0, 3.0, 4.0);
}

@compute @workgroup_size(64)
fn stream_read(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let stride = groups.x * 64u;
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < 16u; i++) {
        sum += a[id.x + i * stride];
    }
    c[id.x] = sum;
}

struct Chains {
    x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>,
    x4: vec4<f32>, x5: vec4<f32>, x6: vec4<f32>, x7: vec4<f32>,
}

fn step8(x: Chains, m: vec4<f32>, n: vec4<f32>) -> Chains {
    return Chains(
        fma(x.x0, m, n), fma(x.x1, m, n), fma(x.x2, m, n), fma(x.x3, m, n),
        fma(x.x4, m, n), fma(x.x5, m, n), fma(x.x6, m, n), fma(x.x7, m, n),
    );
}

fn four8(x: Chains, m: vec4<f32>, n: vec4<f32>) -> Chains {
    return step8(step8(step8(step8(x, m, n), m, n), m, n), m, n);
}

// 64 iterations × 16 steps × 8 chains × 4 lanes × 2 flops = 65,536 flops an invocation.
@compute @workgroup_size(64)
fn fma_eight(@builtin(global_invocation_id) id: vec3<u32>) {
    let m = a[0];
    let n = a[1];
    let s = vec4<f32>(f32(id.x));
    var x = Chains(s, s + 1.0, s + 2.0, s + 3.0, s + 4.0, s + 5.0, s + 6.0, s + 7.0);
    for (var i = 0u; i < 64u; i++) {
        x = four8(four8(four8(four8(x, m, n), m, n), m, n), m, n);
    }
    c[id.x] = x.x0 + x.x1 + x.x2 + x.x3 + x.x4 + x.x5 + x.x6 + x.x7;
}

// The same flops on four chains, for adapters with few registers.
@compute @workgroup_size(64)
fn fma_four(@builtin(global_invocation_id) id: vec3<u32>) {
    let m = a[0];
    let n = a[1];
    var x0 = vec4<f32>(f32(id.x));
    var x1 = x0 + 1.0;
    var x2 = x0 + 2.0;
    var x3 = x0 + 3.0;
    for (var i = 0u; i < 256u; i++) {
        x0 = fma(fma(fma(fma(x0, m, n), m, n), m, n), m, n);
        x1 = fma(fma(fma(fma(x1, m, n), m, n), m, n), m, n);
        x2 = fma(fma(fma(fma(x2, m, n), m, n), m, n), m, n);
        x3 = fma(fma(fma(fma(x3, m, n), m, n), m, n), m, n);
        x0 = fma(fma(fma(fma(x0, m, n), m, n), m, n), m, n);
        x1 = fma(fma(fma(fma(x1, m, n), m, n), m, n), m, n);
        x2 = fma(fma(fma(fma(x2, m, n), m, n), m, n), m, n);
        x3 = fma(fma(fma(fma(x3, m, n), m, n), m, n), m, n);
    }
    c[id.x] = x0 + x1 + x2 + x3;
}
