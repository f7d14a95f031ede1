//! A finished review: cells, answers, what they depend on.

use super::answer::{Answers, Objective, Place, ReviewLimits};
use super::cell::{Cell, CellOutcome, Terms};
use super::grid::{Grid, Stop};
use super::sensitivity::{Lever, levers};
use crate::spec::ClusterSpec;
use crate::units::{Seconds, UsDollars};

/// What a report says of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterFacts {
    /// Name without its size.
    pub name: String,
    /// Name of its device.
    pub device: String,
    /// Prices, power, failures, recovery.
    pub terms: Terms,
    /// Devices of each cell.
    pub devices: Vec<u64>,
    /// What came of each.
    pub outcomes: Vec<CellOutcome>,
}

/// What would turn the recommendation, one fact at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Flip {
    /// The price of the recommended cluster at which the best of another costs as much.
    DearerThan(UsDollars, Place),
    /// The price of that other cluster at which it costs as much.
    CheaperThan(UsDollars, Place),
    /// How much longer iterations may take than predicted, as a share, before the deadline is
    /// missed, and what is best then.
    SlowerThan(f64, Option<Place>),
    /// With a deadline under this, another cell is best, or none.
    DeadlineUnder(Seconds, Option<Place>),
    /// With a deadline from this on, another cell is best.
    DeadlineFrom(Seconds, Place),
    /// With a budget under this, another cell is best, or none.
    BudgetUnder(UsDollars, Option<Place>),
}

/// A review.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// The model's name.
    pub model: String,
    /// The software stack's name.
    pub stack: String,
    /// Tokens of the run.
    pub tokens: u64,
    /// Sequences of an optimizer step.
    pub global_batch: u64,
    /// What is recommended is best at this.
    pub objective: Objective,
    /// Deadline and budget.
    pub limits: ReviewLimits,
    /// The clusters with their cells.
    pub clusters: Vec<ClusterFacts>,
    /// The answers.
    pub answers: Answers,
    /// What turns the recommendation.
    pub flips: Vec<Flip>,
    /// Sensitivity of the recommended cell; empty where none is recommended or it was stopped.
    pub levers: Vec<Lever>,
    /// The cluster of the recommended cell, as its file would be.
    pub cluster: Option<ClusterSpec>,
    /// Whether all cells were searched to their end.
    pub complete: bool,
}

impl Review {
    /// Draws the conclusions from the cells, and searches the recommended one again with each of
    /// its assumptions changed.
    pub fn of(
        grid: &Grid,
        outcomes: Vec<Vec<CellOutcome>>,
        objective: Objective,
        limits: ReviewLimits,
        stop: &Stop<'_>,
    ) -> Review {
        let answers = Answers::of(&outcomes, objective, limits);
        let at = |(c, s): Place| outcomes[c][s].cell();
        let recommended = answers.recommended.expected;
        let levers = match recommended.and_then(|place| Some((place, at(place)?))) {
            Some((place, cell)) => levers(grid, place, cell, stop),
            None => Vec::new(),
        };
        let flips = flips(grid, &outcomes, &answers, objective, limits);
        let stopped = |outcome: &CellOutcome| matches!(outcome, CellOutcome::Stopped(_));
        let complete = !outcomes.iter().flatten().any(stopped)
            && (recommended.is_none() || !levers.is_empty());
        let first = &grid.clusters[0];
        Review {
            model: first.job.workload.model.name.clone(),
            stack: first.job.workload.stack.name.clone(),
            tokens: first.terms.tokens,
            global_batch: first.job.workload.model.training.global_batch_size,
            objective,
            limits,
            clusters: grid
                .clusters
                .iter()
                .zip(outcomes)
                .map(|(cluster, outcomes)| ClusterFacts {
                    name: cluster.name.clone(),
                    device: cluster.job.machine.device.name.clone(),
                    terms: cluster.terms.clone(),
                    devices: cluster.sizes.iter().map(|size| size.devices).collect(),
                    outcomes,
                })
                .collect(),
            answers,
            flips,
            levers,
            cluster: recommended.map(|place| cluster_of(grid, place)),
            complete,
        }
    }

    /// The cell at a place, where there is a plan.
    pub fn cell(&self, (c, s): Place) -> Option<&Cell> {
        self.clusters.get(c)?.outcomes.get(s)?.cell()
    }

