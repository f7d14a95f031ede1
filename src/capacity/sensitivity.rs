//! What the recommended cell becomes where an assumption is off: each lever down and up, with a full
//! search where the plan may change.

use super::answer::Place;
use super::cell::{Cell, CellOutcome, Terms};
use super::grid::{Grid, Size, Stop};
use crate::planner::job::Job;
use crate::spec::{Cluster, ClusterSpec, DeviceSpec, NodeGroup};
use crate::units::{Bytes, PerDay, UsDollars};
use rayon::prelude::*;
use serde::Serialize;

/// An assumption that may be off.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lever {
    /// What.
    pub name: &'static str,
    /// The less, in words: `half`.
    pub less: Change,
    /// The more, in words: `double`.
    pub more: Change,
}

/// The cell with one assumption changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// How it is changed.
    pub to: &'static str,
    /// Length of the run; nothing where no plan fits.
    pub days: Option<f64>,
    /// Money, where a price is known.
    pub cost_usd: Option<f64>,
    /// Whether the best plan is another one.
    pub plan_changes: bool,
}

impl Change {
    fn of(to: &'static str, cell: Option<&Cell>, base: &Cell) -> Change {
        Change {
            to,
            days: cell.map(|cell| cell.days),
            cost_usd: cell.and_then(|cell| cell.cost_usd),
            plan_changes: cell.is_none_or(|cell| cell.plan != base.plan),
        }
    }
}

/// A change of the hardware by a factor.
type Hardware = fn(&mut ClusterSpec, &mut DeviceSpec, f64);
/// A change of the terms by a factor.
type Accounting = fn(&mut Terms, f64);

/// Two factors with their words.
type Factors = [(f64, &'static str); 2];

/// Factors and their words.
const DOUBLE: Factors = [(0.5, "half"), (2.0, "double")];
const QUARTER: Factors = [(0.75, "-25 %"), (1.25, "+25 %")];

fn network(cluster: &mut ClusterSpec, _: &mut DeviceSpec, factor: f64) {
    if let Some(network) = &mut cluster.network {
        network.bandwidth_per_nic = network.bandwidth_per_nic * factor;
    }
}

fn link(_: &mut ClusterSpec, device: &mut DeviceSpec, factor: f64) {
    if let Some(link) = &mut device.link {
        link.bandwidth = link.bandwidth * factor;
        link.pair_bandwidth = link.pair_bandwidth.map(|bandwidth| bandwidth * factor);
    }
}

fn memory(_: &mut ClusterSpec, device: &mut DeviceSpec, factor: f64) {
    device.memory = Bytes::new((device.memory.as_f64() * factor) as u64);
}

fn failures(terms: &mut Terms, factor: f64) {
    terms.failures = PerDay::new(terms.failures.get() * factor);
}

fn storage(terms: &mut Terms, factor: f64) {
    let recovery = &mut terms.recovery;
    recovery.bandwidth_per_node = recovery.bandwidth_per_node * factor;
    recovery.bandwidth = recovery.bandwidth.map(|all| all * factor);
}

fn restart(terms: &mut Terms, factor: f64) {
    terms.recovery.restart_time = terms.recovery.restart_time * factor;
}

fn price(terms: &mut Terms, factor: f64) {
    terms.price = terms.price.map(|price| UsDollars::new(price.get() * factor));
}

/// All levers of the cell at `place`; none where `stop` says so first.
pub(super) fn levers(grid: &Grid, place: Place, cell: &Cell, stop: &Stop<'_>) -> Vec<Lever> {
    let cluster = &grid.clusters[place.0];
    let size = &cluster.sizes[place.1];
    let several = size.nodes.iter().map(|group| group.count).sum::<u64>() > 1;
    let mut hardware: Vec<(&'static str, Hardware, Factors)> = Vec::new();
    if several {
        hardware.push(("network bandwidth", network, DOUBLE));
    }
    if cluster.job.machine.device.link.is_some() {
        hardware.push(("bandwidth within nodes", link, QUARTER));
    }
    hardware.push(("device memory", memory, QUARTER));
    let tasks: Vec<(usize, Hardware, f64)> = hardware
        .iter()
        .enumerate()
        .flat_map(|(i, (_, change, factors))| factors.map(|(factor, _)| (i, *change, factor)))
        .collect();
    let searched: Vec<CellOutcome> = tasks
        .into_par_iter()
        .map(|(_, change, factor)| search_changed(grid, place.0, size, change, factor, stop))
        .collect();
    if searched.iter().any(|outcome| matches!(outcome, CellOutcome::Stopped(_))) {
        return Vec::new();
    }
    let mut levers = vec![prediction(cell)];
    for ((name, _, factors), pair) in hardware.iter().zip(searched.chunks(2)) {
        let change = |i: usize| Change::of(factors[i].1, pair[i].cell(), cell);
        levers.push(Lever { name, less: change(0), more: change(1) });
    }
    let mut accounting: Vec<(&'static str, Accounting, Factors)> = Vec::new();
    if cell.between_failures_s.is_some() {
        accounting.push(("failure rate", failures, DOUBLE));
        accounting.push(("storage bandwidth", storage, DOUBLE));
        accounting.push(("restart time", restart, DOUBLE));
    }
    if cell.cost_usd.is_some() {
        accounting.push(("price", price, QUARTER));
    }
    for (name, change, factors) in accounting {
        let changed = factors.map(|(factor, to)| {
            let mut terms = cluster.terms.clone();
            change(&mut terms, factor);
            let mut other = cell.clone();
            other.account(&terms, size.devices);
            Change::of(to, Some(&other), cell)
        });
        let [less, more] = changed;
        levers.push(Lever { name, less, more });
    }
    levers
}

/// The interval of the prediction itself.
fn prediction(cell: &Cell) -> Lever {
    let change =
        |to, days, cost_usd| Change { to, days: Some(days), cost_usd, plan_changes: false };
    Lever {
        name: "error of the prediction",
        less: change("lower end", cell.days_low, cell.cost_low_usd),
        more: change("upper end", cell.days_high, cell.cost_high_usd),
    }
}

fn search_changed(
    grid: &Grid,
    cluster: usize,
    size: &Size,
    change: Hardware,
    factor: f64,
    stop: &Stop<'_>,
) -> CellOutcome {
    let job = &grid.clusters[cluster].job;
    let (mut spec, mut device) = (job.machine.cluster.clone(), job.machine.device.clone());
    let bandwidths =
        |spec: &ClusterSpec, device: &DeviceSpec| (spec.network.clone(), device.link.clone());
    let before = bandwidths(&spec, &device);
    change(&mut spec, &mut device, factor);
    if bandwidths(&spec, &device) == before {
        // Memory alone: shardings and their times stay.
        let same = job.resized(spec.nodes, device.memory);
        return grid.search(cluster, size, &same, stop);
    }
    let groups =
        spec.nodes.iter().map(|group| NodeGroup { spec: group.clone(), device: device.clone() });
    let groups = groups.collect();
    match Job::new(job.workload.model.clone(), Cluster { spec, groups }, job.workload.stack.clone())
    {
        Ok(job) => grid.search(cluster, size, &job, stop),
        Err(_) => CellOutcome::Infeasible,
    }
}
