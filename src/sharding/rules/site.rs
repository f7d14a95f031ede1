//! An operator where it stands in its block, and what of it can be split.

use super::instructions::gradient_sum;
use super::sharded::Sharding;
use crate::graph::{Op, OpKind};
use crate::sharding::{Layout, ShardContext, TensorShape, local_elements};

/// Megatron-LM rounds the vocabulary up to a multiple of this many rows for each rank
/// (`--make-vocab-size-divisible-by`, 128 unless given).
pub(super) const VOCABULARY_MULTIPLE: u64 = 128;

/// An operator where it stands in its block.
#[derive(Debug, Clone)]
pub struct Site<'a> {
    /// The operator.
    pub op: &'a Op,
    /// Its index in the block.
    pub index: usize,
    /// Shapes of its inputs, by slot.
    pub inputs: Vec<TensorShape>,
    /// Shape of its output.
    pub output: TensorShape,
    /// How many operators of the block read its output; the gradients of all but one are added.
    pub consumers: u64,
    /// The operator that reads its output, where it is the only one and stands in the block.
    pub consumer: Option<&'a OpKind>,
}

impl Site<'_> {
    /// Local bytes of the output in a layout.
    pub(super) fn output_bytes(&self, layout: Layout, context: &ShardContext) -> u64 {
        local_elements(self.output, layout, context) * self.output.element_bytes
    }

    /// Local bytes of an input in a layout; none where the slot is empty.
    pub(super) fn input_bytes(&self, slot: usize, layout: Layout, context: &ShardContext) -> u64 {
        self.inputs
            .get(slot)
            .map_or(0, |shape| local_elements(*shape, layout, context) * shape.element_bytes)
    }

    /// Whether rows of inputs and output can be sharded.
    pub(super) fn rows_divide(&self, context: &ShardContext) -> bool {
        self.output.rows.is_multiple_of(context.tensor)
            && self.inputs.iter().all(|shape| shape.rows.is_multiple_of(context.tensor))
    }

    /// A tensor read by several operators gets a gradient from each; they are added pairwise.
    pub(super) fn add_gradient_sums(&self, sharding: &mut Sharding, context: &ShardContext) {
        if let Some(sum) =
            gradient_sum(self.index, self.output, sharding.output, self.consumers, context)
        {
            sharding.backward.insert(0, sum);
        }
    }
}
