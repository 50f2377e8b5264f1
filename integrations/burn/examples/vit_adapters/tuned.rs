//! What is trained on the frozen backbone: a head, and adapters in its last blocks, by one of several methods.

use crate::settings::Settings;
use crate::study::{Metadata, Study, batch, scalar};
use crate::vit::{Block, Site, Vit};
use burn::module::{Lora as BurnLora, Module, ParamGroup};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Int, Tensor};
use gtca::adapter::{AdapterDesc, LayerDesc};
use gtca::lora::LoraDesc;
use gtca_burn::adapter::GtcaAdapter;
use gtca_burn::lora::{Apply, GatedLora};
use gtca_burn::loss::evidence;

/// α of every adapter.
const ALPHA: f32 = 16.0;
/// Hidden width of the gate.
const GATE_HIDDEN: u32 = 32;
/// Divergence that costs nothing, in nats.
const THRESHOLD: f32 = 0.05;
/// Steps between two looks at the validation part.
const LOOK_EVERY: usize = 20;

/// How a model is tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// The linear head alone.
    Head,
    /// Head and plain LoRA, by gtca's kernels.
    Lora,
    /// The same in Burn's own ops.
    LoraInBurn,
    /// The same by Burn's `apply_lora`, which composes dense weights.
    LoraOfBurn,
    /// Head and LoRA gated by the recorded metadata.
    Gated,
    /// The same, trained with dropped and displaced metadata and the evidence regularizer: the whole of gtca.
    Gtca,
}

impl Method {
    /// Those that learn something different.
    pub(crate) const LEARNING: [Self; 4] = [Self::Head, Self::Lora, Self::Gated, Self::Gtca];
    /// Those whose steps are timed.
    pub(crate) const TIMED: [Self; 6] =
        [Self::Head, Self::Lora, Self::LoraInBurn, Self::LoraOfBurn, Self::Gated, Self::Gtca];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Head => "head alone",
            Self::Lora => "LoRA",
            Self::LoraInBurn => "LoRA in Burn's ops",
            Self::LoraOfBurn => "LoRA by Burn's apply_lora",
            Self::Gated => "gated LoRA",
            Self::Gtca => "gated LoRA trained to doubt",
        }
    }

    pub(crate) fn is_gated(self) -> bool {
        matches!(self, Self::Gated | Self::Gtca)
    }
}

/// The frozen backbone of a split, and what its blocks before the first adapted one make of every row.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    pub(crate) vit: Vit,
    /// `[rows, tokens, width]`.
    entering: Tensor<3>,
    first: usize,
}

impl Frozen {
    pub(crate) fn new(vit: Vit, tokens: Tensor<3>, adapted: usize) -> Self {
        let first = vit.blocks.len() - adapted;
        let entering = vit.encode(tokens, None, first).detach();
        Self { vit, entering, first }
    }

    pub(crate) fn entering(&self, study: &Study, rows: &[usize]) -> Tensor<3> {
        self.entering.clone().select(0, study.positions(rows))
    }

    pub(crate) fn last(&self) -> &[Block] {
        &self.vit.blocks[self.first..]
    }
}

/// Everything that is trained.
#[derive(Module, Debug)]
pub(crate) struct Tuned {
    head: Linear,
    lora: Vec<GatedLora>,
    gtca: Option<GtcaAdapter>,
    /// The last blocks with Burn's own adapters; empty for the other methods.
    composed: Vec<Block>,
    #[module(skip)]
    pub(crate) method: Method,
}

