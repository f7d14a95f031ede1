//! All cells of a review, on all threads.

use super::cell::{Cell, CellOutcome, Terms};
use crate::planner::job::Job;
use crate::planner::outcome::SearchStatus;
use crate::planner::space::Pins;
use crate::spec::NodeGroupSpec;
use rayon::prelude::*;
use std::sync::Mutex;

/// A number of devices.
#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// Devices.
    pub devices: u64,
    /// The nodes that they stand in.
    pub nodes: Vec<NodeGroupSpec>,
    /// Parts of the plan that are fixed.
    pub pins: Pins,
}

/// A cluster of a review.
#[derive(Debug)]
pub struct GridCluster {
    /// Name in reports, without its size: `a100`.
    pub name: String,
    /// What the size is put behind for the name in plans: `a100x`.
    pub stem: String,
    /// Name and devices as the cluster was given.
    pub given: (String, u64),
    /// The model on the cluster as it was given; cells resize it.
    pub job: Job,
    /// What the run costs and suffers there.
    pub terms: Terms,
    /// The cells, by devices in ascending order.
    pub sizes: Vec<Size>,
}

impl GridCluster {
    /// A cluster of the review, which is named after the one given: `a100x64` is one of the `a100`,
    /// whatever its size.
    pub fn new(given: String, job: Job, terms: Terms, sizes: Vec<Size>) -> GridCluster {
        let devices = job.machine.devices;
        let stem = sizeless(&given, devices);
        let name = stem[..stem.len() - 1].trim_end_matches('-').to_owned();
        GridCluster { name, stem, given: (given, devices), job, terms, sizes }
    }

    /// The cluster's name with a size: `a100x64`, or as it was given where the size is its own.
    pub fn sized(&self, devices: u64) -> String {
        let (given, own) = &self.given;
        if devices == *own { given.clone() } else { format!("{}{devices}", self.stem) }
    }
}

/// A cluster's name up to its size, which follows the `x` at the end: `a100x`. Two clusters of a
/// review differ in it.
pub fn sizeless(given: &str, devices: u64) -> String {
    match given.strip_suffix(&devices.to_string()) {
        Some(stem) if stem.len() > 1 && stem.ends_with('x') => stem.to_owned(),
        _ => format!("{given}-x"),
    }
}

/// What is searched.
#[derive(Debug)]
pub struct Grid {
    /// Model and stack as plans name them.
    pub names: [String; 2],
    /// The clusters.
    pub clusters: Vec<GridCluster>,
}

/// How far a review is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Cells done.
    pub cells: usize,
    /// Cells in all.
    pub of: usize,
    /// Share of the work that is done, as far as it can be foretold.
    pub share: f64,
}

/// What is told between cells, from any thread.
pub(super) type Tell<'a> = dyn Fn(Progress) + Sync + 'a;
/// Asked between batches of work, from any thread.
pub(super) type Stop<'a> = dyn Fn() -> Option<SearchStatus> + Sync + 'a;

impl Grid {
    /// Searches one cell. `of` may differ from the cluster's own job in its costs.
    pub fn search(&self, cluster: usize, size: &Size, of: &Job, stop: &Stop<'_>) -> CellOutcome {
        let grid_cluster = &self.clusters[cluster];
        let job = of.resized(size.nodes.clone(), of.machine.device.memory);
        let [model, stack] = self.names.each_ref().map(String::as_str);
        let name = grid_cluster.sized(size.devices);
        Cell::search(&job, &grid_cluster.terms, &size.pins, [model, &name, stack], stop)
    }

    /// Work of a cell, by which the estimate of what is left is made: pipelines of many
    /// micro-batches take longest to simulate, and few devices have many.
    fn work(&self, cluster: usize, size: &Size) -> f64 {
        let batch = self.clusters[cluster].job.workload.model.training.global_batch_size;
        1.0 + batch as f64 / (3.0 * size.devices as f64)
    }
}

/// Searches all cells; the outcomes stand by cluster, then by size, whatever the threads.
///
/// The largest cell of each cluster comes first: it finds the shardings of the blocks that the
/// other cells share. Once `stop` says so, cells under way and those left end as stopped.
pub fn run(grid: &Grid, stop: &Stop<'_>, tell: &Tell<'_>) -> Vec<Vec<CellOutcome>> {
    let mut places: Vec<(usize, usize)> = Vec::new();
    for (c, cluster) in grid.clusters.iter().enumerate() {
        places.extend((0..cluster.sizes.len()).map(|s| (c, s)));
    }
    let (first, rest): (Vec<_>, Vec<_>) =
        places.iter().partition(|(c, s)| s + 1 == grid.clusters[*c].sizes.len());
    let work = |(c, s): &(usize, usize)| grid.work(*c, &grid.clusters[*c].sizes[*s]);
    let total: f64 = places.iter().map(work).sum();
    let done = Mutex::new((0_usize, 0.0_f64));
    let search = |place: (usize, usize)| {
        let (c, s) = place;
        let cluster = &grid.clusters[c];
        let outcome = match stop() {
            Some(status) => CellOutcome::Stopped(status),
            None => grid.search(c, &cluster.sizes[s], &cluster.job, stop),
        };
        let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        done.0 += 1;
        done.1 += work(&place);
        tell(Progress { cells: done.0, of: places.len(), share: done.1 / total });
        (place, outcome)
    };
    let mut outcomes: Vec<((usize, usize), CellOutcome)> =
        first.into_iter().par_bridge().map(search).collect();
    outcomes.extend(rest.into_iter().par_bridge().map(search).collect::<Vec<_>>());
    outcomes.sort_by_key(|(place, _)| *place);
    let mut by_cluster: Vec<Vec<CellOutcome>> = grid.clusters.iter().map(|_| Vec::new()).collect();
    for ((c, _), outcome) in outcomes {
        by_cluster[c].push(outcome);
    }
    by_cluster
}
