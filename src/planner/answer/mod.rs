//! The planner's answer: search, simulate, certify as one call.

pub mod certificate;
pub mod found;

use super::Error;
use crate::lower::Candidate;
use crate::planner::engine::Engine;
use crate::planner::infeasible::{Infeasibility, Stop, explain};
use crate::planner::job::Job;
use crate::planner::objective::{Objective, Score};
use crate::planner::outcome::{
    Alternative, CandidatePoint, Program, SearchOutcome, SearchStatus, SearchSummary,
};
use crate::planner::predict::choice::Choice;
use crate::planner::predict::predict;
use crate::planner::programs::{self, Disagreement};
use crate::planner::request::Request;
use crate::planner::search::{Found, Options, Progress, search};
use crate::planner::space::Space;
use crate::sim::Timeline;
use crate::solver::Backend;

/// A search that found a plan.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan and all that is said about it; the wall time is the caller's to add.
    pub outcome: SearchOutcome,
    /// One iteration of the best plan.
    pub timeline: Timeline,
    /// `certificate.json`.
    pub certificate: Vec<u8>,
    /// What the certificate says, in sentences.
    pub certificate_summary: Vec<String>,
}

/// The answer.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A plan.
    Planned(Box<Planned>),
    /// No plan fits, and why.
    Infeasible(Box<Infeasibility>),
    /// Stopped before any plan was found.
    Nothing(SearchStatus),
    /// The search and its solver prove different things.
    Disagreement(Disagreement),
}

impl Answer {
    /// The plan.
    ///
    /// # Errors
    /// Why there is none.
    pub fn planned(self) -> Result<Planned, Error> {
        match self {
            Answer::Planned(planned) => Ok(*planned),
            Answer::Infeasible(why) => Err(Error::Infeasible(why)),
            Answer::Nothing(status) => Err(Error::Stopped(status)),
            Answer::Disagreement(what) => Err(Error::Disagreement(what)),
        }
    }
}

/// Searches for the best plan of `job`. `stop` is asked all the while, and `progress` told
/// between batches of work.
pub fn plan(
    job: &Job,
    request: &Request,
    stop: &(dyn Fn() -> Option<SearchStatus> + Sync),
    progress: &mut dyn FnMut(&Progress),
) -> Answer {
    let space = job.space(request.pins.clone());
    let Request { objective, top, engine, .. } = *request;
    let found = search(&space, job, Options { objective, top, engine, stop, progress });
    if let Some(failure) = found.failure {
        return Answer::Disagreement(failure.into());
    }
    if found.best.is_empty() {
        return match found.status {
            SearchStatus::Infeasible => infeasible(job, &space, request, stop),
            status => Answer::Nothing(status),
        };
    }
    let choices = Choice::of_found(job, &found);
    let (programs, solved) = match solve_again(job, &space, &found, &choices[0], engine, stop) {
        Ok(programs) => programs,
        Err(disagreement) => return Answer::Disagreement(disagreement),
    };
    let names = request.names.each_ref().map(String::as_str);
    let mut predictions = choices.iter().filter_map(|choice| {
        let predicted = predict(job, choice)?;
        Some((choice.plan(job, names), predicted))
    });
    let Some((plan, best)) = predictions.next() else {
        return Answer::Nothing(found.status);
    };
    let alternatives = predictions
        .map(|(plan, predicted)| Alternative { plan, prediction: predicted.prediction })
        .collect();
    let outcome = SearchOutcome {
        schema: "lmplan.search/1".to_owned(),
        plan,
        prediction: best.prediction,
        search: SearchSummary { programs_solved: solved, programs, ..summary(request, &found) },
        alternatives,
        assumptions: assumptions(job, &choices[0]),
        frontier: found.frontier.iter().map(point).collect(),
    };
    let (certificate, certificate_summary) =
        certificate::write(job, &space, request, &found, &choices[0], &outcome);
    let timeline = best.timeline;
    Answer::Planned(Box::new(Planned { outcome, timeline, certificate, certificate_summary }))
}

/// The programs of the plan found, solved, and how many were solved in all.
fn solve_again(
    job: &Job,
    space: &Space,
    found: &Found,
    best: &Choice,
    engine: Engine,
    stop: Stop,
) -> Result<(Vec<Program>, u64), Disagreement> {
    let stopped = || stop().is_some();
    let of_blocks = match engine {
        Engine::Search => 0,
        Engine::Ilp => programs::of_blocks(job, found, &stopped)?,
    };
    let of_plan = programs::of_plan(job, space, &found.best[0], best, &stopped)?;
    let solved = found.programs + of_blocks + of_plan.len() as u64;
    Ok((of_plan, solved))
}

