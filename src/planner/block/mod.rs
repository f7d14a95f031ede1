//! The operators of one block: which strategy each takes.
//!
//! [`block_options`] gives the exact Pareto set of a block for a tensor-parallel group and a
//! micro-batch, by variable elimination; [`ilp`] states the same choice as an integer program, so
//! that two algorithms that share nothing but the prices certify each other. [`evaluate`] prices a
//! given choice and [`instructions`] writes it out; what is priced is the sum of what is written.

pub mod eliminate;
pub mod error;
pub mod ilp;
pub mod megatron;
mod pareto;
mod priced_block;
pub mod program;
mod structure;

pub use eliminate::block_options;
pub use error::BlockError;
pub use ilp::{BlockIlp, Caps};
pub use megatron::{megatron_option, megatron_strategies};
pub use program::{BlockProgram, block_code, instructions};

use crate::graph::{Block, Graph};
use crate::plan::Strategy;
use crate::sharding::{InstructionCost, Layout, PassCost, ShardContext};
use crate::units::Bytes;
use priced_block::PricedBlock;

#[cfg(test)]
mod tests;

/// A choice of strategies for a block, with what it costs on one rank for one micro-batch.
///
/// Arrays are by recomputation: none, selective (the attention core), full (all of the block).
#[derive(Debug, Clone, PartialEq)]
pub struct BlockOption {
    /// Strategy of each operator, in the order of the block's operators.
    pub strategies: Vec<Strategy>,
    /// Forward pass.
    pub forward: PassCost,
    /// Backward pass, without recomputation.
    pub backward: PassCost,
    /// Forward work repeated in the backward pass; nothing for none.
    pub recompute: [PassCost; 3],
    /// Kept from the forward to the backward pass of a micro-batch. Full recomputation keeps the
    /// block's input in the boundary layout.
    pub saved: [Bytes; 3],
    /// Peak of what the block needs beside that while it runs: the largest workspace of an
    /// operator, and what recomputation has rebuilt by then.
    pub transient: [Bytes; 3],
    /// Parameter elements on a rank.
    pub parameters: u64,
    /// Those of them that are the token embedding's weights, held for the head. Where embedding
    /// and head stand on one stage and shard the vocabulary alike they are the same memory.
    pub tied_parameters: u64,
    /// Those of them that are not trained.
    pub frozen_parameters: u64,
    /// Parameter elements whose gradient is summed over the tensor group once a step.
    pub tensor_reduced_parameters: u64,
}

impl BlockOption {
    /// Parameter elements on a rank that have gradients and optimizer states.
    pub fn trained_parameters(&self) -> u64 {
        self.parameters.saturating_sub(self.frozen_parameters)
    }

    /// Picoseconds of forward and backward pass, without recomputation.
    pub fn time_picos(&self) -> u64 {
        self.forward.time().picos() + self.backward.time().picos()
    }
}

/// Prices a given choice of strategies, in the order of the block's operators.
///
/// `boundary` is the layout of the block's input and output.
///
/// # Errors
/// A strategy that is unknown, or not offered for its operator's dimensions; a wrong number of
/// strategies; a boundary or context that the block can not have.
pub fn evaluate(
    graph: &Graph,
    block: &Block,
    context: &ShardContext,
    boundary: Layout,
    cost: &dyn InstructionCost,
    strategies: &[Strategy],
) -> Result<BlockOption, BlockError> {
    let priced = PricedBlock::new(graph, block, context, boundary, cost)?;
    let choice = priced.structure.choice(strategies)?;
    Ok(priced.option(&choice))
}
