//! What a rank's process is asked to do, and what it answers. Both are JSON lines.

use super::comm::Ranks;
use super::compare::Compared;
use super::error::{ExecutorError, Result};
use super::failure::Failure;
use super::fault::In16Bits;
use super::gauge::Reading;
use super::rank::Groups;
use super::record::{Beside, Ran};
use super::setup::RunOptions;
use super::worker::Meeting;
use crate::graph::Collective;
use crate::plan::{OptimizerSharding, Plan};
use crate::planner::choice::Choice;
use crate::planner::job::Job;
use crate::spec::{self, Cluster, ModelSpec, Precision, StackSpec};
use lmplan_c10d::{Group, Store};
use serde::{Deserialize, Serialize};
use std::time::Duration;
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

/// Something wrong, for tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// This rank ends in the middle.
    Die(u64),
    /// This rank stops in the middle.
    Hang(u64),
    /// This rank asks for more memory than there is.
    Memory(u64),
    /// This action is left out on all ranks: `receive`, `send`, `reduce_over_tensor`, `sum_tied`,
    /// `reduce_over_data`, `gradient_norm`, `optimizer`, `gather_parameters`.
    Skip(String),
    /// A collective of each step is left out on all ranks: that of each group of this kind after so
    /// many others.
    Collective(GroupKind, u64),
    /// Something is done in 16 bits that needs 32, on all ranks.
    In16Bits(In16Bits),
}

/// A kind of group of ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupKind {
    /// Tensor-parallel ranks.
    Tensor,
    /// Replicas.
    Data,
    /// Those that hold the token embedding's table.
    Tied,
    /// All.
    World,
}

/// What a rank answers, one line each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// It is alive.
    Alive,
    /// It failed, and why.
    Failed(Failure),
    /// It is done.
    Done(Box<RankResult>),
}

/// The result of a rank.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RankResult {
    /// How far this rank is from one device, by precision.
    pub compared: Vec<Compared>,
    /// Seconds of each iteration.
    pub iterations_s: Vec<f64>,
    /// Most bytes that tensors took.
    pub peak_bytes: u64,
    /// Most bytes that the allocator held for them, with what was free in between.
    #[serde(default)]
    pub reserved_bytes: u64,
    /// Bytes that libraries kept beside tensors.
    #[serde(default)]
    pub library_bytes: u64,
    /// Bytes that tensors took before the first iteration.
    pub state_bytes: u64,
    /// Seconds by instruction.
    pub times: Vec<super::measure::Timed>,
    /// Seconds of what runs beside the blocks, each time.
    pub beside: Vec<(Beside, Vec<f64>)>,
    /// The actions of the last iteration.
    pub actions: Vec<Ran>,
    /// Collectives with their bytes and seconds.
    pub collectives: Vec<(Collective, u64, f64)>,
    /// Bytes and seconds of messages from one rank to another.
    pub messages: Vec<(u64, f64)>,
    /// Bandwidth and speed of products of one of all ranks at once.
    pub shared: Option<[f64; 2]>,
    /// How fast the machine was before each step; in calibration, while all ranks were busy.
    pub pace: Vec<Reading>,
    /// How fast it was while one rank was busy.
    pub pace_alone: Vec<Reading>,
    /// Kernels with their times.
    pub kernels: Vec<super::calibrate::kernels::Sample>,
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

    /// The job and the choice.
    ///
    /// # Errors
    /// A plan that does not suit the model.
    pub fn choice(&self, plan: &Plan) -> Result<(Job, Choice)> {
        let program = |error: String| ExecutorError::Program(error);
        // Devices and prices play no part in the execution; this cluster has enough of them.
        let (cluster, _) = Cluster::load("h100x16384", crate::spec::catalog::built_in())
            .map_err(|error| program(error.to_string()))?;
        let mut model = self.model.clone();
        model.training.global_batch_size = plan.batch.global;
        let job = Job::new(model, cluster, self.stack.clone())
            .map_err(|error| program(error.to_string()))?;
        let choice = Choice::of_plan(&job, plan).map_err(|error| program(error.to_string()))?;
        Ok((job, choice))
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

/// Joins the groups of a rank.
///
/// # Errors
/// Ranks that do not come in time.
///
/// They talk over NCCL where `nccl` names this rank's GPU, over Gloo else.
pub fn join(
    store: &Store,
    meeting: &Meeting,
    choice: &Choice,
    patience: Duration,
    nccl: Option<i32>,
) -> Result<(Ranks, Groups)> {
    let c = &choice.candidate;
    let (t, d, p) = (c.tensor, c.data, c.pipeline);
    let Meeting { rank, address, prefix, .. } = meeting;
    let seat = c.mesh().coordinates(*rank);
    let group = |name: String, own: u64, size: u64| -> Result<Ranks> {
        if size == 1 {
            return Ok(Ranks::Alone);
        }
        let (own, size) = (own as usize, size as usize);
        // Messages between stages go over the group of all: a lane for each direction of passes.
        let lanes = if name == "world" && p > 1 { 2 } else { 0 };
        let name = format!("{prefix}{name}");
        if let Some(device) = nccl {
            let group = Group::join_nccl(store, &name, (own, size), device, lanes, patience)?;
            return Ok(Ranks::Group(group));
        }
        Ok(Ranks::Group(Group::join(store, &name, own, size, address, patience)?))
    };
    let world = group("world".to_owned(), *rank, t * d * p)?;
    let tensor = group(format!("tensor-{}-{}", seat.stage, seat.data), seat.tensor, t)?;
    let data = group(format!("data-{}-{}", seat.stage, seat.tensor), seat.data, d)?;
    let is_end = seat.stage == 0 || seat.stage + 1 == p;
    let side = u64::from(seat.stage > 0);
    let split = c.sharding >= OptimizerSharding::Zero2 && d > 1;
    let ends = if p > 1 { 2 } else { 1 };
    let tied = match (is_end, split) {
        (false, _) => Ranks::Alone,
        (true, false) => group(format!("tied-{}-{}", seat.data, seat.tensor), side, ends)?,
        (true, true) => group(format!("tied-{}", seat.tensor), side * d + seat.data, ends * d)?,
    };
    Ok((tensor, Groups { data, tied, world }))
}
