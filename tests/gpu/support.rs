//! One device for the suite, and tensors in every layout that an embedder might use.

use gtca::Error;
use gtca::common::pack;
use gtca::gpu::{Dtype, Gpu, OpenOptions, Recorder, View};
use std::sync::OnceLock;

/// The suite's device: default limits, no features. None (with a visible line) where there is no adapter.
pub fn gpu() -> Option<&'static Gpu> {
    static GPU: OnceLock<Option<Gpu>> = OnceLock::new();
    GPU.get_or_init(open).as_ref()
}

#[expect(clippy::print_stderr, reason = "a skipped layer must be seen")]
fn open() -> Option<Gpu> {
    let options = OpenOptions { limits: Some(wgpu::Limits::default()), ..Default::default() };
    match pollster::block_on(Gpu::open(&options)) {
        Ok(gpu) => {
            eprintln!("GPU suite on {gpu}");
            Some(gpu)
        }
        Err(error) if std::env::var("GTCA_REQUIRE_ADAPTER").is_ok_and(|value| value == "1") => {
            panic!("{error}")
        }
        Err(error) => {
            eprintln!("GPU suite SKIPPED: {error}");
            None
        }
    }
}

/// The suite's adapter with a device of an embedder who asks for these features alone.
pub fn with_features(gpu: &Gpu, required_features: wgpu::Features) -> Gpu {
    pollster::block_on(async {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
        let same = |adapter: &wgpu::Adapter| {
            let info = adapter.get_info();
            info.name == gpu.info().name && info.backend == gpu.info().backend
        };
        let adapter = adapters.into_iter().find(same).unwrap();
        let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
        let (device, queue) = adapter.request_device(&descriptor).await.unwrap();
        Gpu::adopt(device, queue)
    })
}

/// How tensors lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A buffer each, from byte 0.
    Separate,
    /// All in one buffer, each at an odd element, as a sub-allocator hands them out; rows padded by three.
    OneBuffer,
    /// All in one buffer, each at a multiple of 256 bytes, rows without gaps.
    Aligned,
}

pub const LAYOUTS: [Layout; 2] = [Layout::Separate, Layout::OneBuffer];

/// The bits that outputs hold before a kernel runs: a NaN that no computation makes.
pub const POISON: u32 = 0x7fc0_dead;

/// The same between halves: a NaN as f16 and as bf16.
pub const POISON_HALF: u16 = 0x7fda;

/// Tensors of one test case.
pub struct Tensors {
    pub gpu: &'static Gpu,
    layout: Layout,
    arena: wgpu::Buffer,
    used: u64,
    own: Vec<wgpu::Buffer>,
    fetched: Option<Vec<u8>>,
}

/// A tensor made by [`Tensors`].
#[derive(Clone, Copy, Debug)]
pub struct Tensor {
    index: Option<usize>,
    offset: u64,
    shape: [u32; 3],
    row_stride: u32,
    dtype: Dtype,
}

impl Tensors {
    pub fn new(gpu: &'static Gpu, layout: Layout) -> Self {
        let bytes = if layout == Layout::Separate { 4 } else { 64 << 20 };
        Self { gpu, layout, arena: gpu.zeros("arena", bytes), used: 4, own: Vec::new(), fetched: None }
    }

    fn place(&mut self, shape: [u32; 3], dtype: Dtype, words: &[u32]) -> Tensor {
        let [samples, tokens, width] = shape;
        let padding = if self.layout == Layout::OneBuffer { 3 } else { 0 };
        let row_stride = width + padding;
        let rows = samples * tokens;
        let mut laid = vec![POISON; (rows * row_stride) as usize];
        for (row, data) in words.chunks_exact((width as usize).max(1)).enumerate() {
            let at = row * row_stride as usize;
            laid[at..at + width as usize].copy_from_slice(data);
        }
        self.keep(Tensor { index: None, offset: 0, shape, row_stride, dtype }, &laid)
    }

