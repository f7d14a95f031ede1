//! How an activation stands on the ranks of a tensor-parallel group, and what it takes to get from
//! one layout to another.
//!
//! An activation is a matrix \[rows, width\]: rows are the micro-batch's tokens, width is hidden
//! size, heads, inner width or vocabulary. Forward, the activation itself is converted; backward,
//! its gradient is. Conversions to a part of what a rank already holds are free.

use super::context::ShardContext;
use super::instruction::{Beside, Instruction, OperatorGroup, Overlap};
use super::pass;
use crate::graph::{Collective, PassKind};
use crate::units::Bytes;

/// Size of an activation, for one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TensorShape {
    /// Rows per sequence.
    pub rows: u64,
    /// Elements of a row.
    pub width: u64,
    /// Bytes of an element.
    pub element_bytes: u64,
}

/// How a matrix \[rows, width\] stands on t ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// Whole on every rank.
    Replicated,
    /// Rows are sharded (sequence parallelism, Korthikanti et al. 2022).
    Sequence,
    /// Width is sharded: heads, inner width, vocabulary (Shoeybi et al. 2019).
    Feature,
    /// Whole on every rank, as terms of a sum that is pending.
    Partial,
}

impl Layout {
    /// That of activations between blocks.
    pub const fn boundary(sequence_parallel: bool) -> Layout {
        if sequence_parallel { Layout::Sequence } else { Layout::Replicated }
    }

    /// Whether a rank holds a t-th of the matrix.
    pub const fn is_sharded(self) -> bool {
        matches!(self, Layout::Sequence | Layout::Feature)
    }
}

/// Elements of one rank's part of a micro-batch's matrix, rounded up.
pub const fn local_elements(shape: TensorShape, layout: Layout, context: &ShardContext) -> u64 {
    let whole = context.micro_batch * shape.rows * shape.width;
    if layout.is_sharded() { whole.div_ceil(context.tensor) } else { whole }
}

/// The instructions that bring a matrix from one layout to another, for operator `op`.
///
/// Partial to replicated is an all-reduce, partial to sharded a reduce-scatter, sharded to
/// replicated an all-gather, rows to width and back an all-to-all. Collectives work on contiguous
/// rows; where width is cut or joined, one copy of the local result is added. Nothing is converted
/// *to* partial.
pub fn conversion(
    op: usize,
    shape: TensorShape,
    from: Layout,
    to: Layout,
    context: &ShardContext,
) -> Vec<Instruction> {
    use Layout::{Feature, Partial, Replicated, Sequence};
    if context.tensor == 1 || from == to {
        return Vec::new();
    }
    let whole = Bytes::new(local_elements(shape, Replicated, context) * shape.element_bytes);
    let part = Bytes::new(local_elements(shape, Sequence, context) * shape.element_bytes);
    let (collective, bytes) = match (from, to) {
        (Replicated, _) | (_, Partial) => return Vec::new(),
        (Partial, Replicated) => (Collective::AllReduce, whole),
        (Partial, _) => (Collective::ReduceScatter, whole),
        (_, Replicated) => (Collective::AllGather, whole),
        _ => (Collective::AllToAll, part),
    };
    let mut instructions = vec![Instruction::Communicate {
        op,
        collective,
        group: OperatorGroup::Tensor,
        bytes,
        overlap: None,
    }];
    if from == Feature || to == Feature {
        let local = if to == Replicated { whole } else { part };
        instructions.push(pass::memory(op, PassKind::Copy, local, local, 1));
    }
    instructions
}

/// Lets the collectives of a conversion run beside the kernel that follows it.
pub fn beside_next(instructions: &mut [Instruction]) {
    for instruction in instructions {
        if let Instruction::Communicate { overlap, .. } = instruction {
            *overlap = Some(Overlap::whole(Beside::Next));
        }
    }
}
