//! Short ways to write instructions, and what a list of them costs.

use super::{Group, Instruction, InstructionCost, PassCost};
use crate::graph::{Kernel, PassKind};
use crate::units::{Bytes, SimTime};

/// A pass over memory.
pub const fn memory(
    op: usize,
    pass: PassKind,
    read: Bytes,
    written: Bytes,
    launches: u64,
) -> Instruction {
    Instruction::Compute { op, kernel: Kernel::Memory { pass, read, written, launches } }
}

/// What a list of instructions costs on one rank: the sum, one after the other. A collective counts
/// as one launch.
pub fn cost_of(instructions: &[Instruction], cost: &dyn InstructionCost) -> PassCost {
    let mut total = PassCost::default();
    for instruction in instructions {
        match instruction {
            Instruction::Compute { kernel, .. } => {
                total.compute += cost.kernel(kernel);
                total.launches += kernel.launches();
                total.flops += kernel.flops().get();
            }
            Instruction::Communicate { collective, group, bytes, .. } => {
                let time = cost.collective(*collective, *bytes, *group);
                match group {
                    Group::Context => total.context_parallel += time,
                    Group::Tensor | Group::Data => total.tensor_parallel += time,
                }
                total.launches += 1;
            }
        }
    }
    total
}

impl PassCost {
    /// Duration, without the host's launch floor.
    pub fn time(&self) -> SimTime {
        self.compute + self.tensor_parallel + self.context_parallel
    }
}

impl std::ops::AddAssign<&PassCost> for PassCost {
    fn add_assign(&mut self, other: &PassCost) {
        self.compute += other.compute;
        self.tensor_parallel += other.tensor_parallel;
        self.context_parallel += other.context_parallel;
        self.launches += other.launches;
        self.flops += other.flops;
    }
}
