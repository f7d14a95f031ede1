//! What happened when: by the simulator in virtual time, by the executor in real time.

use crate::units::{Bytes, SimTime};
use serde::{Deserialize, Serialize};

/// Everything that happened in one iteration, by one rank of each stage.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Timeline {
    /// Stages of the pipeline.
    pub stages: u64,
    /// End of the iteration.
    pub end: SimTime,
    /// Spans, by stage, then start.
    pub spans: Vec<Span>,
    /// Memory in use over time, by stage, then time.
    pub memory: Vec<MemorySample>,
}

/// One instruction on one stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Span {
    /// Stage of the pipeline.
    pub stage: u64,
    /// What it is; decides its stream and colour.
    pub kind: SpanKind,
    /// Micro-batch, where it belongs to one.
    pub micro_batch: Option<u64>,
    /// Model chunk of the stage (0 without interleaving).
    pub chunk: u64,
    /// Start.
    pub start: SimTime,
    /// End.
    pub end: SimTime,
}

/// Kinds of instructions at the level of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    /// Forward pass of a chunk.
    Forward,
    /// Backward pass of a chunk.
    Backward,
    /// Activations or gradients to the next or previous stage.
    Transfer,
    /// Reduction of gradients over the replicas.
    GradientReduce,
    /// Gathering of sharded parameters.
    ParameterGather,
    /// Optimizer step.
    Optimizer,
}

/// Memory in use on one stage's fullest rank from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemorySample {
    /// Stage of the pipeline.
    pub stage: u64,
    /// From when.
    pub time: SimTime,
    /// Bytes in use.
    pub bytes: Bytes,
}
