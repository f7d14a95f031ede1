//! The operators of one block: which strategy each takes.
//!
//! [`block_options`] gives the exact Pareto set of a block for a tensor-parallel group and a
//! micro-batch, by variable elimination; [`ilp`] states the same choice as an integer program, so
//! that two algorithms that share nothing but the prices certify each other. [`evaluate`] prices a
//! given choice and [`instructions`] writes it out; what is priced is the sum of what is written.

pub mod eliminate;
pub mod ilp;
mod option;
mod pareto;
mod priced_block;

use crate::lower::blocks::BlockError;
pub use eliminate::block_options;
pub use ilp::{BlockIlp, Caps, SolvedBlock};
pub use option::BlockOption;

use crate::graph::{Block, Graph};
use crate::plan::Strategy;
use crate::sharding::{InstructionCost, Layout, ShardContext};
use priced_block::PricedBlock;

#[cfg(test)]
mod tests;

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
