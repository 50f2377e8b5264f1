//! How far one pair moved, as the device writes it.

use super::twin::compare;
use bytemuck::{Pod, Zeroable};

const FLIP: u32 = 1;
const LABELLED: u32 = 2;
const CORRECT_BEFORE: u32 = 4;
const CORRECT: u32 = 8;
/// The predicted class stands behind four flags.
const CLASS: u32 = 16;

/// One sample under one perturbation: a row of [`External::per_sample`](super::External::per_sample).
///
/// ```
/// use gtca::sensitivity::Change;
/// let read_back = [0.5, 0.25, -0.125, 39.0]; // 1 + 2 + 4 + 16 · 2
/// let [change] = bytemuck::cast_slice::<f32, Change>(&read_back) else { unreachable!() };
/// assert_eq!((change.kl, change.tv, change.top_change), (0.5, 0.25, -0.125));
/// assert!(change.is_flip() && change.is_correct_before() == Some(true) && change.is_correct() == Some(false));
/// assert_eq!(change.prediction(), Some(2));
/// ```
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Change {
    /// KL(p‖q), nat.
    pub kl: f32,
    /// Total variation.
    pub tv: f32,
    /// q − p of the class that p predicts.
    pub top_change: f32,
    /// 1: flip, 2: labelled, 4: right before, 8: right after, plus 16 · the class predicted after; a whole number, exact.
    pub code: f32,
}

impl Change {
    /// Where a logit is not finite.
    pub const INVALID: Self = Self { kl: -1.0, tv: -1.0, top_change: -1.0, code: -1.0 };

    /// One pair on the CPU, as the kernel writes it; a label that is no class: unlabelled.
    pub fn of(base: &[f32], variant: &[f32], label: Option<u32>) -> Self {
        let label = label.map(|label| label as usize).filter(|label| *label < base.len());
        let Some(moved) = compare(base, variant, label) else {
            return Self::INVALID;
        };
        let flags = [
            (FLIP, moved.is_flip),
            (LABELLED, label.is_some()),
            (CORRECT_BEFORE, label == Some(moved.base_prediction)),
            (CORRECT, label == Some(moved.prediction)),
        ];
        let flags: u32 = flags.iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).sum();
        let code = (CLASS * moved.prediction as u32 + flags) as f32;
        Self { kl: moved.kl, tv: moved.tv, top_change: moved.top_change, code }
    }

    /// Whether all logits were finite; nothing else counts where they were not.
    pub fn is_valid(&self) -> bool {
        self.code >= 0.0
    }

    /// Whether the predicted class changed.
    pub fn is_flip(&self) -> bool {
        self.has(FLIP)
    }

    /// Whether the prediction under the recorded metadata was right; none without a label.
    pub fn is_correct_before(&self) -> Option<bool> {
        self.has(LABELLED).then(|| self.has(CORRECT_BEFORE))
    }

    /// Whether the prediction under the perturbed metadata was right; none without a label.
    pub fn is_correct(&self) -> Option<bool> {
        self.has(LABELLED).then(|| self.has(CORRECT))
    }

    /// Class predicted under the perturbed metadata.
    pub fn prediction(&self) -> Option<usize> {
        self.is_valid().then_some((self.code as u32 / CLASS) as usize)
    }

    fn has(&self, flag: u32) -> bool {
        self.is_valid() && self.code as u32 & flag != 0
    }
}
