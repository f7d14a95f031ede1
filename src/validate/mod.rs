//! Measured runs of others, each predicted from its configuration and compared.
//!
//! A row of `training.csv` becomes a model, a cluster, a software stack and a plan, which go the
//! ordinary way; the result is held against what the row measured.

pub mod cells;
pub mod compared_memory;
pub mod hardware;
pub mod interval;
pub mod kinds;
pub mod measured;
pub mod memory;
pub mod model;
pub mod plan;
pub mod row;
pub mod run;
pub mod skip;
pub mod stack;
pub mod summary;
pub mod table;

pub use row::MeasuredRun;
pub use run::{Compared, compare, compare_with};
pub use skip::Skip;
pub use summary::{Summary, summarise};
pub use table::read_runs;

/// The measured training runs that come with lmplan.
pub const TRAINING: &str = include_str!("../../tests/data/published/training.csv");
/// The measured peak memories that come with lmplan.
pub const MEMORY: &str = include_str!("../../tests/data/published/memory.csv");
