//! `certificate.json`: what proves that the plan is the best of its space.
//!
//! The certificate lists, for every (t, p, d) of the space, the bound that excluded it or the
//! candidates that it was opened into, each with its bound or with what solving it proved. All
//! times are whole picoseconds. What is certified: no plan of the space is better under this
//! cost model and simulator. Nothing is certified about the hardware.

use crate::lower::Candidate;
use crate::planner::job::Job;
use crate::planner::outcome::SearchOutcome;
use crate::planner::predict::choice::Choice;
use crate::planner::request::Request;
use crate::planner::search::{Found, Verdict};
use crate::planner::space::Space;
use crate::units::SimTime;
use serde_json::{Value, json};

fn candidate(c: &Candidate) -> Value {
    json!([
        c.tensor,
        c.pipeline,
        c.data,
        c.micro_batch,
        c.chunks,
        c.schedule,
        c.sequence_parallel,
        c.sharding
    ])
}

/// The space that the certificate speaks of.
fn space_json(job: &Job, space: &Space, candidates: u64) -> Value {
    json!({
        "devices": space.devices,
        "global_batch_size": space.global_batch,
        "sequence_length": space.sequence_length,
        "num_layers": space.num_layers,
        "tensor_divides": space.tensor_divides,
        "schedules": space.schedules,
        "candidates": candidates,
        "precision": job.workload.model.training.precision,
        "pins": {
            "tensor": space.pins.tensor,
            "pipeline": space.pins.pipeline,
            "data": space.pins.data,
            "micro_batch": space.pins.micro_batch,
            "virtual_stages": space.pins.chunks,
            "schedule": space.pins.schedule,
            "sequence_parallel": space.pins.sequence_parallel,
            "optimizer_sharding": space.pins.sharding,
            "recompute": space.pins.recompute,
        },
    })
}

/// The certificate as JSON, and in sentences.
pub(crate) fn write(
    job: &Job,
    space: &Space,
    request: &Request,
    found: &Found,
    best: &Choice,
    outcome: &SearchOutcome,
) -> (Vec<u8>, Vec<String>) {
    let mut groups = Vec::new();
    let mut bounds = Vec::new();
    let mut solved = Vec::new();
    let mut open = Vec::new();
    for (ways, verdict) in &found.verdicts {
        let row = |c: &Candidate, time: &SimTime| json!([candidate(c), time.picos()]);
        match verdict {
            Verdict::GroupBound(time) => {
                groups.push(json!([ways.tensor, ways.pipeline, ways.data, time.picos()]));
            }
            Verdict::CandidateBound(c, time) => bounds.push(row(c, time)),
            Verdict::Solved(c, time, _) => solved.push(row(c, time)),
            Verdict::Open(c, time) => open.push(row(c, time)),
        }
    }
    let time = found.best.first().map_or(SimTime::ZERO, |solution| solution.time);
    let [groups_len, bounds_len, solved_len] = [groups.len(), bounds.len(), solved.len()];
    let value = json!({
        "schema": "lmplan.certificate/1",
        "lmplan": env!("CARGO_PKG_VERSION"),
        "plan": outcome.plan,
        "objective": request.objective,
        "iteration_time_ps": time.picos(),
        "status": found.status,
        "engine": outcome.search.engine,
        "certifies": "no plan of the space is better under this cost model and simulator",
        "space": space_json(job, space, found.candidates),
        "columns": {
            "excluded_groups": "[tensor, pipeline, data, bound in ps]: no plan of these ways is faster",
            "excluded_candidates": "[[tensor, pipeline, data, micro_batch, virtual_stages, schedule, sequence_parallel, optimizer_sharding], bound in ps]",
            "solved_candidates": "the same, with the time below which solving it proved that there is nothing",
            "open_candidates": "the same, not decided",
        },
        "stages": best.mapping.stages,
        "excluded_groups": groups,
        "excluded_candidates": bounds,
        "solved_candidates": solved,
        "open_candidates": open,
        "programs": outcome.search.programs,
    });
    let mut bytes = serde_json::to_vec(&value).unwrap_or_default();
    bytes.push(b'\n');
    let sentences = vec![
        format!(
            "{groups_len} choices of (t, p, d) are excluded by a bound on what they compute and exchange."
        ),
        format!("{bounds_len} candidates are excluded by a path through their pipeline."),
        format!(
            "{solved_len} candidates are solved exactly, with {} simulations and their critical paths as cuts.",
            found.simulated
        ),
    ];
    (bytes, sentences)
}
