//! The results as JSON, as `search --format json` and `simulate --format json` print them.

use super::input::{Origin, ReportInput};
use crate::plan::Plan;
use crate::planner::{Alternative, CandidatePoint, SearchSummary};
use crate::sim::Prediction;
use serde::Serialize;

/// Results of a search, without what differs between two runs.
#[derive(Serialize)]
struct SearchDocument<'a> {
    schema: &'a str,
    plan: &'a Plan,
    prediction: &'a Prediction,
    search: SearchSummary,
    alternatives: &'a [Alternative],
    assumptions: &'a [String],
    frontier: &'a [CandidatePoint],
}

/// Prediction of a given plan.
#[derive(Serialize)]
struct PredictionDocument<'a> {
    schema: &'static str,
    plan: &'a Plan,
    prediction: &'a Prediction,
    assumptions: &'a [String],
}

/// Name of the file.
pub(super) fn file_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Searched => "search.json",
        Origin::Given => "prediction.json",
    }
}

/// The file's content.
pub(super) fn document(input: &ReportInput<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let outcome = input.outcome;
    let mut bytes = match input.origin {
        Origin::Searched => serde_json::to_vec_pretty(&SearchDocument {
            schema: &outcome.schema,
            plan: &outcome.plan,
            prediction: &outcome.prediction,
            search: SearchSummary { wall_time_s: None, ..outcome.search.clone() },
            alternatives: &outcome.alternatives,
            assumptions: &outcome.assumptions,
            frontier: &outcome.frontier,
        })?,
        Origin::Given => serde_json::to_vec_pretty(&PredictionDocument {
            schema: "lmplan.simulate/1",
            plan: &outcome.plan,
            prediction: &outcome.prediction,
            assumptions: &outcome.assumptions,
        })?,
    };
    bytes.push(b'\n');
    Ok(bytes)
}
