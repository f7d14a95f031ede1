//! The numbers of a plan: ways, batch, schedule, sharding.

use super::schedule::Pipeline;
use crate::mesh::Mesh;
use crate::plan::OptimizerSharding;
use crate::sharding::Layout;
use crate::spec::ScheduleKind;

/// One outer choice. Its stages, their layers and their recomputation are still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Candidate {
    /// Tensor-parallel ways (t).
    pub tensor: u64,
    /// Stages (p).
    pub pipeline: u64,
    /// Replicas (d).
    pub data: u64,
    /// Ranks that share each sequence (c); the search leaves it at 1.
    pub context: u64,
    /// Sequences of a micro-batch (b).
    pub micro_batch: u64,
    /// Model chunks of a stage (v).
    pub chunks: u64,
    /// Micro-batches of a step (m).
    pub micro_batches: u64,
    /// Schedule.
    pub schedule: ScheduleKind,
    /// Whether activations between blocks are sharded over the tensor ranks.
    pub sequence_parallel: bool,
    /// What is sharded over the replicas.
    pub sharding: OptimizerSharding,
}

impl Candidate {
    /// Devices that it uses.
    pub fn devices(&self) -> u64 {
        self.mesh().ranks()
    }

    /// Ranks that hold the same parameters (d·c): gradients are summed over them.
    pub fn replicas(&self) -> u64 {
        self.mesh().replicas()
    }

    /// It in short: `t8 p8 d1 b1 v2`, with `c2` after the data-parallel ways where sequences are split.
    pub fn label(&self) -> String {
        let c = self;
        let context = if c.context > 1 { format!(" c{}", c.context) } else { String::new() };
        format!(
            "t{} p{} d{}{context} b{} v{}",
            c.tensor, c.pipeline, c.data, c.micro_batch, c.chunks
        )
    }

    /// The layout of activations between blocks.
    pub const fn boundary(&self) -> Layout {
        Layout::boundary(self.sequence_parallel)
    }

    /// Shape of the pipeline.
    pub const fn pipeline_shape(&self) -> Pipeline {
        Pipeline {
            schedule: self.schedule,
            stages: self.pipeline,
            chunks: self.chunks,
            micro_batches: self.micro_batches,
        }
    }

    /// Its ranks.
    pub fn mesh(&self) -> Mesh {
        Mesh::new(self.tensor, self.context, self.data, self.pipeline)
    }
}
