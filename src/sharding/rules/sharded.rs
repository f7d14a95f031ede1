//! One operator under one strategy: its ends, what a rank runs, keeps and holds.

use crate::graph::{GemmPass, Kernel};
use crate::plan::Strategy;
use crate::sharding::{Instruction, Layout};
use crate::units::Bytes;

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

/// The same layout for activation and gradient.
pub(super) const fn same(layout: Layout) -> Port {
    Port { layout, gradient: layout }
}

/// An input in one layout, with its gradient in the same.
pub(super) const fn input(layout: Layout, kept: bool) -> InputPort {
    InputPort { port: same(layout), kept }
}
