//! The operator graph of one training step, and the kernels it is made of. Knows no devices.

pub mod kernel;
pub mod op;

pub use kernel::{Collective, GemmPass, Kernel, PassKind};
pub use op::{Block, BlockKind, Edge, Graph, Op, OpKind, Parameter, Weight};
