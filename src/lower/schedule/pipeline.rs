//! What schedules order: passes of chunks over micro-batches.

use crate::spec::ScheduleKind;

/// Shape of a pipeline: everything that decides the order of steps, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pipeline {
    /// Schedule.
    pub schedule: ScheduleKind,
    /// Stages (p).
    pub stages: u64,
    /// Model chunks a stage (v).
    pub chunks: u64,
    /// Micro-batches a step (m).
    pub micro_batches: u64,
}

impl Pipeline {
    /// Passes of all stages together: each chunk, each micro-batch, forward and backward.
    pub const fn passes(&self) -> u64 {
        let chunks = self.stages.saturating_mul(self.chunks);
        chunks.saturating_mul(self.micro_batches).saturating_mul(2)
    }
}

/// What is run of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    /// From its input to its output.
    Forward,
    /// From the gradient of its output to those of its input and of its weights.
    Backward,
}

/// One pass of one chunk over one micro-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// The pass.
    pub pass: Pass,
    /// Chunk of the stage.
    pub chunk: u32,
    /// Micro-batch.
    pub micro_batch: u32,
}

/// Activations that a stage holds at one moment, in chunks of one micro-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InFlight {
    /// Of any chunk.
    pub all: u64,
    /// Of these, of the chunk with the embedding.
    pub first: u64,
    /// Of these, of the chunk with the head.
    pub last: u64,
}

impl InFlight {
    pub(super) const fn covers(&self, other: &InFlight) -> bool {
        self.all >= other.all && self.first >= other.first && self.last >= other.last
    }
}
