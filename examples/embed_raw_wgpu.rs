//! Somebody else's trainer in raw wgpu: its instance, its device with default limits, one buffer for all of its tensors, its
//! encoder, its kernels, its submit. gtca's kernels stand in the middle of its step, forward and backward.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use gtca::common::rng;
use gtca::encode::{self, Block, Encoder, Plan};
use gtca::gate::{self, MetadataGate, MetadataGateDesc, Mu};
use gtca::gpu::{Dtype, Gpu, Knob, Mode, View};
use gtca::lora::{self, Family, Gate, Lora, LoraDesc, twin};
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

/// Where their tensors lie.
struct Tensors {
    x: Tensor,
    h: Tensor,
    y: Tensor,
    target: Tensor,
    dy: Tensor,
    w: Tensor,
    a: Tensor,
    b_t: Tensor,
    da: Tensor,
    db_t: Tensor,
    e: Tensor,
    g: Tensor,
    dg: Tensor,
    dlogits: Tensor,
    validity: Tensor,
    missing: Tensor,
    null: Tensor,
    records: Tensor,
    end: u32,
}

impl Tensors {
    /// Back to back, at whatever element they fall on; Bᵀ follows A, and its gradient A's.
    fn place(plan: &Plan) -> Self {
        let mut end = 1;
        let mut tensor = |rows: u32, width: u32| {
            end += rows * width;
            Tensor(rows, width, end - rows * width)
        };
        let [x, h] = [INPUTS, RANK].map(|width| tensor(ROWS, width));
        let [y, target, dy] = [(); 3].map(|()| tensor(ROWS, OUTPUTS));
        let w = tensor(OUTPUTS, INPUTS);
        let [a, b_t, da, db_t] = [INPUTS, OUTPUTS, INPUTS, OUTPUTS].map(|width| tensor(RANK, width));
        let [e, validity] = [plan.width(), 1].map(|width| tensor(SAMPLES, width));
        let [g, dg, dlogits] = [(); 3].map(|()| tensor(SAMPLES, RANK));
        let [missing, null] = [plan.arena_len(), RANK].map(|width| tensor(1, width));
        let records = tensor(RECORD_WORDS, SAMPLES);
        Self {
            x,
            h,
            y,
            target,
            dy,
            w,
            a,
            b_t,
            da,
            db_t,
            e,
            validity,
            g,
            dg,
            dlogits,
            missing,
            null,
            records,
            end,
        }
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

/// Their pipelines, with the arena bound.
fn kernels(
    device: &wgpu::Device,
    arena: &wgpu::Buffer,
    t: &Tensors,
) -> [(wgpu::BindGroup, wgpu::ComputePipeline); 3] {
    let sizes = [("ROWS", ROWS), ("INPUTS", INPUTS), ("OUTPUTS", OUTPUTS), ("RANK", RANK)];
    let starts =
        [("X", t.x), ("W", t.w), ("Y", t.y), ("TARGET", t.target), ("DY", t.dy), ("A", t.a), ("DA", t.da)];
    let constants = sizes.into_iter().chain(starts.map(|(name, tensor)| (name, tensor.2)));
    let constants: String = constants.map(|(name, value)| format!("const {name} = {value}u;\n")).collect();
    let source = wgpu::ShaderSource::Wgsl((constants + KERNELS).into());
    let module = &device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    ["frozen", "error", "descend"].map(|entry| {
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
    })
}

fn farthest(what: &str, found: &[f32], expected: &[f32]) {
    let errors = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    assert!(found.len() == expected.len() && errors.clone().all(|error| error < 1e-5), "{what} is wrong");
    println!("  {what:<7} within {:.0e} of the twin", errors.fold(0.0, f32::max));
}

/// x Wᵀ on the host.
fn layer(x: &[f32], w: &[f32]) -> Vec<f32> {
    let [inputs, outputs] = [INPUTS, OUTPUTS].map(|width| width as usize);
    gtca::linear::twin::rows(x, inputs, w, [inputs, 1], outputs, None)
}

/// The first step once more, by the twins, from what it began with.
fn check_first_step(
    lora: &Lora,
    family: Family,
    t: &Tensors,
    host: &[f32],
    encoding: Vec<f32>,
    read: &[f32],
) {
    let (rank, tokens, scale) = (RANK as usize, TOKENS as usize, lora.scale());
    let logits: Vec<f32> = encoding.chunks_exact(t.e.1 as usize).flat_map(|e| &e[..rank]).copied().collect();
    let inputs =
        gate::twin::Inputs { logits: &logits, null_logits: t.null.of(host), weights: t.validity.of(host) };
    let gates = gate::twin::mix(inputs);
    let hidden = twin::down(family, t.x.of(host), INPUTS as usize, t.a.of(host));
    let gated = |values| twin::Gated { values, rank, tokens, gates: twin::Gates::Rank(&gates) };
    let mut injected = layer(t.x.of(host), t.w.of(host));
    let finish = twin::Finish { factor: scale, mode: Mode::Accumulate, ..Default::default() };
    twin::up(gated(&hidden), t.b_t.of(host), &finish, &mut injected);
    let dys: Vec<f32> =
        injected.iter().zip(t.target.of(host)).map(|(y, wanted)| (y - wanted) / ROWS as f32).collect();
    let u = twin::down(family, &dys, OUTPUTS as usize, t.b_t.of(host));
    farthest("y", t.y.of(read), &injected);
    farthest("dA", t.da.of(read), &twin::outer(family, gated(&u), t.x.of(host), scale, 1.0));
    farthest("dBᵀ", t.db_t.of(read), &twin::outer(family, gated(&hidden), &dys, scale, 1.0));
    let dgates = twin::dgate(&u, &hidden, rank, tokens, false, [scale, 1.0]);
    farthest("dlogits", t.dlogits.of(read), &gate::twin::dlogits(inputs, &dgates));
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

    let t = Tensors::place(&plan);
    // What the target layer does more than the frozen one, it does in the first half of the year.
    let mut host = vec![0.0; t.end as usize];
    let dated = |i: u32| Record::new().date(2024, 1 + i as i32 % 12, 15);
    let batch = Records::from_records(&(0..SAMPLES).map(dated).collect::<Vec<_>>())?;
    t.records.fill(&mut host, bytemuck::cast_slice(batch.words()));
    t.validity.fill(&mut host, &[1.0; SAMPLES as usize]);
    for (stream, tensor) in [(1, t.x), (2, t.w), (3, t.a), (4, t.b_t)] {
        tensor.fill(&mut host, &random(stream, tensor));
    }
    let [frozen, more] = [t.w.of(&host).to_vec(), random(5, t.w)].map(|w| layer(t.x.of(&host), &w));
    let early = |at: usize| at / (TOKENS * OUTPUTS) as usize % 12 < 6;
    let wanted: Vec<f32> =
        (0..frozen.len()).map(|i| frozen[i] + if early(i) { more[i] } else { 0.0 }).collect();
    t.target.fill(&mut host, &wanted);

    let buffer = |usage| {
        let (label, size) = (Some("theirs"), u64::from(t.end) * 4);
        device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
    };
    use wgpu::BufferUsages as Usage;
    let arena = buffer(Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC);
    let staging = buffer(Usage::MAP_READ | Usage::COPY_DST);
    queue.write_buffer(&arena, 0, bytemuck::cast_slice(&host));
    let [frozen_layer, error, descend] = kernels(device, &arena, &t);
    let run = |commands: &mut wgpu::CommandEncoder, (group, pipeline): &(_, _)| {
        let mut pass = commands.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups((ROWS * OUTPUTS).div_ceil(64), 1, 1);
    };

    // Views of their arena, which our kernels read and write in place.
    let at = |tensor: Tensor| View::matrix(&arena, tensor.0, tensor.1).at(u64::from(tensor.2) * 4);
    let tokens =
        |tensor: Tensor| View::tokens(&arena, [SAMPLES, TOKENS, tensor.1]).at(u64::from(tensor.2) * 4);
    let encode = encode::Forward {
        records: at(t.records).of(Dtype::U32),
        arena: at(t.missing),
        given: None,
        e: at(t.e),
        status: None,
    };
    // The season's first four waves are the logits of the four gates.
    let (logits, mu) = (at(t.e).columns(0, RANK), Mu::Knob(Knob::Host(1.0)));
    let mix = gate::Forward { logits, null_logits: at(t.null), validity: at(t.validity), mu, gates: at(t.g) };
    let (gate, lambda, bias, dropout) = (Gate::Rank(at(t.g)), Knob::Host(1.0), None, None);
    let (x_in, a_in, b_in, h_out) = (tokens(t.x), at(t.a), at(t.b_t), Some(tokens(t.h)));
    let inject = lora::Forward {
        x: x_in,
        a: a_in,
        b_t: b_in,
        bias,
        gate,
        lambda,
        dropout,
        y: tokens(t.y),
        out: None,
        h: h_out,
    };
    let backward = lora::Backward {
        x: x_in,
        dy: tokens(t.dy),
        a: a_in,
        b_t: b_in,
        bias,
        gate,
        lambda,
        dropout,
        h: h_out,
        u: None,
        dx: None,
        da: Some(at(t.da)),
        db_t: Some(at(t.db_t)),
        dbias: None,
        dgate: Some(at(t.dg)),
        dlambda: None,
        dx_mode: Mode::Overwrite,
        parameter_mode: Mode::Overwrite,
        condition_mode: Mode::Overwrite,
    };
    let of_gates = gate::Backward {
        logits,
        null_logits: at(t.null),
        validity: at(t.validity),
        mu,
        dgates: at(t.dg),
        dlogits: Some(at(t.dlogits)),
        dnull_logits: None,
        dmu: None,
        dlogits_mode: Mode::Overwrite,
        parameter_mode: Mode::Overwrite,
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
        let mut recorder = gpu.recorder(&mut commands); // ours
        lora.backward(&mut recorder, &backward)?;
        gates.backward(&mut recorder, &of_gates)?;
        drop(recorder);
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
        let squares = t.y.of(&read).iter().zip(&wanted).map(|(y, wanted)| (y - wanted).powi(2));
        let loss = squares.sum::<f32>() / (ROWS * OUTPUTS) as f32;
        println!("step {step:>3}: mean squared error {loss:.4}");
        if let Some(first) = first.replace(loss) {
            assert!(loss < 0.6 * first, "their training does not work");
            continue;
        }
        check_first_step(
            &lora,
            lora.variant(&gpu)?,
            &t,
            &host,
            encode::twin::forward(&plan, &batch, t.missing.of(&host), &[]),
            &read,
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
