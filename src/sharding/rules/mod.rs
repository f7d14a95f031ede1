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
mod linear;
mod loss;
mod pointwise;

use super::{Instruction, Layout, ShardContext, local_elements, pass};
use crate::graph::{GemmPass, Kernel, Op, OpKind, PassKind};
use crate::plan::Strategy;
use crate::units::Bytes;

/// Megatron-LM rounds the vocabulary up to a multiple of this many rows for each rank
/// (`--make-vocab-size-divisible-by`, 128 unless given).
const VOCABULARY_MULTIPLE: u64 = 128;

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

/// Layout of a tensor and of its gradient at one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// Of the activation.
    pub layout: Layout,
    /// Of its gradient.
    pub gradient: Layout,
}

/// An input of a sharded operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputPort {
    /// Layout in which it must arrive, and in which its gradient is left.
    pub port: Port,
    /// Whether it is kept for the backward pass as it arrived.
    pub kept: bool,
}

/// One operator under one strategy, on one rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Sharding {
    /// How it is split.
    pub strategy: Strategy,
    /// Inputs, by slot.
    pub inputs: Vec<InputPort>,
    /// Layout of the output, and the layout in which its gradient is wanted.
    pub output: Port,
    /// Whether the output is kept for the operator's own backward pass.
    pub output_kept: bool,
    /// Forward pass of a micro-batch, at local shapes.
    pub forward: Vec<Instruction>,
    /// Backward pass of a micro-batch, at local shapes.
    pub backward: Vec<Instruction>,
    /// The input's gradient is converted beside the product for the weights' gradient, which comes
    /// after it.
    pub early_input_gradient: bool,
    /// Bytes kept per micro-batch beside inputs and output: masks, softmax results.
    pub saved: Bytes,
    /// Parameter elements on a rank.
    pub parameters: u64,
    /// Those of them that are the token embedding's, held for another operator.
    pub tied_parameters: u64,
    /// Those of them that are not trained: no gradient, no optimizer states.
    pub frozen_parameters: u64,
    /// Parameter elements whose gradient is a sum over the tensor group, once a step.
    pub tensor_reduced_parameters: u64,
    /// Bytes that live only while the operator runs, forward or backward, whichever is more:
    /// results and gradients in flight, temporaries.
    pub workspace: Bytes,
}

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

impl Sharding {
    /// Where in the backward pass the input's gradient is converted, and beside which kernel.
    pub fn early_conversion(&self) -> Option<(usize, &Kernel)> {
        let weights = |instruction: &Instruction| {
            matches!(
                instruction,
                Instruction::Compute {
                    kernel: Kernel::Gemm { pass: GemmPass::WeightGradient, .. },
                    ..
                }
            )
        };
        let at = self.backward.iter().position(weights).filter(|_| self.early_input_gradient)?;
        match self.backward.get(at) {
            Some(Instruction::Compute { kernel, .. }) => Some((at, kernel)),
            _ => None,
        }
    }
}

impl Site<'_> {
    /// Local bytes of the output in a layout.
    fn output_bytes(&self, layout: Layout, context: &ShardContext) -> u64 {
        local_elements(self.output, layout, context) * self.output.element_bytes
    }

    /// Local bytes of an input in a layout; none where the slot is empty.
    fn input_bytes(&self, slot: usize, layout: Layout, context: &ShardContext) -> u64 {
        self.inputs
            .get(slot)
            .map_or(0, |shape| local_elements(*shape, layout, context) * shape.element_bytes)
    }

    /// Whether rows of inputs and output can be sharded.
    fn rows_divide(&self, context: &ShardContext) -> bool {
        self.output.rows.is_multiple_of(context.tensor)
            && self.inputs.iter().all(|shape| shape.rows.is_multiple_of(context.tensor))
    }

    /// A tensor read by several operators gets a gradient from each; they are added pairwise.
    fn add_gradient_sums(&self, sharding: &mut Sharding, context: &ShardContext) {
        if let Some(sum) =
            gradient_sum(self.index, self.output, sharding.output, self.consumers, context)
        {
            sharding.backward.insert(0, sum);
        }
    }
}

/// The addition of the gradients that `consumers` readers left, where there is more than one.
pub(crate) fn gradient_sum(
    op: usize,
    shape: TensorShape,
    port: Port,
    consumers: u64,
    context: &ShardContext,
) -> Option<Instruction> {
    let sums = consumers.saturating_sub(1);
    let bytes = sums * local_elements(shape, port.gradient, context) * shape.element_bytes;
    (sums > 0).then(|| {
        let read = Bytes::new(2 * bytes);
        pass::memory(op, PassKind::DropoutAdd, read, Bytes::new(bytes), sums)
    })
}

/// The same layout for activation and gradient.
const fn same(layout: Layout) -> Port {
    Port { layout, gradient: layout }
}

/// An input in one layout, with its gradient in the same.
const fn input(layout: Layout, kept: bool) -> InputPort {
    InputPort { port: same(layout), kept }
}

fn compute(op: usize, kernel: Kernel) -> Instruction {
    Instruction::Compute { op, kernel }
}

fn memory(op: usize, kind: PassKind, read: u64, written: u64, launches: u64) -> Instruction {
    pass::memory(op, kind, Bytes::new(read), Bytes::new(written), launches)
}

/// Adds the gradient of `elements` parameters, in `tensors` tensors, to the buffer in which the
/// step's gradients gather.
fn accumulate(op: usize, elements: u64, tensors: u64, context: &ShardContext) -> Instruction {
    let (gradient, buffer) = (context.element_bytes(), context.stack.gradient_bytes);
    memory(
        op,
        PassKind::GradientAccumulate,
        elements * (gradient + buffer),
        elements * buffer,
        tensors,
    )
}
