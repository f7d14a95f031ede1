//! What a search ends with. Field names are those of the JSON output.

use crate::plan::Plan;
use crate::planner::engine::Engine;
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
    /// What solved the candidates.
    #[serde(default)]
    pub engine: Engine,
    /// Name of the solver of integer programs; empty where none ran.
    pub solver: String,
    /// Integer programs solved on the way to the plan.
    #[serde(default)]
    pub programs_solved: u64,
    /// The plan found, stated as integer programs and solved again.
    #[serde(default)]
    pub programs: Vec<Program>,
}

/// A part of the plan as an integer program, and what a solver says of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// `embedding`, `layer` or `head`: the sharding of that block. `stages`: the layers and
    /// recomputation of all stages.
    pub name: String,
    /// The solver.
    pub solver: String,
    /// How it ended.
    pub status: ProgramStatus,
    /// Variables.
    pub variables: u64,
    /// Rows.
    pub rows: u64,
    /// For a block: bytes that it may keep of a micro-batch on a rank, those of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved_bytes_limit: Option<u64>,
    /// For a block: parameter elements that it may have on a rank, those of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters_limit: Option<u64>,
    /// The least time within the limits, as the solver found it.
    pub objective_ps: Option<u64>,
    /// No time is below this, by the solver's dual bound.
    pub bound_ps: Option<u64>,
    /// The least time within the limits, as the search found it.
    pub search_ps: u64,
    /// Why the solver failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// How a solver ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProgramStatus {
    /// Proven.
    Optimal,
    /// Out of time, without a proof.
    Limit,
    /// Without an answer.
    Failed,
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
