//! What the search asks of the cost model. The planner knows no physics: it sees block costs,
//! prices of collectives, transfer times and bytes.

use crate::lower::Candidate;
use crate::lower::{BlockTimes, Links, MemoryModel, Prices, StageSettings};
use crate::units::Bytes;
use std::sync::Arc;

/// The Pareto-best ways to shard each block on the ranks of one tensor-parallel group.
///
/// Made by [`BlockSet::new`], which keeps `fastest` true.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BlockSet {
    /// The embedding.
    pub embedding: Vec<BlockTimes>,
    /// The layer.
    pub layer: Vec<BlockTimes>,
    /// The head, on a stage of its own memory.
    pub head: Vec<BlockTimes>,
    /// The head where the embedding stands on the same rank, and shares tied weights.
    pub head_beside_embedding: Vec<BlockTimes>,
    /// Indices of the layers that no other beats in both forward and backward time.
    pub fastest: Vec<usize>,
}

impl BlockSet {
    /// A set of choices; `head` holds those of a stage of its own and those beside the embedding.
    pub fn new(
        embedding: Vec<BlockTimes>,
        layer: Vec<BlockTimes>,
        head: [Vec<BlockTimes>; 2],
    ) -> BlockSet {
        let mut order: Vec<usize> = (0..layer.len()).collect();
        order.sort_by_key(|i| (layer[*i].forward, layer[*i].backward, *i));
        let mut fastest: Vec<usize> = Vec::new();
        for i in order {
            if fastest.last().is_none_or(|last| layer[i].backward < layer[*last].backward) {
                fastest.push(i);
            }
        }
        let [head, head_beside_embedding] = head;
        BlockSet { embedding, layer, head, head_beside_embedding, fastest }
    }

    /// The head's choices on a pipeline of `stages`.
    pub fn heads(&self, stages: u64) -> &[BlockTimes] {
        if stages == 1 { &self.head_beside_embedding } else { &self.head }
    }
}

/// Costs of everything a candidate is made of.
pub trait Costs: Sync {
    /// Choices for the blocks on `tensor` ranks with micro-batches of `micro_batch` sequences.
    fn blocks(&self, tensor: u64, micro_batch: u64, sequence_parallel: bool) -> Arc<BlockSet>;
    /// Prices of collectives and of the optimizer step, with ranks placed as the candidate says.
    fn prices(&self, candidate: &Candidate) -> Box<dyn Prices + '_>;
    /// Transfers between stages and reductions over them.
    fn links(&self, candidate: &Candidate) -> Links;
    /// What the stages share.
    fn shape(&self, candidate: &Candidate) -> StageSettings;
    /// What decides memory.
    fn memory(&self, candidate: &Candidate) -> MemoryModel;
    /// Memory of a device.
    fn capacity(&self) -> Bytes;
}
