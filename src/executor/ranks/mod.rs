//! The ranks of a run: what they are asked and answer, how they are started, meet, and are ended.

pub mod environment;
pub mod failure;
pub mod fault;
mod join;
mod launch;
mod meeting;
mod result;
pub mod task;
mod threads;
pub mod world;

pub(crate) use join::join;
pub use launch::launch;
pub use meeting::{HEARTBEAT, Meeting};
pub use result::{Compared, Line, RankResult, Sample};
pub use threads::RankMain;
