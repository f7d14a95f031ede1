//! One number of devices of one cluster: its best plan, and the run on it.

use super::goodput::{Interruptions, Shares, spare_nodes};
use crate::plan::Plan;
use crate::planner::answer::assumptions;
use crate::planner::job::Job;
use crate::planner::outcome::SearchStatus;
use crate::planner::predict::choice::Choice;
use crate::planner::predict::predict;
use crate::planner::search::fastest;
use crate::planner::space::Pins;
use crate::sim::Prediction;
use crate::spec::RecoverySpec;
use crate::units::{Bytes, PerDay, Seconds, UsDollars, Watts};
use serde::Serialize;

const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;

/// Probability with which the spare nodes suffice.
pub const SPARE_CONFIDENCE: f64 = 0.99;

/// What a run is, and what its cluster costs and suffers.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Tokens of the run.
    pub tokens: u64,
    /// Price of one device for one hour, where known.
    pub price: Option<UsDollars>,
    /// Power of a device and its share of the node, at most.
    pub power: Watts,
    /// Failures that stop the job, per device.
    pub failures: PerDay,
    /// Checkpoints and restarts.
    pub recovery: RecoverySpec,
    /// Devices of a node of the cluster.
    pub devices_per_node: u64,
}

/// The run on one number of devices. Field names are those of the JSON output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// The best plan.
    pub plan: Plan,
    /// Its prediction.
    pub prediction: Prediction,
    /// Proven optimal, or stopped by what.
    pub status: SearchStatus,
    /// Candidates of the space.
    pub candidates: u64,
    /// Candidates solved exactly.
    pub solved: u64,
    /// Candidates excluded by a bound.
    pub pruned: u64,
    /// No plan of the space is faster.
    pub lower_bound_s: f64,
    /// Devices that the plan uses.
    pub devices_used: u64,
    /// Spare nodes, for as long as failed ones are under repair.
    pub spare_nodes: u64,
    /// Devices that are paid for: all of the cell, and spares beyond those that the plan leaves.
    pub devices_rented: u64,
    /// Optimizer steps of the run.
    pub steps: u64,
    /// Mean time between failures; nothing where none are known of.
    pub between_failures_s: Option<f64>,
    /// Size of a checkpoint.
    pub checkpoint_bytes: u64,
    /// Size of frozen weights, which are not in it but are read with it.
    #[serde(skip)]
    pub frozen_bytes: u64,
    /// Time to write it.
    pub checkpoint_s: f64,
    /// From a failure until the job works again, with the reading of the checkpoint.
    pub restart_s: f64,
    /// Work between checkpoints by Young 1974.
    pub interval_young_s: Option<f64>,
    /// Work between checkpoints by Daly 2006, which is taken.
    pub interval_daly_s: Option<f64>,
    /// Share of the time that is useful work.
    pub goodput: f64,
    /// Share that goes into writing checkpoints.
    pub checkpoint_share: f64,
    /// Share that goes into restarts.
    pub restart_share: f64,
    /// Share that is work done again.
    pub lost_share: f64,
    /// Length of the run, failures counted.
    pub days: f64,
    /// The same at the lower end of the interval of the iteration time.
    pub days_low: f64,
    /// At the upper end.
    pub days_high: f64,
    /// Hours of all devices that are paid for.
    pub device_hours: f64,
    /// Money, where a price is known.
    pub cost_usd: Option<f64>,
    /// At the lower end.
    pub cost_low_usd: Option<f64>,
    /// At the upper end.
    pub cost_high_usd: Option<f64>,
    /// Energy of the devices that the plan uses, with their share of the nodes, at most.
    pub energy_mwh: f64,
    /// What the prediction takes for granted.
    #[serde(skip)]
    pub assumptions: Vec<String>,
}

/// What came of a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum CellOutcome {
    /// A plan.
    Planned(Box<Cell>),
    /// No plan fits the memory.
    Infeasible,
    /// A limit or the user stopped it first.
    Stopped(SearchStatus),
}

impl CellOutcome {
    /// The cell, where there is a plan.
    pub fn cell(&self) -> Option<&Cell> {
        match self {
            CellOutcome::Planned(cell) => Some(cell),
            _ => None,
        }
    }
}

impl Cell {
    /// Searches for the fastest plan of `job` and works out the run. `names` are those of model,
    /// cluster and stack in the plan.
    pub fn search(
        job: &Job,
        terms: &Terms,
        pins: &Pins,
        names: [&str; 3],
        stop: &(dyn Fn() -> Option<SearchStatus> + Sync),
    ) -> CellOutcome {
        let space = job.space(pins.clone());
        let found = fastest(&space, job, stop);
        if !matches!(found.status, SearchStatus::Optimal | SearchStatus::Infeasible)
            && stop().is_some()
        {
            return CellOutcome::Stopped(found.status);
        }
        let Some(solution) = found.best.first() else { return CellOutcome::Infeasible };
        let choice = Choice::of_solution(job, solution);
        let Some(predicted) = predict(job, &choice) else { return CellOutcome::Infeasible };
        let mut cell = Cell::of_run(job, terms, choice.plan(job, names), predicted.prediction);
        cell.status = found.status;
        (cell.candidates, cell.solved, cell.pruned) =
            (found.candidates, found.solved, found.pruned);
        let bound = found.lower_bound.min(u128::from(solution.time.picos()));
        cell.lower_bound_s = bound as f64 * 1e-12;
        cell.assumptions = assumptions(job, &choice);
        CellOutcome::Planned(Box::new(cell))
    }

