//! What a forward keeps for its backward.

use super::GtcaAdapter;
use crate::gpu::{Gpu, View};

/// The buffers of one forward over a batch of fixed size: encodings, gates and each layer's `h`, and their gradients.
///
/// A training step that needs two forwards of one adapter (with and without metadata) has two tapes.
#[derive(Debug)]
pub struct Tape {
    pub(super) samples: u32,
    pub(super) tokens: u32,
    pub(super) widths: Widths,
    pub(super) e: wgpu::Buffer,
    pub(super) pre: wgpu::Buffer,
    pub(super) z: wgpu::Buffer,
    pub(super) a: wgpu::Buffer,
    pub(super) g: wgpu::Buffer,
    pub(super) dg: wgpu::Buffer,
    pub(super) da: wgpu::Buffer,
    pub(super) dz: wgpu::Buffer,
    pub(super) de: wgpu::Buffer,
    /// `h` of each layer.
    pub(super) h: Vec<wgpu::Buffer>,
}

/// Row widths of the tape's buffers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub metadata: u32,
    pub hidden: u32,
    pub gates: u32,
}

impl Tape {
    pub(super) fn new(gpu: &Gpu, adapter: &GtcaAdapter, samples: u32, tokens: u32) -> Self {
        let widths = adapter.widths();
        let rows = |label: &str, width: u32| gpu.zeros(label, u64::from(samples) * u64::from(width) * 4);
        let saved =
            |rank: u32| gpu.zeros("tape h", u64::from(samples) * u64::from(tokens) * u64::from(rank) * 4);
        Self {
            samples,
            tokens,
            widths,
            e: rows("tape e", widths.metadata),
            pre: rows("tape pre", widths.hidden),
            z: rows("tape z", widths.hidden),
            a: rows("tape a", widths.gates),
            g: rows("tape g", widths.gates),
            dg: rows("tape dg", widths.gates),
            da: rows("tape da", widths.gates),
            dz: rows("tape dz", widths.hidden),
            de: rows("tape de", widths.metadata),
            h: adapter.desc.layers.iter().map(|layer| saved(layer.rank)).collect(),
        }
    }

    /// The gates of all layers, `[samples, Σ gates]`, as the last forward left them.
    pub fn gates(&self) -> View<'_> {
        self.gates_view(&self.g)
    }

    /// The encoding, `[samples, features]`, as the last forward left it.
    pub fn encoding(&self) -> View<'_> {
        View::matrix(&self.e, self.samples, self.widths.metadata)
    }

    /// The gate logits.
    pub(super) fn logits(&self) -> View<'_> {
        self.gates_view(&self.a)
    }

    /// A layer's `h`.
    pub(super) fn h_view(&self, layer: usize, rank: u32) -> View<'_> {
        View::tokens(&self.h[layer], [self.samples, self.tokens, rank])
    }

    pub(super) fn gates_view<'a>(&self, buffer: &'a wgpu::Buffer) -> View<'a> {
        View::matrix(buffer, self.samples, self.widths.gates)
    }

    pub(super) fn hidden_view<'a>(&self, buffer: &'a wgpu::Buffer) -> View<'a> {
        View::matrix(buffer, self.samples, self.widths.hidden)
    }
}
