//! Runs programs on libtorch: the instructions that the planner has priced, in real time, on real
//! ranks.
//!
//! Forward and backward are explicit, without autograd's tape, so that every instruction can be
//! timed and what is kept between passes is what the memory model says. Autograd is the test of it
//! (`tests/executor/`).
//!
//! Rooms, from the bottom: [`run`] is one rank at work on its program; [`ranks`] are the processes
//! of a run; [`gpu`] and [`calibrate`] measure devices; [`verify`] holds predictions and topologies
//! against what is measured; [`worker`] is what a rank's process does with its task.

pub mod calibrate;
pub mod caught;
pub mod error;
pub mod gpu;
pub mod ranks;
pub mod run;
pub mod verify;
pub mod worker;

pub use error::{ExecutorError, Result};