/// Why there is no plan. Whether memory or a deadline is what none meets takes another search.
fn infeasible(job: &Job, space: &Space, request: &Request, stop: Stop) -> Answer {
    let why = explain(job, space, request, stop);
    let memory_alone =
        matches!(request.objective, Objective::Time | Objective::Cost { deadline: None });
    match stop().filter(|_| !memory_alone) {
        Some(status) => Answer::Nothing(status),
        None => Answer::Infeasible(Box::new(why)),
    }
}

fn point(
    (candidate, time, peak): &(Candidate, crate::units::SimTime, crate::units::Bytes),
) -> CandidatePoint {
    CandidatePoint {
        label: candidate.label(),
        iteration_time_s: time.seconds().get(),
        peak_memory_bytes: peak.get(),
    }
}

fn summary(request: &Request, found: &Found) -> SearchSummary {
    let objective = request.objective;
    let (mut bound_s, mut gap) = (0.0, 0.0);
    if let Some(best) = found.best.first() {
        let devices = best.candidate.devices();
        let score = objective.score(best.time, devices);
        let bound = objective_time(objective, found.lower_bound.min(score), devices);
        bound_s = bound.min(best.time.seconds().get());
        gap = if found.lower_bound >= score {
            0.0
        } else {
            (score - found.lower_bound) as f64 / score as f64
        };
    }
    SearchSummary {
        status: found.status,
        candidates: found.candidates,
        solved: found.solved,
        pruned: found.pruned,
        lower_bound_s: bound_s,
        gap,
        wall_time_s: None,
        solver: Backend::best().name().to_owned(),
        engine: request.engine,
        programs_solved: 0,
        programs: Vec::new(),
    }
}

/// The iteration time that a score means on a number of devices, in seconds.
fn objective_time(objective: Objective, score: Score, devices: u64) -> f64 {
    match objective {
        Objective::Time => score as f64 * 1e-12,
        Objective::Cost { .. } => score as f64 * 1e-12 / devices as f64,
        Objective::Devices { .. } => (score & u128::from(u64::MAX)) as f64 * 1e-12,
    }
}

/// What the prediction takes for granted.
pub fn assumptions(job: &Job, choice: &Choice) -> Vec<String> {
    let stack = &job.workload.stack;
    let c = &choice.mapping.candidate;
    let mut list = vec![
        format!(
            "The software stack does what `{}` says: {} attention, {}.",
            stack.name,
            if stack.flash_attention { "fused" } else { "unfused" },
            overlap_words(job, c)
        ),
        format!(
            "Every device meets its power limit at {:.0} % of its matrix peak and clocks lower above, and reaches {:.0} % of its memory bandwidth.",
            job.machine.device.kernels.power_limited_rate * 100.0,
            job.machine.device.kernels.memory_efficiency * 100.0
        ),
        format!(
            "{} are set aside on each device for the runtime and {} for each communicator; {:.0} % of \
             activations and workspace are lost to fragmentation.",
            stack.context_memory,
            stack.communicator_memory,
            stack.fragmentation * 100.0
        ),
        "Ranks fill nodes in order: tensor-parallel innermost, then data, then pipeline."
            .to_owned(),
        "All devices run at the same speed; there are no failures and no data stalls.".to_owned(),
    ];
    if job.workload.model.dropout() != (0.0, 0.0) {
        list.push("Dropout is on, as the model says.".to_owned());
    }
    list.extend(lora_words(job));
    list
}

/// What is taken for granted of adapters.
fn lora_words(job: &Job) -> Vec<String> {
    let Some(lora) = &job.workload.model.training.lora else { return Vec::new() };
    let [trained, frozen] =
        [job.workload.graph.trained_parameters(), job.workload.graph.frozen_parameters()];
    vec![
        format!(
            "LoRA of {}: {trained} parameters are trained; {frozen} are frozen and have neither \
             gradients nor optimizer states.",
            lora.words()
        ),
        "Gradients flow down to the embedding, as in PEFT with recomputation; adapters are split as \
         the layers that they stand beside, and have no dropout."
            .to_owned(),
        "No run with adapters is among the measured runs that the interval comes from.".to_owned(),
    ]
}

fn overlap_words(job: &Job, c: &Candidate) -> String {
    let mut words = Vec::new();
    if c.replicas() > 1 {
        let word = if job.workload.stack.overlap_gradient_reduce { "beside" } else { "after" };
        words.push(format!("gradients are reduced {word} the backward pass"));
    }
    if c.pipeline > 1 {
        let hidden = job.workload.stack.overlap_p2p && c.chunks > 1;
        let word = if hidden { "run beside computation" } else { "are waited for" };
        words.push(format!("pipeline transfers {word}"));
    }
    if c.tensor > 1 {
        words.push("tensor-parallel collectives are waited for".to_owned());
    }
    if words.is_empty() { "nothing is communicated".to_owned() } else { words.join(", ") }
}
