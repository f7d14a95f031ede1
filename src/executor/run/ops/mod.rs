//! The operators: each runs its forward and its backward pass as its sharding's instructions say,
//! in ATen operators, without a tape.
//!
//! Activations are \[rows, sequences, width\], rows first, so that parts of a sequence are
//! contiguous. tch's methods panic with libtorch's message where libtorch throws; a rank turns that
//! into an error of the run.

mod at;
mod attention;
mod embedding;
mod linear;
mod loss;
mod pointwise;

pub use at::Env;
pub(crate) use at::{At, Kept, Work, bytes_of};

use crate::executor::error::Result;
use crate::graph::OpKind;
use tch::Tensor;

/// Runs an operator forward: its output, and what it keeps.
pub(crate) fn forward(mut at: At<'_, '_>, inputs: Vec<Tensor>) -> Result<(Tensor, Kept)> {
    let sharding = &at.operator.sharding;
    let keeps_input = sharding.inputs.first().is_some_and(|input| input.kept);
    let input = if keeps_input { inputs.first().map(Tensor::shallow_clone) } else { None };
    let keeps_output = sharding.output_kept;
    let (output, extra) = match at.operator.op.kind {
        OpKind::Linear { .. } => (linear::forward(&mut at, &inputs)?, Vec::new()),
        OpKind::Attention { .. } => attention::forward(&mut at, &inputs)?,
        OpKind::TokenEmbedding { .. }
        | OpKind::PositionEmbedding { .. }
        | OpKind::TokenTypeEmbedding { .. } => (embedding::forward(&mut at, &inputs)?, Vec::new()),
        OpKind::CrossEntropy { .. } | OpKind::LossSum => loss::forward(&mut at, &inputs)?,
        _ => pointwise::forward(&mut at, &inputs)?,
    };
    let output_kept = if keeps_output { Some(output.shallow_clone()) } else { None };
    Ok((output, Kept { input, output: output_kept, extra }))
}

/// Runs an operator backward: the gradients of its inputs, by slot.
pub(crate) fn backward(mut at: At<'_, '_>, gradient: Tensor, kept: &Kept) -> Result<Vec<Tensor>> {
    match at.operator.op.kind {
        OpKind::Linear { .. } => linear::backward(&mut at, &gradient, kept),
        OpKind::Attention { .. } => attention::backward(&mut at, &gradient, kept),
        OpKind::TokenEmbedding { .. }
        | OpKind::PositionEmbedding { .. }
        | OpKind::TokenTypeEmbedding { .. } => embedding::backward(&mut at, gradient),
        OpKind::CrossEntropy { .. } | OpKind::LossSum => loss::backward(&mut at, &gradient, kept),
        _ => pointwise::backward(&mut at, gradient, kept),
    }
}
