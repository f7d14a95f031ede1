//! How long the steps of a pipeline take.

use crate::units::SimTime;

/// Kinds of durations of a chunk, in the order of [`ChunkTimes::durations`].
pub const CHUNK_KINDS: usize = 5;

/// Durations of one chunk of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChunkTimes {
    /// Forward pass of a micro-batch.
    pub forward: SimTime,
    /// Forward pass of the first micro-batch (with the gathering of parameters).
    pub first_forward: SimTime,
    /// Backward pass of a micro-batch.
    pub backward: SimTime,
    /// Backward pass of the last micro-batch (beside the reduction of gradients).
    pub last_backward: SimTime,
    /// What is left of the gradient reduction after the last backward pass.
    pub reduce_tail: SimTime,
}

impl ChunkTimes {
    /// As an array: forward, first forward, backward, last backward, tail.
    pub const fn durations(&self) -> [SimTime; CHUNK_KINDS] {
        [self.forward, self.first_forward, self.backward, self.last_backward, self.reduce_tail]
    }
}

/// Durations of one stage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StageTimes {
    /// By chunk.
    pub chunks: Vec<ChunkTimes>,
    /// Optimizer step, and the gathering of parameters where nothing hides it.
    pub optimizer: SimTime,
}

/// Collectives of a stage beside those of its layers' passes, over one iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageCollectives {
    /// Gradients over the replicas.
    pub reduce: SimTime,
    /// Parameters over the replicas.
    pub gather: SimTime,
    /// Gradients over the tensor-parallel ranks.
    pub tensor_reduce: SimTime,
}

/// Durations outside of the stages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links {
    /// Transfer from stage q to stage q + 1 (the last one to the first), either direction.
    pub hops: Vec<SimTime>,
    /// The sending stage waits for its transfer.
    pub blocking: bool,
    /// Sum of the tied embedding's gradients over the first and the last stage.
    pub tied_reduce: SimTime,
    /// Norm of all gradients, over all ranks.
    pub gradient_norm: SimTime,
}
