//! All parameters of an adapter in one flat f32 buffer, found by name: one optimiser step, one gradient norm, one file.

use super::AdapterDesc;
use crate::common::rng;
use crate::gpu::View;

/// Key word that keeps the initial values apart from every other use of a seed.
const INITIAL_VALUES: u32 = 0x696e_6974;
/// Tensors start at multiples of 64 elements (256 bytes), the default limit of binding offsets.
const ALIGNMENT: u32 = 64;

/// One named tensor of the flat buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Name, also in files: `gate.w1`, `layers.0.a` …
    pub name: String,
    /// Rows.
    pub rows: u32,
    /// Row width.
    pub width: u32,
    /// Start in the flat buffer, in elements.
    pub start: u32,
}

impl Parameter {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.rows as usize * self.width as usize
    }

    /// True where there is none (an encoder without learned parameters).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// This tensor in a flat buffer.
    pub(super) fn view<'a>(&self, flat: &'a wgpu::Buffer) -> View<'a> {
        View::matrix(flat, self.rows, self.width).at(u64::from(self.start) * 4)
    }
}

/// Where each tensor lies.
#[derive(Clone, Debug)]
pub(super) struct Parameters {
    pub encoder: Parameter,
    pub w1: Parameter,
    pub b1: Parameter,
    pub w2: Parameter,
    pub b2: Parameter,
    pub null: Parameter,
    /// A: `[r, inputs]` and b_t: `[r, outputs]` of each layer.
    pub layers: Vec<[Parameter; 2]>,
    /// Elements of the flat buffer.
    pub len: u32,
}

impl Parameters {
    pub(super) fn new(desc: &AdapterDesc, arena: u32, metadata: u32) -> Self {
        let mut len = 0;
        let mut place = |name: String, rows: u32, width: u32| {
            let start = len;
            len += (rows * width).next_multiple_of(ALIGNMENT);
            Parameter { name, rows, width, start }
        };
        let gates = desc.gate_width();
        Self {
            encoder: place("encoder.arena".to_owned(), 1, arena),
            w1: place("gate.w1".to_owned(), desc.hidden, metadata),
            b1: place("gate.b1".to_owned(), 1, desc.hidden),
            w2: place("gate.w2".to_owned(), gates, desc.hidden),
            b2: place("gate.b2".to_owned(), 1, gates),
            null: place("gate.null".to_owned(), 1, gates),
            layers: (desc.layers.iter().enumerate())
                .map(|(i, layer)| {
                    let a = place(format!("layers.{i}.a"), layer.rank, layer.inputs);
                    [a, place(format!("layers.{i}.b_t"), layer.rank, layer.outputs)]
                })
                .collect(),
            len,
        }
    }

    /// Every tensor in the order of the buffer.
    pub(super) fn all(&self) -> impl Iterator<Item = &Parameter> {
        self.gate().chain(self.layers.iter().flatten())
    }

    /// The tensors of encoder and gate.
    pub(super) fn gate(&self) -> impl Iterator<Item = &Parameter> {
        let gate = [&self.encoder, &self.w1, &self.b1, &self.w2, &self.b2, &self.null];
        gate.into_iter().filter(|parameter| !parameter.is_empty())
    }

    /// Initial values: A and W₁ Kaiming-uniform (bound 1/√fan-in, as PEFT draws A), all others 0: the adapter
    /// starts as plain LoRA with every gate at 1 and a delta of 0.
    pub(super) fn initial(&self, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; self.len as usize];
        let drawn = std::iter::once(&self.w1).chain(self.layers.iter().map(|[a, _]| a));
        for (tensor, parameter) in drawn.enumerate() {
            let bound = 1.0 / (parameter.width as f32).sqrt();
            let slot = &mut values[parameter.start as usize..][..parameter.len()];
            for (i, four) in slot.chunks_mut(4).enumerate() {
                let words = rng::draw4(seed, INITIAL_VALUES, i as u64, tensor as u32, 0);
                for (value, bits) in four.iter_mut().zip(words) {
                    *value = bound * rng::uniform01(bits).mul_add(2.0, -1.0);
                }
            }
        }
        values
    }
}
