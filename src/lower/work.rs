//! What a chunk of a stage is made of, and what its blocks cost.

use crate::units::{Bytes, SimTime};

/// What one block costs on one rank, with its sharding chosen.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BlockTimes {
    /// Forward pass of one micro-batch.
    pub forward: SimTime,
    /// Backward pass, nothing recomputed.
    pub backward: SimTime,
    /// Forward work repeated in the backward pass, by recomputation (none, selective, full).
    pub recompute: [SimTime; 3],
    /// Activations kept from forward to backward, by recomputation.
    pub saved: [Bytes; 3],
    /// Working memory while the block runs, by recomputation.
    pub transient: [Bytes; 3],
    /// Parameter elements on the rank.
    pub parameters: u64,
    /// Of these, elements that are not trained: no gradients, no optimizer states.
    pub frozen: u64,
    /// Of these, elements whose gradients are summed over the tensor-parallel ranks.
    pub tensor_reduced: u64,
}

impl BlockTimes {
    /// Parameter elements on the rank that have gradients and optimizer states.
    pub fn trained(&self) -> u64 {
        self.parameters.saturating_sub(self.frozen)
    }
}

/// What one chunk of a stage is made of.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StageWork<'a> {
    /// Layers that recompute nothing, the attention core, everything.
    pub layers: [u64; 3],
    /// The embedding, on the first chunk of the first stage.
    pub embedding: Option<&'a BlockTimes>,
    /// The head, on the last chunk of the last stage.
    pub head: Option<&'a BlockTimes>,
}

impl<'a> StageWork<'a> {
    /// Layers of the chunk.
    pub fn num_layers(&self) -> u64 {
        self.layers.iter().sum()
    }

    /// The blocks in forward order, each with its recomputation. Layers that recompute
    /// everything come first: their gradients are the last to be reduced.
    pub(super) fn blocks(
        &self,
        layer: &'a BlockTimes,
    ) -> impl DoubleEndedIterator<Item = (&'a BlockTimes, usize)> {
        let [none, selective, full] = self.layers.map(|count| count as usize);
        let layers = std::iter::repeat_n((layer, 2), full)
            .chain(std::iter::repeat_n((layer, 1), selective))
            .chain(std::iter::repeat_n((layer, 0), none));
        let ends = |block: Option<&'a BlockTimes>| block.map(|block| (block, 0)).into_iter();
        ends(self.embedding).chain(layers).chain(ends(self.head))
    }
}
