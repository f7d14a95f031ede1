//! What a search ends with. Field names are those of the JSON output.

use crate::plan::Plan;
use crate::sim::Prediction;
use serde::{Deserialize, Serialize};

/// The result of a search that found a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchOutcome {
    /// Always `lmplan.search/1`.
    pub schema: String,
    /// The best plan.
    pub plan: Plan,
    /// Its prediction.
    pub prediction: Prediction,
    /// How the search went.
    pub search: SearchSummary,
    /// The next best plans, best first.
    pub alternatives: Vec<Alternative>,
    /// What was assumed, in sentences.
    pub assumptions: Vec<String>,
    /// Best plan of each candidate that was simulated, for the frontier chart.
    pub frontier: Vec<CandidatePoint>,
}

/// How a search went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchSummary {
    /// How it ended.
    pub status: SearchStatus,
    /// Candidates of the space: all combinations that divide as model and batch demand.
    pub candidates: u64,
    /// Candidates whose best stages were solved for.
    pub solved: u64,
    /// Candidates excluded by a bound.
    pub pruned: u64,
    /// No plan of the space is faster than this.
    pub lower_bound_s: f64,
    /// (time of the plan - lower bound) / time of the plan.
    pub gap: f64,
    /// Duration of the search; nothing in written files, which are the same for the same input.
    pub wall_time_s: Option<f64>,
    /// Name of the ILP solver.
    pub solver: String,
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SearchStatus {
    /// The plan is proven best of its space.
    Optimal,
    /// A limit stopped the search.
    Limit,
    /// The user stopped the search.
    Interrupted,
    /// No plan fits.
    Infeasible,
}

/// A plan that came behind the best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// The plan.
    pub plan: Plan,
    /// Its prediction.
    pub prediction: Prediction,
}

/// A candidate in the plane of time and memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CandidatePoint {
    /// In short: `t8 p8 d1 b1 v1`.
    pub label: String,
    /// Predicted iteration time.
    pub iteration_time_s: f64,
    /// Predicted peak.
    pub peak_memory_bytes: u64,
}
