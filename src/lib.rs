//! lmplan plans the parallel training of large transformers.

pub mod capacity;
pub mod check;
pub mod cli;
pub mod cost;
#[cfg(feature = "torch")]
pub mod executor;
pub mod explain;
pub mod export;
pub mod graph;
pub mod import;
pub mod lower;
pub mod mesh;
pub mod plan;
pub mod planner;
pub mod report;
pub mod sharding;
pub mod sim;
pub mod solver;
pub mod spec;
pub mod units;
pub mod validate;