    /// The recommended cell.
    pub fn recommended(&self) -> Option<(Place, &Cell)> {
        let place = self.answers.recommended.expected?;
        Some((place, self.cell(place)?))
    }

    /// All cells with a plan.
    pub fn cells(&self) -> impl Iterator<Item = (Place, &Cell)> {
        self.clusters.iter().enumerate().flat_map(|(c, cluster)| {
            let cells = cluster.outcomes.iter().enumerate();
            cells.filter_map(move |(s, outcome)| Some(((c, s), outcome.cell()?)))
        })
    }

    /// Cells in all, and those without a plan that fits, and those that were not finished.
    pub fn counts(&self) -> [usize; 3] {
        let all = || self.clusters.iter().flat_map(|cluster| &cluster.outcomes);
        let stopped = |outcome: &&CellOutcome| matches!(outcome, CellOutcome::Stopped(_));
        [
            all().count(),
            all().filter(|outcome| **outcome == CellOutcome::Infeasible).count(),
            all().filter(stopped).count(),
        ]
    }

    /// Efficiency of a cell: useful tokens for each device and second over those of the cluster's
    /// cell that has most of them.
    pub fn efficiency(&self, (c, s): Place) -> Option<f64> {
        let rate = |cell: &Cell| cell.prediction.tokens_per_s * cell.goodput;
        let cluster = self.clusters.get(c)?;
        let per_device = |s: usize| {
            let cell = cluster.outcomes.get(s)?.cell()?;
            Some(rate(cell) / *cluster.devices.get(s)? as f64)
        };
        let best = (0..cluster.devices.len()).filter_map(per_device).fold(0.0, f64::max);
        (best > 0.0).then(|| Some(per_device(s)? / best)).flatten()
    }
}

/// The cluster of a cell.
fn cluster_of(grid: &Grid, (c, s): Place) -> ClusterSpec {
    let cluster = &grid.clusters[c];
    let size = &cluster.sizes[s];
    let name = cluster.sized(size.devices);
    let name = name.rsplit('/').next().unwrap_or(&name).to_owned();
    ClusterSpec { name, nodes: size.nodes.clone(), ..cluster.job.machine.cluster.clone() }
}

fn flips(
    grid: &Grid,
    outcomes: &[Vec<CellOutcome>],
    answers: &Answers,
    objective: Objective,
    limits: ReviewLimits,
) -> Vec<Flip> {
    let at = |(c, s): Place| outcomes[c][s].cell();
    let Some((place, cell)) =
        answers.recommended.expected.and_then(|place| Some((place, at(place)?)))
    else {
        return Vec::new();
    };
    let choose =
        |limits: ReviewLimits| Answers::of(outcomes, objective, limits).recommended.expected;
    let mut flips = Vec::new();
    if objective == Objective::Cost
        && let Some(other) = answers.runner_up[1]
        && let (Some(cost), Some(cost_other)) =
            (cell.cost_usd, at(other).and_then(|cell| cell.cost_usd))
    {
        let price = |c: usize| grid.clusters[c].terms.price.map_or(0.0, UsDollars::get);
        flips.push(Flip::DearerThan(UsDollars::new(price(place.0) * cost_other / cost), other));
        flips.push(Flip::CheaperThan(UsDollars::new(price(other.0) * cost / cost_other), other));
    }
    let days = |days: f64| Seconds::new(days * 86_400.0);
    let below = |limit: f64| limit * (1.0 - 1e-9);
    if let Some(deadline) = limits.deadline {
        let slack = deadline.get() / days(cell.days).get();
        let scaled = ReviewLimits { deadline: Some(deadline / (slack * (1.0 + 1e-9))), ..limits };
        flips.push(Flip::SlowerThan(slack - 1.0, choose(scaled)));
        flips.push(Flip::DeadlineUnder(
            days(cell.days),
            choose(ReviewLimits { deadline: Some(days(below(cell.days))), ..limits }),
        ));
        if let Some(later) =
            choose(ReviewLimits { deadline: None, ..limits }).filter(|p| *p != place)
            && let Some(other) = at(later)
        {
            flips.push(Flip::DeadlineFrom(days(other.days), later));
        }
    }
    if let (Some(_), Some(cost)) = (limits.budget, cell.cost_usd) {
        let budget = Some(UsDollars::new(below(cost)));
        flips.push(Flip::BudgetUnder(
            UsDollars::new(cost),
            choose(ReviewLimits { budget, ..limits }),
        ));
    }
    flips
}
