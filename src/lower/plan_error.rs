//! Why a plan file does not suit its job.

use super::blocks::BlockError;
use thiserror::Error;

/// Why a plan does not suit its job; says what would.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A number that is zero or too large.
    #[error("`{field}` is {found}: {expected}")]
    Number {
        /// Where in the plan.
        field: &'static str,
        /// What stands there.
        found: u64,
        /// What may stand there.
        expected: String,
    },
    /// A kind of parallelism that is not planned.
    #[error("`{0}` of more than 1 is not planned yet")]
    Unsupported(&'static str),
    /// The batch does not divide.
    #[error(
        "a global batch of {global} is not a multiple of data {data} x micro {micro}: write a global batch of {nearest}"
    )]
    Batch {
        /// B.
        global: u64,
        /// d.
        data: u64,
        /// b.
        micro: u64,
        /// The next multiple.
        nearest: u64,
    },
    /// More devices than there are.
    #[error("the plan uses {used} devices, cluster `{cluster}` has {there}")]
    Devices {
        /// What the plan uses.
        used: u64,
        /// What there is.
        there: u64,
        /// Where.
        cluster: String,
    },
    /// A schedule that does not go with the pipeline.
    #[error("schedule `interleaved-1f1b` {0}")]
    Interleaving(String),
    /// More passes than are simulated.
    #[error(
        "an iteration of {stages} stages x {chunks} chunks x {micro_batches} micro-batches has {passes} passes, at most {most} are simulated: write a larger `batch.micro` or a smaller `batch.global`"
    )]
    Passes {
        /// p.
        stages: u64,
        /// v.
        chunks: u64,
        /// m.
        micro_batches: u64,
        /// Forward and backward passes of all chunks.
        passes: u64,
        /// What is simulated.
        most: u64,
    },
    /// Something is wrong with the stages.
    #[error("stage {stage}: {what}")]
    Stage {
        /// Index of the stage.
        stage: usize,
        /// What is wrong.
        what: String,
    },
    /// Something is wrong with the list of stages.
    #[error("{found} stages are listed, `pipeline` is {expected}")]
    Stages {
        /// Stages listed.
        found: usize,
        /// Stages there should be.
        expected: u64,
    },
    /// A name that is none.
    #[error("unknown {kind} `{found}` in `operators`: there are {known}")]
    Unknown {
        /// What kind of name.
        kind: &'static str,
        /// What stands there.
        found: String,
        /// What may stand there.
        known: String,
    },
    /// A sharding that a block can not have.
    #[error("block `{block}`: {error}")]
    Block {
        /// The block.
        block: &'static str,
        /// Why not.
        error: BlockError,
    },
}
