//! Somebody else's trainer in raw wgpu: its instance, its device with default limits, one buffer for all of its tensors, its
//! encoder, its kernels, its submit. gtca's kernels stand in the middle of its step, forward and backward.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use gtca::common::rng;
use gtca::encode::{self, Block, Encoder, Plan};
use gtca::gate::{self, MetadataGate, MetadataGateDesc, Mu};
use gtca::gpu::{Dtype, Gpu, Knob, Mode, View};
use gtca::lora::{self, Gate, Lora, LoraDesc, twin};
use gtca::records::{RECORD_WORDS, Record, Records};
use std::error::Error;

const SAMPLES: u32 = 24;
const TOKENS: u32 = 5;
const ROWS: u32 = SAMPLES * TOKENS;
const INPUTS: u32 = 12;
const OUTPUTS: u32 = 9;
const RANK: u32 = 4;
const STEPS: u32 = 150;

/// A tensor of theirs: rows, width, first element in the arena.
#[derive(Clone, Copy)]
struct Tensor(u32, u32, u32);

impl Tensor {
    fn of(self, host: &[f32]) -> &[f32] {
        &host[self.2 as usize..][..(self.0 * self.1) as usize]
    }

    fn fill(self, host: &mut [f32], values: &[f32]) {
        host[self.2 as usize..][..values.len()].copy_from_slice(values);
    }
}

/// Their kernels: a frozen layer y = x Wᵀ, the gradient of a squared error, and plain descent on A and Bᵀ.
const KERNELS: &str = "
@group(0) @binding(0) var<storage, read_write> arena: array<f32>;
@compute @workgroup_size(64) fn frozen(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= ROWS * OUTPUTS { return; }
    var sum = 0.0;
    for (var k = 0u; k < INPUTS; k++) {
        sum += arena[X + id.x / OUTPUTS * INPUTS + k] * arena[W + id.x % OUTPUTS * INPUTS + k];
    }
    arena[Y + id.x] = sum;
}
@compute @workgroup_size(64) fn error(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= ROWS * OUTPUTS { return; }
    arena[DY + id.x] = (arena[Y + id.x] - arena[TARGET + id.x]) / f32(ROWS);
}
@compute @workgroup_size(64) fn descend(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= RANK * (INPUTS + OUTPUTS) { return; }
    arena[A + id.x] -= 0.5 * arena[DA + id.x];
}
";

/// Pseudo-random numbers in [−½, ½).
fn random(stream: u32, tensor: Tensor) -> Vec<f32> {
    let one = |i: u32| rng::uniform01(rng::draw4(7, stream, i.into(), 0, 0)[0]) - 0.5;
    (0..tensor.0 * tensor.1).map(one).collect()
}

fn farthest(what: &str, found: &[f32], expected: &[f32]) {
    let error = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("  {what:<6} within {error:.0e} of the twin");
    assert!(found.len() == expected.len() && error < 1e-5, "{what} is wrong");
}

