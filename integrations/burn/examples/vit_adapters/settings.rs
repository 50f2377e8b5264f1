//! What the command line sets.

use clap::Parser;
use std::path::PathBuf;

/// Adapters in q, v and the MLP of the last blocks of a frozen vision transformer, on Burn: head alone, plain LoRA, and LoRA gated by
/// where and when a sample was taken.
///
/// The backbone is trained here to reconstruct hidden time steps, without labels and without metadata, then frozen. Every method starts
/// from it with the same head, splits, batches and number of steps. Without --data it runs on a small made-up world.
#[derive(Clone, Debug, Parser)]
#[command(name = "vit_adapters", after_help = EXAMPLES)]
pub(crate) struct Settings {
    /// A data set's folder in the one that GTCA_DATA names; without it a small made-up world.
    #[arg(long, value_name = "NAME")]
    pub(crate) data: Option<String>,
    /// Classes to tell apart, as label_id numbers them; all if not given.
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub(crate) classes: Vec<u32>,
    /// Channels of the series to see; all if not given.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub(crate) channels: Vec<usize>,
    /// Only so many first steps of the series are seen.
    #[arg(long, value_name = "N")]
    pub(crate) first_steps: Option<usize>,
    /// How test parts are held out: columns fold_NAME of the data.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "random")]
    pub(crate) protocols: Vec<String>,
    /// At most so many splits of each protocol.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) splits: usize,
    /// Seed of everything that is drawn; a split adds its fold.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Width of the transformer.
    #[arg(long, default_value_t = 32)]
    pub(crate) width: usize,
    /// Attention heads.
    #[arg(long, default_value_t = 2)]
    pub(crate) heads: usize,
    /// Blocks.
    #[arg(long, default_value_t = 3)]
    pub(crate) blocks: usize,
    /// Last blocks that carry adapters: L.
    #[arg(long, default_value_t = 2)]
    pub(crate) adapted: usize,
    /// Rank of every adapter.
    #[arg(long, default_value_t = 8)]
    pub(crate) rank: usize,
    /// Samples a step.
    #[arg(long, default_value_t = 32)]
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
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) timed: usize,
    /// Where results.csv, costs.csv and results.md go.
    #[arg(long, value_name = "DIR", default_value = "target/vit_adapters")]
    pub(crate) out: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  vit_adapters
      a made-up world; shows that everything works, the numbers mean little
  GTCA_DATA=data vit_adapters --data matogrosso_modis --classes 0,3,4,5,7 --first-steps 8 --protocols random,block --splits 5
      five land covers of data/matogrosso_modis from a third of the year, five random splits and five blocks";
