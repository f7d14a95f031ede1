//! What a rank executes: kernels and collectives, and what of them runs side by side.

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

/// The groups over which an operator's own collectives run: those of the data-parallel ranks come
/// between passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperatorGroup {
    /// Tensor-parallel ranks.
    Tensor,
    /// Context-parallel ranks.
    Context,
}

impl From<OperatorGroup> for Group {
    fn from(group: OperatorGroup) -> Group {
        match group {
            OperatorGroup::Tensor => Group::Tensor,
            OperatorGroup::Context => Group::Context,
        }
    }
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
        group: OperatorGroup,
        /// Size, as [`Collective`] defines it.
        bytes: Bytes,
        /// Computation of the same rank that it runs beside, if any.
        overlap: Option<Overlap>,
    },
}

/// A kernel that a collective runs beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// The next kernel of the list.
    Next,
    /// The kernel before.
    Previous,
}

/// How a collective runs beside a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlap {
    /// Beside which.
    pub beside: Beside,
    /// Share of the collective that can not run beside it: the part that the kernel's first tile
    /// waits for, or that follows its last.
    pub exposed: f64,
    /// Share of the kernel that the rest can run beside.
    pub cover: f64,
}

impl Overlap {
    /// All of the collective may run beside all of the kernel: neither needs the other's result.
    pub const fn whole(beside: Beside) -> Overlap {
        Overlap { beside, exposed: 0.0, cover: 1.0 }
    }

    /// Collective and kernel are cut into `parts`, each of which needs the other's (Wang et al.
    /// 2022, "Overlap Communication with Dependent Computation"): one part stands alone at an end.
    pub fn in_parts(beside: Beside, parts: u64) -> Overlap {
        let one = 1.0 / parts.max(1) as f64;
        Overlap { beside, exposed: one, cover: 1.0 - one }
    }

    /// Ring attention (Liu et al. 2023): the kernel starts on the rank's own part, and a further
    /// part arrives during each.
    pub fn ring(parts: u64) -> Overlap {
        let one = 1.0 / parts.max(1) as f64;
        Overlap { beside: Beside::Next, exposed: 0.0, cover: 1.0 - one }
    }

    /// What a collective adds to a kernel that it runs beside, and for how long both run.
    pub fn split(&self, collective: SimTime, kernel: SimTime) -> (SimTime, SimTime) {
        let alone = collective.scaled(self.exposed);
        let rest = collective.saturating_sub(alone);
        let both = rest.min(kernel.scaled(self.cover));
        (alone + rest.saturating_sub(both), both)
    }
}
