//! What the ranks of a run are asked to do, as JSON.

use super::fault::Fault;
use crate::executor::error::{ExecutorError, Result};
use crate::executor::run::setup::RunOptions;
use crate::lower::{Mapping, Workload};
use crate::plan::{OptimizerSharding, Plan};
use crate::spec::{self, ModelSpec, Precision, StackSpec};
use serde::{Deserialize, Serialize};
use tch::Device;

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Compared with the run of one device.
    Numerics,
    /// Timed.
    Whole,
    /// Collectives alone, timed, over all ranks.
    Collectives,
    /// Kernels of small models, timed by the first rank alone and by all at once.
    Kernels {
        /// Fewer of them.
        quick: bool,
    },
}

/// A run on several ranks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// What is run.
    pub mode: Mode,
    /// The model.
    pub model: ModelSpec,
    /// The plan.
    pub plan: Plan,
    /// The software stack.
    pub stack: StackSpec,
    /// On GPUs.
    pub cuda: bool,
    /// In 64 bits.
    pub double: bool,
    /// Optimizer steps.
    pub steps: u64,
    /// A rank that waits longer for another gives up.
    pub patience_s: f64,
    /// Which weights and data: another number gives others.
    #[serde(default)]
    pub seed: u64,
    /// What numerics are run in, one after the other; none: in the model's own.
    #[serde(default)]
    pub precisions: Vec<Precision>,
    /// Do something wrong on purpose, so that a test can see that it is noticed.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// Ranks talk over NCCL: each has a GPU of its own.
    #[serde(default)]
    pub nccl: bool,
}

impl Task {
    /// One step on cores of this machine, with nothing that goes wrong.
    pub fn new(mode: Mode, model: ModelSpec, plan: Plan, stack: StackSpec) -> Task {
        Task {
            mode,
            model,
            plan,
            stack,
            cuda: false,
            double: false,
            steps: 1,
            patience_s: 60.0,
            seed: 0,
            precisions: Vec::new(),
            fault: None,
            nccl: false,
        }
    }

    /// The model as operators, and how a plan spreads it over ranks. Devices and prices play no part
    /// in it.
    ///
    /// # Errors
    /// A plan that does not suit the model.
    pub fn mapping(&self, plan: &Plan) -> Result<(Workload, Mapping)> {
        let program = |error: String| ExecutorError::Program(error);
        let mut model = self.model.clone();
        model.training.global_batch_size = plan.batch.global;
        let workload =
            Workload::new(model, self.stack.clone()).map_err(|error| program(error.to_string()))?;
        let mapping =
            Mapping::of_plan(&workload, plan).map_err(|error| program(error.to_string()))?;
        Ok((workload, mapping))
    }

    /// The same batch on one device.
    pub fn reference_plan(&self) -> Plan {
        let mut plan = self.plan.clone();
        let p = &mut plan.parallelism;
        (p.tensor, p.pipeline, p.data, p.virtual_stages) = (1, 1, 1, 1);
        p.sequence_parallel = false;
        plan.schedule = spec::ScheduleKind::OneFOneB;
        plan.optimizer_sharding = OptimizerSharding::None;
        plan.stages.clear();
        plan.operators.clear();
        plan
    }

    /// How its ranks run.
    pub fn options(&self, device: Device) -> RunOptions {
        let comparable = RunOptions::comparable(self.plan.parallelism.tensor, self.double);
        RunOptions { device, seed: self.seed, ..comparable }
    }

    /// The task for each precision that numerics are run in.
    pub fn by_precision(&self) -> Vec<Task> {
        let of = |precision: &Precision| {
            let mut task = self.clone();
            task.model.training.precision = *precision;
            task
        };
        match self.precisions.as_slice() {
            [] => vec![self.clone()],
            all => all.iter().map(of).collect(),
        }
    }
}