impl Tuned {
    /// A head, the same for every method of a seed, and adapters that change nothing yet.
    pub(crate) fn new(
        method: Method,
        study: &Study,
        frozen: &Frozen,
        settings: &Settings,
        seed: u64,
    ) -> Result<Self, gtca::Error> {
        let Study { gpu, device, plan, .. } = study;
        let Settings { width, rank, .. } = *settings;
        device.seed(seed);
        let head = LinearConfig::new(width, study.data.classes()).init(device);
        let mut tuned = Self { head, lora: Vec::new(), gtca: None, composed: Vec::new(), method };
        let sites = frozen.last().iter().flat_map(|_| Site::ALL).map(|site| site.widths(width));
        let rank = rank as u32;
        match method {
            Method::Head => {}
            Method::Lora | Method::LoraInBurn => {
                let layer = |[inputs, outputs]: [usize; 2]| {
                    let [inputs, outputs] = [inputs as u32, outputs as u32];
                    let desc = LoraDesc { inputs, outputs, rank, alpha: ALPHA, ..Default::default() };
                    GatedLora::new(gpu, &desc, device)
                };
                tuned.lora = sites.map(layer).collect::<Result<_, _>>()?;
            }
            Method::LoraOfBurn => {
                let group = ParamGroup::from_any_predicates(Site::WEIGHTS.to_vec());
                let lora = BurnLora::new(rank as usize, ALPHA.into()).set_param_group(group);
                tuned.composed =
                    frozen.last().iter().map(|block| block.clone().apply_lora(lora.clone())).collect();
            }
            Method::Gated | Method::Gtca => {
                let layer = |[inputs, outputs]: [usize; 2]| LayerDesc {
                    inputs: inputs as u32,
                    outputs: outputs as u32,
                    rank,
                    alpha: None,
                };
                let layers = sites.map(layer).collect();
                let desc = AdapterDesc { layers, hidden: GATE_HIDDEN, alpha: ALPHA, ..Default::default() };
                tuned.gtca = Some(GtcaAdapter::new(gpu, plan.clone(), &desc, device)?);
            }
        }
        Ok(tuned)
    }

    /// How many numbers are trained.
    pub(crate) fn trainable(&self, frozen: &Frozen) -> usize {
        let copied = frozen.last().iter().take(self.composed.len()).map(Block::num_params).sum::<usize>();
        self.num_params() - copied
    }

    /// The gates of metadata at the metadata weight μ; none without an adapter that has them.
    pub(crate) fn gates(&self, metadata: &Metadata, mu: f32) -> Option<Tensor<2>> {
        let Metadata { records, validity } = metadata.clone();
        self.gtca.as_ref().map(|adapter| adapter.condition(records, validity, mu))
    }

    /// Features `[samples, width]` of what enters the last blocks, at the adapter weight λ.
    pub(crate) fn features(
        &self,
        frozen: &Frozen,
        x: Tensor<3>,
        gates: Option<Tensor<2>>,
        lambda: f32,
    ) -> Tensor<2> {
        let blocks = if self.composed.is_empty() { frozen.last() } else { &self.composed };
        let adapt = |depth: usize, site: Site, x, y| {
            self.adapt(depth * Site::ALL.len() + site as usize, x, y, gates.clone(), lambda)
        };
        let blocks = blocks.iter().enumerate();
        let x = blocks.fold(x, |x, (depth, block)| block.forward(x, |site, x, y| adapt(depth, site, x, y)));
        frozen.vit.pool(x)
    }

    /// A frozen layer's output y of x, with the adapter's addition.
    fn adapt(
        &self,
        layer: usize,
        x: Tensor<3>,
        y: Tensor<3>,
        gates: Option<Tensor<2>>,
        lambda: f32,
    ) -> Tensor<3> {
        match (self.method, &self.gtca, gates) {
            (_, Some(adapter), Some(gates)) => adapter.inject(layer, x, y, gates, lambda),
            (Method::Lora, ..) => self.lora[layer].forward(x, y, Apply { lambda, ..Default::default() }),
            (Method::LoraInBurn, ..) => {
                let GatedLora { a, b_t, .. } = &self.lora[layer];
                let h = x.matmul(a.val().transpose().unsqueeze());
                y + h.matmul(b_t.val().unsqueeze()) * (lambda * self.lora[layer].scale())
            }
            _ => y,
        }
    }

