//! What a test asks a rank to do in 16 bits, to see that it is noticed. Without such a fault nothing
//! here does anything.

use super::rank::Rank;
use crate::lower::Action;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Something that is done in 16 bits, or as if numbers had their range, and must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum In16Bits {
    /// Gradients are kept in 16 bits from one micro-batch to the next.
    Accumulate,
    /// Gradients are sent to the replicas in 16 bits.
    Reduce,
    /// The master copy of the parameters is kept in 16 bits: small updates are lost.
    Master,
    /// The optimizer reads gradients that are still multiplied by the loss scale.
    Scale,
}

/// Before an action of the rank's program.
pub(super) fn before(rank: &Rank, action: &Action) {
    match (rank.fault, action) {
        (Some(In16Bits::Reduce), Action::ReduceOverData { .. }) => round(rank, gradients),
        (Some(In16Bits::Scale), Action::Optimizer) => scale(rank, rank.env.loss_scale),
        _ => {}
    }
}

/// After an action of the rank's program.
pub(super) fn after(rank: &Rank, action: &Action) {
    match (rank.fault, action) {
        (Some(In16Bits::Accumulate), Action::Run(step)) if step.backward => round(rank, gradients),
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
