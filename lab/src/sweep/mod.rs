//! What wrong metadata does to predictions, over data of any size.
//!
//! A [`Source`] gives rows with the logits of the model under the recorded and under wrong metadata, a chunk at a time;
//! a [`Sweep`] turns chunks into a [`Partial`], exact sums that add up whatever the order; a [`Job`] drives both with
//! checkpoints. The tables are made by `gtca::sensitivity` on the device; what needs the single sample (intervals, the
//! shortcut [`Diagnosis`], the map, the worst cases) by its twin.
//!
//! Memory: one chunk, that is `(perturbations + 1) · 16 MiB` of logits at most; the sums, which do not grow with the
//! data; 4,096 samples for the map; some 300 bytes a row of the whole table where donors are chosen from it. A dispatch
//! compares at most 4,194,304 logits, far below any watchdog.

mod bags;
mod diagnosis;
mod engine;
mod factored;
mod four_way;
mod groups;
mod job;
mod metadata;
mod partial;
mod perturbations;
mod rows;
mod scores;
mod sketch;
mod source;
mod verdict;
mod wrong;

pub use bags::{Bags, Estimate};
pub use diagnosis::{Change, Diagnosis, Effect};
pub use engine::{Changes, Chunk, Row, Sweep};
pub use factored::{EMBEDDING, Factored, Files};
pub use four_way::FourWay;
pub use job::Job;
pub use metadata::{Columns, Metadata};
pub use partial::{Grouping, Partial, Subject};
pub use perturbations::{Perturbations, WrongMetadata};
pub use rows::Rows;
pub use scores::score;
pub use sketch::{Case, Point, Sketch, Worst};
pub use source::{BASE, Logits, Source};
pub use wrong::Wrong;

pub(crate) use groups::{Vocabulary, block, latitude_band};
pub(crate) use wrong::{DRAWS, FORMS};
