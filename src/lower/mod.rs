//! From a plan to what each rank does: the order of its steps under a schedule, what its stage is
//! made of, how long its passes take and what it holds in memory.

pub mod blocks;
mod candidate;
pub mod ending;
pub mod mapping;
pub mod memory;
#[cfg(test)]
mod memory_tests;
pub mod plan_error;
pub mod program;
pub mod schedule;
pub mod stage;
mod stage_parameters;
pub mod streams;
pub mod times;
pub mod work;
mod workload;

pub use candidate::Candidate;
pub use mapping::Mapping;
pub use memory::{MemoryModel, StageMemory};
pub use plan_error::PlanError;
pub use program::{
    Action, BlockCode, Conversion, Input, LocalParameter, Operator, Placed, Program,
};
pub use schedule::{InFlight, Pass, Pipeline, Step};
pub use stage::{Prices, StageModel, StageSettings};
pub use times::{CHUNK_KINDS, ChunkTimes, Links, StageCollectives, StageTimes};
pub use work::{BlockTimes, StageWork};
pub use workload::{Workload, WorkloadError};
