//! Short ways to write instructions, and what a list of them costs.

use super::instruction::{Beside, Group, Instruction, OperatorGroup, Overlap};
use crate::graph::{Collective, Kernel, PassKind};
use crate::units::{Bytes, SimTime};

/// The price list of instructions, as the planner sees the cost model.
pub trait InstructionCost: Sync {
    /// Time of a kernel on the device, without the host's launch floor.
    fn kernel(&self, kernel: &Kernel) -> SimTime;
    /// Time of a collective over `group`.
    fn collective(&self, collective: Collective, bytes: Bytes, group: Group) -> SimTime;
    /// Time of the host to launch one kernel: a pass takes at least its launches.
    fn launch(&self) -> SimTime;
    /// Slowdown of a kernel while a collective runs beside it.
    fn contention(&self) -> f64 {
        0.0
    }
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
