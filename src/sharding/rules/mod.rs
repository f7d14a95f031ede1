//! The rules: operator and strategy to layouts, instructions, saved bytes and parameters.
//!
//! A sharding says in which layout every input must arrive and in which layout it leaves that
//! input's gradient; in which layout the output stands and in which its gradient must come back.
//! Where neighbours differ, [`conversion`](super::conversion) goes between them.
//!
//! | operator | strategies |
//! |---|---|
//! | linear | `replicated`, `sequence`, `column`, `column-gather`, `row`, `row-scatter` |
//! | attention, rotary | `replicated`, `heads` (rotary also `sequence`) |
//! | norm, dropout, dropout-add | `replicated`, `sequence` |
//! | activation | `replicated`, `sequence`, `feature` |
//! | token embedding | `replicated`, `sequence`, `vocabulary`, `vocabulary-scatter` |
//! | position and token-type embedding | `replicated`, `sequence` |
//! | cross-entropy | `replicated`, `sequence`, `vocabulary` |
//! | select-rows | `replicated` |
//! | loss sum | `replicated`, `sequence` |
//!
//! A strategy is offered where its dimensions divide by t: rows of a sequence for `sequence`, both
//! query and key-value heads for `heads` (as Megatron-LM demands; grouped heads fewer than t are
//! not replicated), widths for the others. Only the vocabulary is rounded up. With t = 1 there is
//! `replicated` alone.
//!
//! Saved bytes follow Korthikanti et al. 2022, §4: row statistics of norms (8 bytes a row),
//! log-sums of fused attention (4 bytes a row and head) and token indices are left out.

mod adapter;
mod attention;
mod embedding;
mod instructions;
mod linear;
mod loss;
mod pointwise;
mod sharded;
mod site;

pub(crate) use instructions::gradient_sum;
pub use sharded::{InputPort, Port, Sharding};
pub use site::Site;

use super::context::ShardContext;
use crate::graph::OpKind;

/// Every sharding of an operator that its dimensions allow, `replicated` first.
pub fn shardings(site: &Site, context: &ShardContext) -> Vec<Sharding> {
    let mut all = match site.op.kind {
        OpKind::Linear { .. } => linear::shardings(site, context),
        OpKind::Attention { .. } => attention::shardings(site, context),
        OpKind::TokenEmbedding { .. }
        | OpKind::PositionEmbedding { .. }
        | OpKind::TokenTypeEmbedding { .. } => embedding::shardings(site, context),
        OpKind::CrossEntropy { .. } | OpKind::LossSum => loss::shardings(site, context),
        _ => pointwise::shardings(site, context),
    };
    for sharding in &mut all {
        site.add_gradient_sums(sharding, context);
    }
    all
}
