//! One rank at work on its program.

pub mod comm;
mod convert;
mod cursor;
pub mod data;
mod fault;
pub mod gauge;
mod head;
mod iteration;
pub mod ops;
mod passes;
pub mod rank;
pub mod record;
pub mod setup;
pub mod state;
pub mod timed;
pub mod update;
