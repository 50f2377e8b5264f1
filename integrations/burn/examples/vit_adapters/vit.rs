//! A small vision transformer over the steps of a series: tokens are time steps, blocks are pre-norm, and every linear layer that an
//! adapter may change is a [`Site`].

use burn::module::{Module, Param};
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{gelu, softmax};
use burn::tensor::{Device, Tensor};

/// Hidden width of a block's MLP, in widths of the model.
const EXPANSION: usize = 2;

/// The linear layers of a block that carry adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    Query,
    Value,
    Up,
    Down,
}

impl Site {
    pub(crate) const ALL: [Self; 4] = [Self::Query, Self::Value, Self::Up, Self::Down];
    /// Their weights' paths in a [`Block`], as Burn names parameters.
    pub(crate) const WEIGHTS: [&str; 4] = ["query.weight", "value.weight", "up.weight", "down.weight"];

    /// Widths in and out in a model of so many channels.
    pub(crate) fn widths(self, width: usize) -> [usize; 2] {
        match self {
            Self::Query | Self::Value => [width, width],
            Self::Up => [width, EXPANSION * width],
            Self::Down => [EXPANSION * width, width],
        }
    }
}

/// `x + out(attention(q, k, v))`, then `x + down(gelu(up(x)))`, each behind its norm.
#[derive(Module, Debug)]
pub(crate) struct Block {
    before_attention: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    before_mlp: LayerNorm,
    up: Linear,
    down: Linear,
    #[module(skip)]
    heads: usize,
}

impl Block {
    fn new(width: usize, heads: usize, device: &Device) -> Self {
        let norm = || LayerNormConfig::new(width).init(device);
        let square = || LinearConfig::new(width, width).init(device);
        let of = |site: Site| {
            let [inputs, outputs] = site.widths(width);
            LinearConfig::new(inputs, outputs).init(device)
        };
        Self {
            before_attention: norm(),
            query: of(Site::Query),
            key: square(),
            value: of(Site::Value),
            out: square(),
            before_mlp: norm(),
            up: of(Site::Up),
            down: of(Site::Down),
            heads,
        }
    }

    /// `[samples, tokens, width]` to the same. `adapt` takes a site's input and its frozen output, and gives the output to go on with.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        adapt: impl Fn(Site, Tensor<3>, Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        let at = |site, layer: &Linear, x: Tensor<3>| adapt(site, x.clone(), layer.forward(x));
        let normed = self.before_attention.forward(x.clone());
        let query = at(Site::Query, &self.query, normed.clone());
        let value = at(Site::Value, &self.value, normed.clone());
        let x = x + self.out.forward(self.attend(query, self.key.forward(normed), value));
        let hidden = at(Site::Up, &self.up, self.before_mlp.forward(x.clone()));
        x + at(Site::Down, &self.down, gelu(hidden))
    }

    /// Scaled dot-product attention, every head on its own columns.
    fn attend(&self, query: Tensor<3>, key: Tensor<3>, value: Tensor<3>) -> Tensor<3> {
        let [samples, tokens, width] = query.dims();
        let of_head = width / self.heads;
        let [query, key, value] = [query, key, value]
            .map(|all| all.reshape([samples, tokens, self.heads, of_head]).swap_dims(1, 2));
        let scores = query.matmul(key.transpose()) / (of_head as f32).sqrt();
        softmax(scores, 3).matmul(value).swap_dims(1, 2).reshape([samples, tokens, width])
    }
}

/// The encoder, and the decoder of its pre-training.
#[derive(Module, Debug)]
pub(crate) struct Vit {
    embed: Linear,
    positions: Param<Tensor<3>>,
    /// Stands where a step is hidden.
    hidden_step: Param<Tensor<3>>,
    pub(crate) blocks: Vec<Block>,
    norm: LayerNorm,
    decoder: Linear,
}

/// Sizes of a [`Vit`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) steps: usize,
    /// Spectral channels; a token has their values and whether each was observed.
    pub(crate) channels: usize,
    pub(crate) width: usize,
    pub(crate) heads: usize,
    pub(crate) blocks: usize,
}

impl Vit {
    pub(crate) fn new(sizes: Sizes, device: &Device) -> Self {
        let Sizes { steps, channels, width, heads, blocks } = sizes;
        let small = Initializer::Normal { mean: 0.0, std: 0.02 };
        Self {
            embed: LinearConfig::new(2 * channels, width).init(device),
            positions: small.init([1, steps, width], device),
            hidden_step: small.init([1, 1, width], device),
            blocks: (0..blocks).map(|_| Block::new(width, heads, device)).collect(),
            norm: LayerNormConfig::new(width).init(device),
            decoder: LinearConfig::new(width, channels).init(device),
        }
    }

    /// The first `depth` blocks' output of tokens `[samples, steps, 2·channels]`; steps whose `hidden` `[samples, steps, 1]` is 1 are not
    /// seen.
    pub(crate) fn encode(&self, tokens: Tensor<3>, hidden: Option<Tensor<3>>, depth: usize) -> Tensor<3> {
        let mut x = self.embed.forward(tokens);
        if let Some(hidden) = hidden {
            x = x.clone() + (self.hidden_step.val() - x) * hidden;
        }
        let x = x + self.positions.val();
        self.blocks[..depth].iter().fold(x, |x, block| block.forward(x, |_, _, y| y))
    }

    /// The values of all steps, `[samples, steps, channels]`, from those that are not hidden.
    pub(crate) fn reconstruct(&self, tokens: Tensor<3>, hidden: Tensor<3>) -> Tensor<3> {
        let x = self.encode(tokens, Some(hidden), self.blocks.len());
        self.decoder.forward(self.norm.forward(x))
    }

    /// One feature row a sample: the mean over its tokens of the last block's output.
    pub(crate) fn pool(&self, x: Tensor<3>) -> Tensor<2> {
        self.norm.forward(x).mean_dim(1).squeeze_dim(1)
    }
}
