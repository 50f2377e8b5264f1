//! The losses as Burn ops with gradients: cross-entropy, the evidence regularizer, the anti-shortcut loss.
//!
//! Formulas and kernels: [`gtca::loss`]. A forward with autodiff makes the gradients too, which need little more than the loss;
//! the backward multiplies them by what comes from above.

mod cross_entropy;
mod evidence;
mod shortcut;

pub use cross_entropy::cross_entropy;
pub use evidence::evidence;
pub use shortcut::anti_shortcut;

use burn::backend::Backend;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Int, Tensor};

/// The backward of every loss: its state are the gradients of its inputs, matrices.
#[derive(Debug)]
struct Scaled;

impl<B: Backend, const N: usize> Backward<B, N> for Scaled {
    type State = [FloatTensor<B>; N];

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let above = B::float_reshape(grads.consume::<B>(&ops.node), [1, 1].into());
        for (parent, gradient) in ops.parents.into_iter().zip(ops.state) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, B::float_mul(gradient, above.clone()));
            }
        }
    }
}

/// Ids of samples as a column; i32 are read as u32, so that −1 is [`gtca::loss::IGNORE`].
fn column(name: &str, ids: Tensor<1, Int>, samples: usize) -> Tensor<2, Int> {
    assert_eq!(ids.dims(), [samples], "{name} are [samples]");
    assert!([DType::I32, DType::U32].contains(&ids.dtype()), "{name} are i32 or u32, not {:?}", ids.dtype());
    ids.reshape([samples, 1])
}
