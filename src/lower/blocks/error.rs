//! Why a block can not be split.

use crate::plan::Strategy;
use crate::sharding::Layout;
use thiserror::Error;

/// Why a block can not be split, or not in the way asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A group or micro-batch of nothing.
    #[error("tensor parallelism {tensor} and micro-batch {micro_batch} must be at least 1")]
    Empty {
        /// Ranks of the group.
        tensor: u64,
        /// Sequences.
        micro_batch: u64,
    },
    /// A tensor has rows that the context-parallel ranks can not share evenly.
    #[error("the rows of a sequence can not be shared by {0} context-parallel ranks")]
    Context(u64),
    /// The boundary can not have this layout.
    #[error(
        "a block of {rows} rows a sequence can not be {layout:?} at its ends over {tensor} ranks"
    )]
    Boundary {
        /// The layout asked for.
        layout: Layout,
        /// Rows per sequence.
        rows: u64,
        /// Ranks.
        tensor: u64,
    },
    /// A list of strategies of the wrong length.
    #[error("{found} strategies for a block of {expected} operators")]
    Count {
        /// Operators of the block.
        expected: usize,
        /// Strategies given.
        found: usize,
    },
    /// A strategy that the operator does not have at these dimensions.
    #[error("operator `{operator}` has no strategy `{strategy}` here: it has {}", names(offered))]
    Strategy {
        /// Name of the operator.
        operator: String,
        /// The strategy asked for.
        strategy: Strategy,
        /// Those that there are.
        offered: Vec<Strategy>,
    },
}

fn names(strategies: &[Strategy]) -> String {
    strategies.iter().map(|strategy| strategy.name()).collect::<Vec<_>>().join(", ")
}
