//! An operator at work: what it shares with the others, and how it runs kernels and collectives.

use crate::executor::error::{ExecutorError, Result};
use crate::executor::run::comm::Ranks;
use crate::executor::run::cursor::{Cursor, Slot};
use crate::executor::run::data::MicroBatch;
use crate::executor::run::state::Held;
use crate::graph::{Collective, PassKind};
use crate::lower::Operator;
use crate::plan::Strategy;
use tch::{Device, Kind, Tensor};

/// What all operators of a rank share.
#[derive(Debug)]
pub struct Env {
    /// The tensor-parallel group.
    pub tensor: Ranks,
    /// Sequences of a micro-batch.
    pub micro_batch: i64,
    /// Where tensors are.
    pub device: Device,
    /// Type of activations and of parameters as they are multiplied by.
    pub kind: Kind,
    /// Type of losses, gradients and optimizer states.
    pub wide: Kind,
    /// Probabilities of dropout of attention weights and of residual branches.
    pub dropout: (f64, f64),
    /// Pieces in which the two factors of a gated activation alternate: one for each tensor-parallel
    /// rank of the plan, so that each holds whole pairs.
    pub gate_pieces: i64,
    /// What the loss is multiplied by before its gradient is taken.
    pub loss_scale: f64,
    /// Sequences of a step, over which the loss is a mean.
    pub global_batch: i64,
    /// A ReLU passes gradients on where its input is above this, in root mean squares of its
    /// inputs: zero, but where it is asked what another side of zero would change.
    pub kink: f64,
    /// The optimizer leaves gradients as they are; Adam's kernel scales them in place otherwise.
    pub keeps_gradients: bool,
}

/// What a pass of a block works on.
pub(crate) struct Work<'a> {
    pub(crate) env: &'a Env,
    pub(crate) held: &'a Held<'a>,
    pub(crate) batch: &'a MicroBatch,
    /// Distinguishes the random numbers of blocks.
    pub(crate) seed: i64,
}

/// What an operator keeps from its forward to its backward pass.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// The input in slot 0, where its backward pass reads it.
    pub(crate) input: Option<Tensor>,
    /// The output, where its own backward pass reads it.
    pub(crate) output: Option<Tensor>,
    /// Masks, softmax results, statistics.
    pub(crate) extra: Vec<Tensor>,
}

/// An operator at work.
pub(crate) struct At<'a, 'c> {
    pub(crate) work: &'a Work<'a>,
    pub(crate) operator: &'a Operator,
    pub(crate) index: usize,
    pub(crate) cursor: &'a mut Cursor<'c>,
}

impl At<'_, '_> {
    pub(super) fn strategy(&self) -> Strategy {
        self.operator.sharding.strategy
    }

    pub(super) fn env(&self) -> &Env {
        self.work.env
    }

    /// Local parameter of the operator.
    pub(super) fn weight(&self, name: &str) -> Result<Tensor> {
        self.work.held.weight(self.index, name)
    }

    pub(super) fn unsupported<T>(&self, what: &str) -> Result<T> {
        Err(ExecutorError::Unsupported(format!("{what} (operator `{}`)", self.operator.op.name)))
    }

    /// A pass over memory.
    pub(super) fn pass<T>(&mut self, kind: PassKind, f: impl FnOnce() -> T) -> Result<T> {
        let slot = self.cursor.memory(kind)?;
        Ok(self.cursor.run(slot, f))
    }

    /// Adds the gradient of a parameter to the step's, in a pass of its own unless the stack does
    /// so in the product that made it.
    pub(super) fn accumulate(
        &mut self,
        gradients: &[(&str, &Tensor)],
        made_in: Option<Slot>,
    ) -> Result<()> {
        let slot = match made_in {
            Some(slot) if !self.cursor.is_memory(PassKind::GradientAccumulate) => slot,
            _ => self.cursor.memory(PassKind::GradientAccumulate)?,
        };
        let (held, index) = (self.work.held, self.index);
        self.cursor.run(slot, || {
            gradients.iter().try_for_each(|(name, gradient)| held.add(index, name, gradient))
        })
    }

    /// A collective over the tensor-parallel ranks, along the first dimension.
    pub(super) fn collective(&mut self, which: Collective, tensor: &Tensor) -> Result<Tensor> {
        let ranks = &self.work.env.tensor;
        let bytes = bytes_of(tensor);
        let size = if which == Collective::AllGather { bytes * ranks.size() as u64 } else { bytes };
        let slot = self.cursor.collective(which, size, 0)?;
        self.cursor.run(slot, || match which {
            Collective::AllReduce => ranks.all_reduce(tensor, false),
            Collective::AllGather => ranks.all_gather(tensor),
            Collective::ReduceScatter => ranks.reduce_scatter(tensor),
            _ => ranks.all_to_all(tensor),
        })
    }
}

/// Bytes of a tensor's elements, as they are priced. Tests compute in 64 bits what is priced in 32.
pub(crate) fn bytes_of(tensor: &Tensor) -> u64 {
    let element = match tensor.kind() {
        Kind::Double => Kind::Float,
        kind => kind,
    };
    (tensor.numel() * element.elt_size_in_bytes()) as u64
}

/// The kept tensor that a backward pass needs.
pub(super) fn needed<'a>(at: &At<'_, '_>, tensor: Option<&'a Tensor>) -> Result<&'a Tensor> {
    tensor.ok_or_else(|| ExecutorError::Mismatch {
        operator: at.operator.op.name.clone(),
        what: "its backward pass reads what its forward pass did not keep".to_owned(),
    })
}

/// The input in a slot.
pub(super) fn slot<'a>(at: &At<'_, '_>, inputs: &'a [Tensor], slot: usize) -> Result<&'a Tensor> {
    inputs.get(slot).ok_or_else(|| ExecutorError::Mismatch {
        operator: at.operator.op.name.clone(),
        what: format!("it has no input in slot {slot}"),
    })
}
