//! Parameter elements of a stage.

use super::work::{BlockTimes, StageWork};

/// Parameter elements of a chunk or a stage on one rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct StageParameters {
    /// All of them.
    pub(super) all: u64,
    /// Those that have gradients and optimizer states.
    pub(super) trained: u64,
    /// Those whose gradients are summed over the tensor-parallel ranks.
    pub(super) tensor_reduced: u64,
}

impl StageParameters {
    /// Adds `count` blocks of a kind.
    fn add(&mut self, count: u64, block: &BlockTimes) {
        self.all += count * block.parameters;
        self.trained += count * block.trained();
        self.tensor_reduced += count * block.tensor_reduced;
    }

    /// Those of some chunks together.
    pub(super) fn of(chunks: &[StageWork<'_>], layer: &BlockTimes) -> StageParameters {
        let mut sum = StageParameters::default();
        for work in chunks {
            sum.add(work.num_layers(), layer);
            for block in [work.embedding, work.head].into_iter().flatten() {
                sum.add(1, block);
            }
        }
        sum
    }
}
