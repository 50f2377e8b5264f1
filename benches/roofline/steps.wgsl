// The elementwise steps that unfused compositions need between linear maps; what the fused ops save.
//   gate:     c[i] = a[i] · b[sample, j]            a, c: [samples, tokens, width]; b: [samples, width]
//   gate_sum: c[sample, j] = Σ_t a[i] · b[i]        a, b: [samples, tokens, width]; c: [samples, width]
//   add_to:   c[i] += a[i]
//   outer_product: c[i, j] = a[i] · b[j]            c: [rows, width]
//   sine, cosine:  c[i] = sin a[i], cos a[i]
//   copy_columns:  c[i, column + j] = a[i, j]       a: [rows, width]; c: [rows, stride]
// One invocation per element of c (copy_columns: of a).

override width: u32 = 1u;
override tokens: u32 = 1u;
override column: u32 = 0u;
override stride: u32 = 1u;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(256)
fn gate(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&c) {
        c[id.x] = a[id.x] * b[id.x / (tokens * width) * width + id.x % width];
    }
}

@compute @workgroup_size(256)
fn gate_sum(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&c) {
        var at = id.x / width * tokens * width + id.x % width;
        var sum = 0.0;
        for (var t = 0u; t < tokens; t++) {
            sum = fma(a[at], b[at], sum);
            at += width;
        }
        c[id.x] = sum;
    }
}

@compute @workgroup_size(256)
fn add_to(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&c) {
        c[id.x] += a[id.x];
    }
}

@compute @workgroup_size(256)
fn outer_product(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&c) {
        c[id.x] = a[id.x / width] * b[id.x % width];
    }
}

@compute @workgroup_size(256)
fn sine(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&c) {
        c[id.x] = sin(a[id.x]);
    }
}

@compute @workgroup_size(256)
fn cosine(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&c) {
        c[id.x] = cos(a[id.x]);
    }
}

@compute @workgroup_size(256)
fn copy_columns(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&a) {
        c[id.x / width * stride + column + id.x % width] = a[id.x];
    }
}
