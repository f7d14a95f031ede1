//! What is asked of a calibration, and the plans that its ranks run.

use crate::executor::error::{ExecutorError, Result};
use crate::plan::{Batch, OptimizerSharding, Parallelism, Plan};
use crate::spec::machine::Machine;
use crate::spec::{self, ScheduleKind, StackSpec};
use std::collections::BTreeMap;

/// What is measured, and how long for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Name of the device file.
    pub name: String,
    /// On a GPU.
    pub cuda: bool,
    /// Fewer shapes and repetitions.
    pub quick: bool,
    /// What it is measured on.
    pub machine: Machine,
}

/// The stack of the executor.
pub(super) fn stack() -> Result<StackSpec> {
    let found = spec::load_stack("lmplan", crate::spec::catalog::built_in());
    found.map(|(stack, _)| stack).map_err(|error| ExecutorError::Program(error.to_string()))
}

/// One device, or replicas.
pub(super) fn plan(ranks: u64, batch: u64) -> Plan {
    Plan {
        model: String::new(),
        cluster: String::new(),
        stack: String::new(),
        parallelism: Parallelism { data: ranks, ..Parallelism::SINGLE },
        batch: Batch { global: batch * ranks, micro: batch },
        lora: None,
        schedule: ScheduleKind::OneFOneB,
        optimizer_sharding: OptimizerSharding::None,
        stages: Vec::new(),
        operators: BTreeMap::new(),
    }
}
