//! A block of operators as the instructions of one rank, under a choice of strategies.

pub mod code;
pub mod error;
mod megatron;
mod structure;

pub use code::{BlockProgram, block_code, instructions};
pub use error::BlockError;
pub use megatron::megatron_strategies;
pub(crate) use structure::{Flow, Structure};
