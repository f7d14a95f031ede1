//! Runs programs on libtorch: the instructions that the planner has priced, in real time, on real
//! ranks.
//!
//! Forward and backward are explicit, without autograd's tape, so that every instruction can be
//! timed and what is kept between passes is what the memory model says. Autograd is the test of it
//! (`tests/executor/`).

pub mod benchmark;
pub mod calibrate;
pub mod caught;
pub mod comm;
pub mod compare;
mod convert;
mod cursor;
pub mod data;
pub mod environment;
pub mod error;
mod fitting;
pub mod gpu;
mod head;
pub mod launch;
pub mod measure;
pub mod narrow;
pub mod numerics;
pub mod ops;
mod passes;
pub mod rank;
pub mod record;
pub mod report;
pub mod roles;
pub mod setup;
pub mod state;
pub mod task;
mod update;
pub mod whole;
pub mod worker;
pub mod world;

pub use error::{ExecutorError, Result};
