//! How one operator is split over the ranks of a tensor-parallel group, and what each rank then
//! executes, forward and backward. Knows kernels and collectives, no devices and no times.

pub mod context;
mod instruction;
pub mod layout;
pub mod pass;
pub mod rules;

pub use context::ShardContext;
pub use instruction::{Beside, Group, Instruction, OperatorGroup, Overlap};
pub use layout::{Layout, TensorShape, beside_next, conversion, local_elements};
pub use pass::{InstructionCost, PassCost};
pub use rules::{InputPort, Port, Sharding, Site, shardings};
