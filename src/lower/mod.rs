//! From a plan to what each rank does: the order of its steps under a schedule, what its stage is
//! made of, how long its passes take and what it holds in memory.

pub mod memory;
#[cfg(test)]
mod memory_tests;
pub mod program;
pub mod schedule;
pub mod stage;
mod stage_parameters;
pub mod streams;
pub mod times;
pub mod work;

pub use memory::{MemoryModel, StageMemory};
pub use program::{
    Action, BlockCode, Conversion, Input, LocalParameter, Operator, Placed, Program,
};
pub use schedule::{InFlight, Pipeline, Step};
pub use stage::{Prices, StageModel, StageSettings};
pub use times::{CHUNK_KINDS, ChunkTimes, Links, StageCollectives, StageTimes};
pub use work::{BlockTimes, StageWork};