    /// Halves, two to a word; rows start at whole words, in one buffer at no multiple of four elements.
    fn place_halves(&mut self, shape: [u32; 3], dtype: Dtype, bits: &[u16]) -> Tensor {
        let [samples, tokens, width] = shape;
        let row_stride = match self.layout {
            Layout::Separate | Layout::Aligned => width.next_multiple_of(2),
            Layout::OneBuffer => width.next_multiple_of(4) + 2,
        };
        let mut laid = vec![POISON_HALF; (samples * tokens * row_stride) as usize];
        for (row, data) in bits.chunks_exact((width as usize).max(1)).enumerate() {
            laid[row * row_stride as usize..][..width as usize].copy_from_slice(data);
        }
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&laid);
        self.keep(Tensor { index: None, offset: 0, shape, row_stride, dtype }, &words)
    }

    fn keep(&mut self, tensor: Tensor, laid: &[u32]) -> Tensor {
        match self.layout {
            Layout::Separate => {
                self.own.push(self.gpu.upload("tensor", laid));
                Tensor { index: Some(self.own.len() - 1), ..tensor }
            }
            Layout::OneBuffer | Layout::Aligned => {
                if self.layout == Layout::Aligned {
                    self.used = self.used.next_multiple_of(256);
                }
                let offset = self.used;
                self.gpu.queue().write_buffer(&self.arena, offset, bytemuck::cast_slice(laid));
                // An odd number of elements further on, so that no tensor is vec4-aligned by luck.
                self.used += (laid.len() as u64 | 1) * 4;
                assert!(self.used <= self.arena.size(), "the arena is too small for this case");
                Tensor { offset, ..tensor }
            }
        }
    }

    /// f32 data of shape `[samples, tokens, width]`.
    pub fn f32(&mut self, shape: [u32; 3], data: &[f32]) -> Tensor {
        assert_eq!(data.len(), shape.iter().map(|&n| n as usize).product::<usize>());
        self.place(shape, Dtype::F32, bytemuck::cast_slice(data))
    }

    /// Float data of shape `[samples, tokens, width]` in any type; halves that are NaN keep their upper bits.
    pub fn stored(&mut self, shape: [u32; 3], dtype: Dtype, data: &[f32]) -> Tensor {
        if dtype == Dtype::F32 {
            return self.f32(shape, data);
        }
        let bits: Vec<u16> = data.iter().map(|&value| half_bits(dtype, value)).collect();
        self.place_halves(shape, dtype, &bits)
    }

    /// An output of any float type full of poison.
    pub fn poisoned_as(&mut self, shape: [u32; 3], dtype: Dtype) -> Tensor {
        if dtype == Dtype::F32 {
            return self.poisoned(shape);
        }
        let count = shape.iter().map(|&n| n as usize).product();
        self.place_halves(shape, dtype, &vec![POISON_HALF; count])
    }

    /// What a tensor of any float type holds, exactly, NaN included. What lies between rows of halves must be the poison.
    pub fn read_stored(&self, tensor: Tensor) -> Vec<f32> {
        if tensor.dtype == Dtype::F32 {
            return self.read(tensor);
        }
        let view = self.view(tensor);
        let [samples, tokens, width] = tensor.shape.map(|n| n as usize);
        let bytes = (samples * tokens * tensor.row_stride as usize * 2) as u64;
        let range = view.offset..view.offset + bytes;
        let bytes = pollster::block_on(self.gpu.read_bytes(view.buffer, range)).unwrap();
        let bits: Vec<u16> = bytemuck::pod_collect_to_vec(&bytes);
        let mut values = Vec::with_capacity(samples * tokens * width);
        for row in bits.chunks_exact(tensor.row_stride as usize) {
            let (data, between) = row.split_at(width);
            assert!(between.iter().all(|bits| *bits == POISON_HALF), "{between:x?} between rows");
            let value = |bits: &u16| match tensor.dtype {
                Dtype::F16 => pack::f32_from_f16(*bits),
                _ => pack::f32_from_bf16(*bits),
            };
            values.extend(data.iter().map(value));
        }
        values
    }

    /// u32 data of shape `[samples, tokens, width]`.
    pub fn u32(&mut self, shape: [u32; 3], data: &[u32]) -> Tensor {
        assert_eq!(data.len(), shape.iter().map(|&n| n as usize).product::<usize>());
        self.place(shape, Dtype::U32, data)
    }

    /// An f32 output full of poison.
    pub fn poisoned(&mut self, shape: [u32; 3]) -> Tensor {
        let count = shape.iter().map(|&n| n as usize).product();
        self.place(shape, Dtype::F32, &vec![POISON; count])
    }

    pub fn view(&self, tensor: Tensor) -> View<'_> {
        let buffer = tensor.index.map_or(&self.arena, |index| &self.own[index]);
        let [_, tokens, _] = tensor.shape;
        View::tokens(buffer, tensor.shape)
            .at(tensor.offset)
            .strided(tokens * tensor.row_stride, tensor.row_stride)
            .of(tensor.dtype)
    }

    /// Reads the one buffer once, for all the [`Self::read`]s that follow.
    pub fn fetch(&mut self) {
        let bytes = pollster::block_on(self.gpu.read_bytes(&self.arena, 0..self.used.next_multiple_of(4)));
        self.fetched = Some(bytes.unwrap());
    }

    pub fn read(&self, tensor: Tensor) -> Vec<f32> {
        if let (Some(bytes), None) = (&self.fetched, tensor.index) {
            let [samples, tokens, width] = tensor.shape;
            let row = |row: u32| {
                let start = (tensor.offset + u64::from(row * tensor.row_stride) * 4) as usize;
                bytemuck::pod_collect_to_vec::<u8, f32>(&bytes[start..start + width as usize * 4])
            };
            return (0..samples * tokens).flat_map(row).collect();
        }
        pollster::block_on(self.gpu.read_f32(&self.view(tensor))).unwrap()
    }

    pub fn read_u32(&self, tensor: Tensor) -> Vec<u32> {
        pollster::block_on(self.gpu.read_u32(&self.view(tensor))).unwrap()
    }

    /// Records with `f` and submits. In one buffer, ops get poisoned scratch there, no byte more than they asked for.
    pub fn run(&self, mut f: impl FnMut(&mut Recorder<'_>) -> Result<(), Error>) -> Result<(), Error> {
        let scratch = match self.layout {
            Layout::Separate | Layout::Aligned => None,
            Layout::OneBuffer => Some(self.poisoned_scratch(self.gpu.scratch_bytes(&mut f)?)),
        };
        let mut encoder = self.gpu.encoder();
        let mut recorder = self.gpu.recorder(&mut encoder);
        recorder
            .lend_scratch(scratch.as_ref().map(|(buffer, at, words)| View::vector(buffer, *words).at(*at)))?;
        f(&mut recorder)?;
        drop(recorder);
        self.gpu.submit(encoder)?;
        Ok(())
    }

    /// In the arena behind the tensors, or where that is full in a buffer of its own.
    fn poisoned_scratch(&self, bytes: u64) -> (wgpu::Buffer, u64, u32) {
        let words = bytes.div_ceil(4);
        let at = self.used.next_multiple_of(256);
        let poison = vec![POISON; words as usize];
        if at + words * 4 > self.arena.size() {
            return (self.gpu.upload("scratch", &poison), 0, words as u32);
        }
        self.gpu.queue().write_buffer(&self.arena, at, bytemuck::cast_slice(&poison));
        (self.arena.clone(), at, words as u32)
    }
}

