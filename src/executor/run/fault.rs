//! What a test asks a rank to do in 16 bits, to see that it is noticed. Without such a fault nothing
//! here does anything.

use super::rank::{In16Bits, Rank};
use crate::lower::{Action, Pass};
use tch::Tensor;

/// Before an action of the rank's program.
pub(crate) fn before(rank: &Rank, action: &Action) {
    match (rank.fault, action) {
        (Some(In16Bits::Reduce), Action::ReduceOverData { .. }) => round(rank, gradients),
        (Some(In16Bits::Scale), Action::Optimizer) => scale(rank, rank.env.loss_scale),
        _ => {}
    }
}

/// After an action of the rank's program.
pub(crate) fn after(rank: &Rank, action: &Action) {
    match (rank.fault, action) {
        (Some(In16Bits::Accumulate), Action::Run(step)) if step.pass == Pass::Backward => {
            round(rank, gradients);
        }
        (Some(In16Bits::Master), Action::Optimizer) => round(rank, |state| &state.master),
        (Some(In16Bits::Scale), Action::Optimizer) => scale(rank, 1.0 / rank.env.loss_scale),
        _ => {}
    }
}

const fn gradients(state: &super::state::BlockState) -> &Tensor {
    &state.gradients
}

fn round(rank: &Rank, of: impl Fn(&super::state::BlockState) -> &Tensor) {
    for state in rank.blocks.iter().flatten() {
        of(state).shallow_clone().copy_(&of(state).to_kind(rank.env.kind));
    }
}

fn scale(rank: &Rank, factor: f64) {
    for state in rank.blocks.iter().flatten() {
        let _ = state.gradients.shallow_clone().g_mul_scalar_(factor);
    }
}
