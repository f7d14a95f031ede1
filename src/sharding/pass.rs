//! Short ways to write instructions, and what a list of them costs.

use super::{Beside, Instruction, InstructionCost, OperatorGroup, Overlap, PassCost};
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

/// What a list of instructions costs on one rank: the sum, one after the other, where a collective
/// that runs beside a kernel adds what is left of it. A collective counts as one launch.
pub fn cost_of(instructions: &[Instruction], cost: &dyn InstructionCost) -> PassCost {
    let mut total = PassCost::default();
    for (i, instruction) in instructions.iter().enumerate() {
        match instruction {
            Instruction::Compute { kernel, .. } => {
                total.compute += cost.kernel(kernel);
                total.launches += kernel.launches();
                total.flops += kernel.flops().get();
            }
            Instruction::Communicate { collective, group, bytes, overlap, .. } => {
                let time = cost.collective(*collective, *bytes, (*group).into());
                let kernel = overlap.map(|overlap| (overlap, neighbour(instructions, i, overlap)));
                let Some((overlap, Some(kernel))) = kernel else {
                    total.add_exposed(*group, time);
                    continue;
                };
                total += &beside(*group, time, overlap, cost.kernel(kernel), cost.contention());
            }
        }
    }
    total
}

/// What a collective adds to a kernel that it runs beside.
pub fn beside(
    group: OperatorGroup,
    collective: SimTime,
    overlap: Overlap,
    kernel: SimTime,
    contention: f64,
) -> PassCost {
    let mut cost = PassCost::default();
    let (exposed, both) = overlap.split(collective, kernel);
    cost.add_exposed(group, exposed);
    cost.compute += both.scaled(contention);
    cost
}

/// The kernel that the collective at `at` runs beside.
fn neighbour(instructions: &[Instruction], at: usize, overlap: Overlap) -> Option<&Kernel> {
    let kernel = |instruction: &'_ Instruction| match instruction {
        Instruction::Compute { .. } => true,
        Instruction::Communicate { .. } => false,
    };
    let found = match overlap.beside {
        Beside::Next => instructions[at + 1..].iter().find(|i| kernel(i)),
        Beside::Previous => instructions[..at].iter().rev().find(|i| kernel(i)),
    };
    match found {
        Some(Instruction::Compute { kernel, .. }) => Some(kernel),
        _ => None,
    }
}

impl PassCost {
    /// Books a collective that the compute stream waits for, and its launch.
    fn add_exposed(&mut self, group: OperatorGroup, time: SimTime) {
        match group {
            OperatorGroup::Context => self.context_parallel += time,
            OperatorGroup::Tensor => self.tensor_parallel += time,
        }
        self.launches += 1;
    }

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