fn train(device: &wgpu::Device, queue: &wgpu::Queue) -> Result<(), Box<dyn Error>> {
    // gtca is a guest: it uses the device, and hears from the owner if that is lost.
    let gpu = Gpu::adopt(device.clone(), queue.clone());
    let guest = gpu.clone();
    device.set_device_lost_callback(move |_, reason| guest.mark_lost(reason));
    let plan = Plan::new(&[Block::Season])?;
    let encoder = Encoder::new(&gpu, plan.clone());
    let gates = MetadataGate::new(&MetadataGateDesc { width: RANK })?;
    let lora = Lora::new(&LoraDesc { inputs: INPUTS, outputs: OUTPUTS, rank: RANK, ..Default::default() })?;

    // One arena; tensors lie back to back, at whatever element they fall on. Bᵀ follows A, and its gradient A's.
    let mut end = 1;
    let mut tensor = |rows: u32, width: u32| {
        end += rows * width;
        Tensor(rows, width, end - rows * width)
    };
    let [x, h] = [INPUTS, RANK].map(|width| tensor(ROWS, width));
    let [y, target, dy] = [(); 3].map(|()| tensor(ROWS, OUTPUTS));
    let [w, a, b_t] = [(OUTPUTS, INPUTS), (RANK, INPUTS), (RANK, OUTPUTS)].map(|(n, width)| tensor(n, width));
    let [da, db_t] = [INPUTS, OUTPUTS].map(|width| tensor(RANK, width));
    let [e, g, dg, validity] = [plan.width(), RANK, RANK, 1].map(|width| tensor(SAMPLES, width));
    let [missing, null] = [plan.arena_len(), RANK].map(|width| tensor(1, width));
    let records = tensor(RECORD_WORDS, SAMPLES);

    // What the target layer does more than the frozen one, it does in the first half of the year.
    let mut host = vec![0.0; end as usize];
    let dated = |i: u32| Record::new().date(2024, 1 + i as i32 % 12, 15);
    let batch = Records::from_records(&(0..SAMPLES).map(dated).collect::<Vec<_>>())?;
    records.fill(&mut host, bytemuck::cast_slice(batch.words()));
    validity.fill(&mut host, &[1.0; SAMPLES as usize]);
    for (stream, tensor) in [(1, x), (2, w), (3, a), (4, b_t)] {
        tensor.fill(&mut host, &random(stream, tensor));
    }
    let layer = |w: &[f32]| gtca::linear::twin::rows(x.of(&host), 12, w, [12, 1], 9, None);
    let (frozen, more) = (layer(w.of(&host)), layer(&random(5, w)));
    let early = |at: usize| at / (TOKENS * OUTPUTS) as usize % 12 < 6;
    let wanted: Vec<f32> =
        (0..frozen.len()).map(|i| frozen[i] + if early(i) { more[i] } else { 0.0 }).collect();
    target.fill(&mut host, &wanted);

    let buffer = |usage| {
        let (label, size) = (Some("theirs"), u64::from(end) * 4);
        device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
    };
    use wgpu::BufferUsages as Usage;
    let arena = buffer(Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC);
    let staging = buffer(Usage::MAP_READ | Usage::COPY_DST);
    queue.write_buffer(&arena, 0, bytemuck::cast_slice(&host));
    let sizes = [("ROWS", ROWS), ("INPUTS", INPUTS), ("OUTPUTS", OUTPUTS), ("RANK", RANK)];
    let starts = [("X", x), ("W", w), ("Y", y), ("TARGET", target), ("DY", dy), ("A", a), ("DA", da)];
    let constants = sizes.into_iter().chain(starts.map(|(name, tensor)| (name, tensor.2)));
    let constants: String = constants.map(|(name, value)| format!("const {name} = {value}u;\n")).collect();
    let source = wgpu::ShaderSource::Wgsl((constants + KERNELS).into());
    let module = &device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let [frozen_layer, error, descend] = ["frozen", "error", "descend"].map(|entry| {
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module,
            entry_point: Some(entry),
            compilation_options: Default::default(),
            cache: None,
        });
        let entries = &[wgpu::BindGroupEntry { binding: 0, resource: arena.as_entire_binding() }];
        let layout = &pipeline.get_bind_group_layout(0);
        (device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries }), pipeline)
    });
    let run = |commands: &mut wgpu::CommandEncoder, (group, pipeline): &(_, _)| {
        let mut pass = commands.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups((ROWS * OUTPUTS).div_ceil(64), 1, 1);
    };

    // Views of their arena, which our kernels read and write in place.
    let at = |t: Tensor| View::matrix(&arena, t.0, t.1).at(u64::from(t.2) * 4);
    let tokens = |t: Tensor| View::tokens(&arena, [SAMPLES, TOKENS, t.1]).at(u64::from(t.2) * 4);
    let encode = encode::Forward {
        records: at(records).of(Dtype::U32),
        arena: at(missing),
        given: None,
        e: at(e),
        status: None,
    };
    // The season's first four waves are the logits of the four gates.
    let (logits, mu) = (at(e).columns(0, RANK), Mu::Knob(Knob::Host(1.0)));
    let mix = gate::Forward { logits, null_logits: at(null), validity: at(validity), mu, gates: at(g) };
    let (gate, lambda, bias, dropout) = (Gate::Rank(at(g)), Knob::Host(1.0), None, None);
    let (x_in, a_in, b_in, h_out) = (tokens(x), at(a), at(b_t), Some(tokens(h)));
    let inject =
        lora::Forward { x: x_in, a: a_in, b_t: b_in, bias, gate, lambda, dropout, y: tokens(y), h: h_out };
    let backward = lora::Backward {
        x: x_in,
        dy: tokens(dy),
        a: a_in,
        b_t: b_in,
        bias,
        gate,
        lambda,
        dropout,
        h: h_out,
        u: None,
        dx: None,
        da: Some(at(da)),
        db_t: Some(at(db_t)),
        dbias: None,
        dgate: Some(at(dg)),
        dlambda: None,
        dx_mode: Mode::Overwrite,
        parameter_mode: Mode::Overwrite,
        condition_mode: Mode::Overwrite,
    };
    let mut first = None;
    for step in 1..=STEPS {
        let mut commands = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        run(&mut commands, &frozen_layer); // theirs
        let mut recorder = gpu.recorder(&mut commands); // ours, into their encoder
        encoder.forward(&mut recorder, &encode)?;
        gates.forward(&mut recorder, &mix)?;
        lora.forward(&mut recorder, &inject)?;
        drop(recorder);
        run(&mut commands, &error); // theirs
        lora.backward(&mut gpu.recorder(&mut commands), &backward)?; // ours
        run(&mut commands, &descend); // theirs
        commands.copy_buffer_to_buffer(&arena, 0, &staging, 0, None);
        queue.submit([commands.finish()]); // theirs: the only submit of a step
        if step != 1 && step != STEPS {
            continue;
        }
        staging.slice(..).map_async(wgpu::MapMode::Read, |_| ());
        device.poll(wgpu::PollType::wait_indefinitely())?; // theirs: the only wait
        let read: Vec<f32> = bytemuck::pod_collect_to_vec(&staging.slice(..).get_mapped_range()?);
        staging.unmap();
        let squares = y.of(&read).iter().zip(&wanted).map(|(y, wanted)| (y - wanted).powi(2));
        let loss = squares.sum::<f32>() / (ROWS * OUTPUTS) as f32;
        println!("step {step:>3}: mean squared error {loss:.4}");
        if let Some(first) = first.replace(loss) {
            assert!(loss < 0.6 * first, "their training does not work");
            continue;
        }
        // The first step once more, by the twins, from what it began with.
        let (family, rank, scale) = (lora.family(&gpu)?, RANK as usize, lora.scale());
        let encoding = encode::twin::forward(&plan, &batch, missing.of(&host), &[]);
        let logits: Vec<f32> =
            encoding.chunks_exact(e.1 as usize).flat_map(|e| &e[..rank]).copied().collect();
        let inputs =
            gate::twin::Inputs { logits: &logits, null_logits: null.of(&host), weights: validity.of(&host) };
        let gates = gate::twin::mix(inputs);
        let hidden = twin::down(family, x.of(&host), 12, a.of(&host));
        let gated =
            |values| twin::Gated { values, rank, tokens: TOKENS as usize, gates: twin::Gates::Rank(&gates) };
        let mut injected = frozen.clone();
        let finish = twin::Finish { factor: scale, mode: Mode::Accumulate, ..Default::default() };
        twin::up(gated(&hidden), b_t.of(&host), &finish, &mut injected);
        let dys: Vec<f32> =
            injected.iter().zip(&wanted).map(|(y, wanted)| (y - wanted) / ROWS as f32).collect();
        let u = twin::down(family, &dys, 9, b_t.of(&host));
        farthest("y", y.of(&read), &injected);
        farthest("dA", da.of(&read), &twin::outer(family, gated(&u), x.of(&host), scale, 1.0));
        farthest("dBᵀ", db_t.of(&read), &twin::outer(family, gated(&hidden), &dys, scale, 1.0));
        farthest(
            "dgates",
            dg.of(&read),
            &twin::dgate(&u, &hidden, rank, TOKENS as usize, false, [scale, 1.0]),
        );
    }
    Ok(())
}

async fn open() -> Result<(wgpu::Device, wgpu::Queue), Box<dyn Error>> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await?;
    println!("their device: {}, default limits, no features", adapter.get_info().name);
    let required_limits = wgpu::Limits::default();
    Ok(adapter.request_device(&wgpu::DeviceDescriptor { required_limits, ..Default::default() }).await?)
}

fn main() -> Result<(), Box<dyn Error>> {
    match pollster::block_on(open()) {
        Err(error) if std::env::var("GTCA_REQUIRE_ADAPTER") != Ok("1".into()) => {
            println!("nothing to show: {error}");
            Ok(())
        }
        opened => opened.and_then(|(device, queue)| train(&device, &queue)),
    }
}
