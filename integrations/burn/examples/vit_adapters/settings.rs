//! What the command line sets.

use clap::Parser;
use gtca_lab::data::Protocol;
use std::path::PathBuf;

/// Adapters in q, v and the MLP of the last blocks of a frozen vision transformer, on Burn: head alone, plain LoRA, and LoRA gated by
/// where and when a sample was taken.
///
/// The backbone is trained here to reconstruct hidden time steps, without labels and without metadata, then frozen. Every method starts
/// from it with the same head, splits, batches and number of steps. Without --data it runs on a small synthetic world, in seconds.
#[derive(Clone, Debug, Parser)]
#[command(name = "vit_adapters", after_help = EXAMPLES)]
pub(crate) struct Settings {
    /// A data set's folder in the one that GTCA_DATA names; without it a small synthetic world.
    #[arg(long, value_name = "NAME")]
    pub(crate) data: Option<String>,
    /// Task of the data set; the first one if not given.
    #[arg(long, value_name = "NAME")]
    pub(crate) task: Option<String>,
    /// How test parts are held out: random, site, region, block, year.
    #[arg(long, value_delimiter = ',', value_parser = protocol, default_value = "random,block")]
    pub(crate) protocols: Vec<Protocol>,
    /// At most so many splits of each protocol.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) splits: usize,
    /// Seed of everything that is drawn; a split adds its number.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Width of the transformer.
    #[arg(long, default_value_t = 64)]
    pub(crate) width: usize,
    /// Attention heads.
    #[arg(long, default_value_t = 4)]
    pub(crate) heads: usize,
    /// Blocks.
    #[arg(long, default_value_t = 4)]
    pub(crate) blocks: usize,
    /// Last blocks that carry adapters: L.
    #[arg(long, default_value_t = 2)]
    pub(crate) adapted: usize,
    /// Rank of every adapter.
    #[arg(long, default_value_t = 8)]
    pub(crate) rank: usize,
    /// Samples a step.
    #[arg(long, default_value_t = 64)]
    pub(crate) batch: usize,
    /// Steps of the backbone's pre-training.
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub(crate) pretraining: usize,
    /// Steps of every method.
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub(crate) steps: usize,
    /// Learning rate of the backbone.
    #[arg(long, default_value_t = 1e-3)]
    pub(crate) backbone_rate: f64,
    /// Learning rate of head and adapters.
    #[arg(long, default_value_t = 2e-3)]
    pub(crate) rate: f64,
    /// Steps of each method that are timed, in turn.
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub(crate) timed: usize,
    /// Where results.csv, costs.csv and results.md go.
    #[arg(long, value_name = "DIR", default_value = "target/vit_adapters")]
    pub(crate) out: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  vit_adapters
      a synthetic world; shows that everything works, the numbers mean little
  GTCA_DATA=data vit_adapters --data matogrosso_modis --task core5_early --splits 5 --pretraining 600 --steps 300
      data/matogrosso_modis, five random splits and five blocks";

fn protocol(name: &str) -> Result<Protocol, String> {
    let known = Protocol::ALL.into_iter().find(|protocol| protocol.name() == name);
    known.ok_or_else(|| format!("it is one of {}", Protocol::ALL.map(Protocol::name).join(", ")))
}
