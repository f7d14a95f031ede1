//! How one operator is split over the ranks of a tensor-parallel group, and what each rank then
//! executes, forward and backward. Knows kernels and collectives, no devices and no times.

pub mod context;
pub mod layout;
pub mod pass;
pub mod rules;

pub use context::ShardContext;
pub use layout::{Layout, conversion, local_elements};
pub use rules::{InputPort, Port, STRATEGIES, Sharding, Site, TensorShape, shardings};

use crate::graph::{Collective, Kernel};
use crate::units::{Bytes, SimTime};

/// The group of ranks that a collective runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Tensor-parallel ranks.
    Tensor,
    /// Context-parallel ranks.
    Context,
    /// Data-parallel ranks (with the context-parallel ones, for gradients).
    Data,
}

/// One instruction of one rank.
#[derive(Debug, Clone, PartialEq)]
pub enum Instruction {
    /// A kernel of the operator with this index in its block.
    Compute {
        /// Operator, by its index in the block.
        op: usize,
        /// What runs.
        kernel: Kernel,
    },
    /// A collective that the following instructions wait for.
    Communicate {
        /// Operator that it belongs to, by its index in the block.
        op: usize,
        /// What runs.
        collective: Collective,
        /// Over which ranks.
        group: Group,
        /// Size, as [`Collective`] defines it.
        bytes: Bytes,
    },
}

/// The price list of instructions, as the planner sees the cost model.
pub trait InstructionCost: Sync {
    /// Time of a kernel on the device, without the host's launch floor.
    fn kernel(&self, kernel: &Kernel) -> SimTime;
    /// Time of a collective over `group`.
    fn collective(&self, collective: Collective, bytes: Bytes, group: Group) -> SimTime;
    /// Time of the host to launch one kernel: a pass takes at least its launches.
    fn launch(&self) -> SimTime;
}

/// What one pass (forward, backward or recomputation) of a block costs on one rank.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PassCost {
    /// Kernels.
    pub compute: SimTime,
    /// Collectives over the tensor-parallel group that the compute stream waits for.
    pub tensor_parallel: SimTime,
    /// Collectives over the context-parallel group that the compute stream waits for.
    pub context_parallel: SimTime,
    /// Kernel launches of the host.
    pub launches: u64,
    /// Operations executed.
    pub flops: f64,
}