    /// The run of a plan that is predicted so; what a search found is the caller's to add.
    fn of_run(job: &Job, terms: &Terms, plan: Plan, prediction: Prediction) -> Cell {
        let tokens =
            job.workload.model.training.global_batch_size * job.workload.model.sequence_length;
        let mut cell = Cell {
            devices_used: plan.devices(),
            steps: terms.tokens.div_ceil(tokens.max(1)).max(1),
            checkpoint_bytes: checkpoint_bytes(job).get(),
            frozen_bytes: frozen_bytes(job).get(),
            lower_bound_s: prediction.iteration_time_s,
            plan,
            prediction,
            status: SearchStatus::Limit,
            candidates: 0,
            solved: 0,
            pruned: 0,
            spare_nodes: 0,
            devices_rented: job.machine.devices,
            between_failures_s: None,
            checkpoint_s: 0.0,
            restart_s: 0.0,
            interval_young_s: None,
            interval_daly_s: None,
            goodput: 1.0,
            checkpoint_share: 0.0,
            restart_share: 0.0,
            lost_share: 0.0,
            days: 0.0,
            days_low: 0.0,
            days_high: 0.0,
            device_hours: 0.0,
            cost_usd: None,
            cost_low_usd: None,
            cost_high_usd: None,
            energy_mwh: 0.0,
            assumptions: Vec::new(),
        };
        cell.account(terms, job.machine.devices);
        cell
    }

    /// Works out everything that follows from plan, prediction and terms, on a cell of `devices`.
    pub fn account(&mut self, terms: &Terms, devices: u64) {
        let per_node = terms.devices_per_node.max(1);
        self.fail(terms, per_node);
        let idle_nodes = (devices - self.devices_used.min(devices)) / per_node;
        self.devices_rented = devices + self.spare_nodes.saturating_sub(idle_nodes) * per_node;
        let run = |iteration: f64| self.steps as f64 * iteration / self.goodput / DAY;
        let p = &self.prediction;
        let [days, low, high] =
            [p.iteration_time_s, p.iteration_time_low_s, p.iteration_time_high_s].map(run);
        (self.days, self.days_low, self.days_high) = (days, low, high);
        let hours = |days: f64| days * DAY / HOUR * self.devices_rented as f64;
        let money = |days: f64| terms.price.map(|price| price.get() * hours(days));
        self.cost_usd = money(days);
        (self.cost_low_usd, self.cost_high_usd) = (money(low), money(high));
        self.device_hours = hours(days);
        self.energy_mwh = terms.power.get() * self.devices_used as f64 * days * DAY / HOUR / 1e6;
    }

    /// Checkpoints, failures and spares.
    fn fail(&mut self, terms: &Terms, per_node: u64) {
        let recovery = &terms.recovery;
        let nodes = self.devices_used.div_ceil(per_node).max(1);
        let mut rate = recovery.bandwidth_per_node * nodes as f64;
        if let Some(all) = recovery.bandwidth {
            rate = rate.min(all);
        }
        let write = Bytes::new(self.checkpoint_bytes) / rate;
        let restart = recovery.restart_time + write + Bytes::new(self.frozen_bytes) / rate;
        (self.checkpoint_s, self.restart_s) = (write.get(), restart.get());
        let job = Interruptions::of_job(terms.failures, self.devices_used, write, restart);
        self.between_failures_s = job.map(|job| job.between_failures.get());
        self.interval_young_s = job.map(|job| job.young().get());
        self.interval_daly_s = job.map(|job| job.daly().get());
        let shares = job.map_or(Shares::WHOLE, |job| Shares::of(&job, job.daly()));
        // A job that all but never ends still has a length that can be written.
        self.goodput = shares.useful.max(1e-9);
        self.checkpoint_share = shares.checkpoints;
        self.restart_share = shares.restarts;
        self.lost_share = shares.lost;
        let failures = PerDay::new(terms.failures.get() * self.devices_used as f64);
        self.spare_nodes = spare_nodes(failures, recovery.repair_time, SPARE_CONFIDENCE);
    }

    /// The iteration time over the goodput: what a step takes, failures counted.
    pub fn step_time(&self) -> Seconds {
        Seconds::new(self.prediction.iteration_time_s / self.goodput)
    }
}

/// What a checkpoint holds of what is trained: parameters as computed with, their 32-bit copy, the
/// optimizer's moments. Frozen weights are where they came from ([`frozen_bytes`]).
fn checkpoint_bytes(job: &Job) -> Bytes {
    let state = job.cost().state_bytes(job.workload.model.training.optimizer);
    Bytes::new(
        job.workload.graph.trained_parameters().saturating_mul(state.parameters + state.optimizer),
    )
}

/// Bytes of the parameters that are not trained, as computed with.
fn frozen_bytes(job: &Job) -> Bytes {
    let state = job.cost().state_bytes(job.workload.model.training.optimizer);
    Bytes::new(job.workload.graph.frozen_parameters().saturating_mul(state.parameters))
}
