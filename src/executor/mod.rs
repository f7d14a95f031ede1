//! Runs programs on libtorch: the instructions that the planner has priced, in real time, on real
//! ranks.
//!
//! Forward and backward are explicit, without autograd's tape, so that every instruction can be
//! timed and what is kept between passes is what the memory model says. Autograd is the test of it
//! (`tests/executor/`).

mod assemble;
pub mod calibrate;
pub mod caught;
pub mod comm;
pub mod compare;
mod convert;
mod cursor;
pub mod data;
pub mod environment;
pub mod error;
pub mod failure;
pub mod fault;
pub mod gauge;
pub mod gpu;
mod head;
mod judge;
pub mod launch;
pub mod measure;
pub mod narrow;
pub mod numerics;
pub mod ops;
mod passes;
pub mod print;
pub mod rank;
pub mod record;
mod reference;
pub mod report;
pub mod roles;
pub mod setup;
pub mod state;
pub mod task;
mod threads;
mod update;
pub mod whole;
pub mod worker;
pub mod world;

pub use error::{ExecutorError, Result};