    pub(crate) fn logits(&self, frozen: &Frozen, x: Tensor<3>, gates: Option<Tensor<2>>) -> Tensor<2> {
        self.head.forward(self.features(frozen, x, gates, 1.0))
    }

    /// The loss of a batch.
    pub(crate) fn loss(
        &self,
        study: &Study,
        frozen: &Frozen,
        rows: &[usize],
        step: usize,
    ) -> Result<Tensor<1>, gtca::Error> {
        let (x, labels) = (frozen.entering(study, rows), study.labels(rows));
        match &self.gtca {
            Some(adapter) if self.method == Method::Gtca => {
                // With metadata, some of it wrong, and without any: one batch of both.
                let with = self.gates(&study.disturbed(rows, step)?, 1.0);
                let without = adapter.condition_on_nothing(rows.len());
                let gates = with.map(|with| Tensor::cat(vec![with, without], 0));
                let both = self.logits(frozen, Tensor::cat(vec![x.clone(), x], 0), gates);
                let [p, q] = [0, rows.len()].map(|start| both.clone().narrow(0, start, rows.len()));
                let regularizer = evidence(&study.gpu, p.clone(), q.clone().detach(), THRESHOLD);
                Ok(cross_entropy(p, labels.clone()) + cross_entropy(q, labels) + regularizer)
            }
            _ => Ok(cross_entropy(self.logits(frozen, x, self.recorded_gates(study, rows)?), labels)),
        }
    }

    /// Logits under the recorded metadata.
    pub(crate) fn predict(
        &self,
        study: &Study,
        frozen: &Frozen,
        rows: &[usize],
    ) -> Result<Tensor<2>, gtca::Error> {
        Ok(self.logits(frozen, frozen.entering(study, rows), self.recorded_gates(study, rows)?).detach())
    }

    fn recorded_gates(&self, study: &Study, rows: &[usize]) -> Result<Option<Tensor<2>>, gtca::Error> {
        if self.gtca.is_none() {
            return Ok(None);
        }
        Ok(self.gates(&study.metadata(rows)?, 1.0))
    }

    /// One step of training; the loss before it.
    pub(crate) fn step(
        self,
        study: &Study,
        frozen: &Frozen,
        optimiser: &mut ModuleOptimizer,
        rows: &[usize],
        step: usize,
        rate: f64,
    ) -> Result<(Self, Tensor<1>), gtca::Error> {
        let loss = self.loss(study, frozen, rows, step)?;
        let grads = GradientsParams::from_grads(loss.backward(), &self);
        Ok((optimiser.step(rate, self, grads), loss.detach()))
    }

    /// Trains for the settings' steps, and keeps what was best on the validation part; and the losses of all steps.
    pub(crate) fn train(
        mut self,
        study: &Study,
        frozen: &Frozen,
        [train, validation]: [&[usize]; 2],
        settings: &Settings,
        seed: u64,
    ) -> Result<(Self, Vec<f32>), gtca::Error> {
        let (mut optimiser, mut losses) = (optimiser(), Vec::new());
        let (mut best, mut kept) = (f32::INFINITY, self.clone());
        for step in 0..settings.steps {
            let rows = batch(train, settings.batch, seed, step);
            let (next, loss) = self.step(study, frozen, &mut optimiser, &rows, step, settings.rate)?;
            self = next;
            losses.push(loss);
            if (step + 1) % LOOK_EVERY == 0 || step + 1 == settings.steps {
                let logits = self.predict(study, frozen, validation)?;
                let error = scalar(cross_entropy(logits, study.labels(validation)));
                if error < best {
                    (best, kept) = (error, self.clone());
                }
            }
        }
        Ok((kept, losses.into_iter().map(scalar).collect()))
    }
}

pub(crate) fn optimiser() -> ModuleOptimizer {
    AdamWConfig::new().init()
}

fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, labels)
}
