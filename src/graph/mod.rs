//! The operator graph of one training step, and the kernels it is made of. Knows no devices.
//!
//! [`build()`] makes the graph from a model's specification alone; its repeated blocks are found in
//! the graph's structure ([`Graph::from_dag`]), not from names or layer numbers. Counts of
//! parameters and operations ([`Graph::parameters`], [`Graph::model_flops`]) and the tensors that
//! a backward pass needs ([`Graph::saved`]) are read off the graph, for every kind of model alike.

mod adapter;
mod blocks;
mod build;
mod builder;
mod counts;
mod error;
mod export;
mod head;
pub mod kernel;
mod layer;
pub mod op;
pub mod saved;
mod structure;
mod trained;

pub use adapter::{Adapter, Trained};
pub use build::build;
pub use error::GraphError;
pub use export::{Detail, to_dot, to_json};
pub use kernel::{Collective, GemmPass, Kernel, PassKind};
pub use op::{Block, BlockKind, Edge, Graph, Op, OpKind, Parameter, Weight};
pub use saved::{SavedKind, SavedOptions, SavedTensor};