/// The bits of a half; of a NaN its upper bits, so that signalling ones stay such.
fn half_bits(dtype: Dtype, value: f32) -> u16 {
    let bits = value.to_bits();
    match dtype {
        Dtype::F16 if value.is_nan() => (bits >> 16 & 0x8000 | 0x7c00 | bits >> 13 & 0x3ff) as u16,
        Dtype::F16 => pack::f16_bits(value),
        _ if value.is_nan() => (bits >> 16) as u16,
        _ => pack::bf16_bits(value),
    }
}

/// Reproducible numbers (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, n: u32) -> u32 {
        (self.unit() * f64::from(n)) as u32
    }

    /// `n` numbers, uniform in [−1, 1).
    pub fn f32s(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| (self.unit() * 2.0 - 1.0) as f32).collect()
    }
}

/// Bound on |kernel − f64 reference| for a sum of `terms` products computed in f32, in any order:
/// (terms + 2)·ε·Σ|products|, ε = 2⁻²⁴ (Higham, Accuracy and Stability of Numerical Algorithms, §3.1; the 2 covers
/// the final additions and the reference's own rounding to f32). `magnitude` is Σ|products|.
pub fn sum_bound(terms: usize, magnitude: f64) -> f64 {
    (terms as f64 + 2.0) * f64::from(f32::EPSILON) / 2.0 * magnitude + 1e-37
}

/// Compares element by element; prints the worst offender.
#[track_caller]
pub fn assert_close(name: &str, actual: &[f32], expected: &[f64], bounds: &[f64]) {
    assert_eq!(actual.len(), expected.len(), "{name}: lengths differ");
    let mut worst = (0.0, 0);
    let mut over = 0;
    for (i, ((&a, &e), &bound)) in actual.iter().zip(expected).zip(bounds).enumerate() {
        let error = (f64::from(a) - e).abs();
        let excess = if error.is_finite() { error / bound } else { f64::INFINITY };
        over += usize::from(excess > 1.0);
        if excess > worst.0 {
            worst = (excess, i);
        }
    }
    let i = worst.1;
    assert!(
        over == 0,
        "{name}: {over} of {} elements over their bound; worst at {i}: {} against {}, bound {:e}",
        actual.len(),
        actual[i],
        expected[i],
        bounds[i]
    );
}

/// As [`assert_close`] with one bound for all.
#[track_caller]
pub fn assert_near(name: &str, actual: &[f32], expected: &[f64], bound: f64) {
    assert_close(name, actual, expected, &vec![bound; expected.len()]);
}

/// Central differences of a scalar function of f64s, element by element, with step `h`.
pub fn central_differences(at: &[f64], h: f64, f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut x = at.to_vec();
    (0..at.len())
        .map(|i| {
            x[i] = at[i] + h;
            let above = f(&x);
            x[i] = at[i] - h;
            let below = f(&x);
            x[i] = at[i];
            (above - below) / (2.0 * h)
        })
        .collect()
}

/// Same bits, NaN included.
#[track_caller]
pub fn assert_same_bits(name: &str, a: &[f32], b: &[f32]) {
    let differs = a.iter().zip(b).position(|(a, b)| a.to_bits() != b.to_bits());
    assert!(a.len() == b.len() && differs.is_none(), "{name}: bits differ first at {differs:?}");
}

/// f32s as f64s.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}
