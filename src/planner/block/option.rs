//! What a block can be: strategies and their price.

use crate::plan::Strategy;
use crate::sharding::PassCost;
use crate::units::Bytes;

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
