//! Why a plan: what decides its time, what room it has, what each of its choices costs or saves,
//! and what another choice would have given.
//!
//! A *neighbour* changes one choice. Where it changes the ways, all that stands below them is free;
//! where it changes anything else, all other choices are held. Layers of stages and shardings of
//! operators are found anew in both cases, so that a neighbour is the best plan of its kind.

mod diff;
mod neighbours;
mod reasons;

pub use diff::{Amount, Difference, Side, differences, sentences};
pub use neighbours::neighbours;
pub use reasons::reasons;

use crate::lower::Candidate;
use crate::planner::infeasible::closest;
use crate::planner::job::Job;
use crate::planner::predict::choice::Choice;
use crate::planner::predict::predict;
use crate::planner::search::fastest;
use crate::planner::space::Pins;
use crate::sim::Prediction;
use crate::units::Bytes;

/// A plan in question, with its prediction.
#[derive(Debug, Clone, Copy)]
pub struct ExplainInput<'a> {
    /// Its job.
    pub job: &'a Job,
    /// The plan.
    pub choice: &'a Choice,
    /// Its prediction.
    pub prediction: &'a Prediction,
}

/// What became of a plan with some choices fixed.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// There is a plan; this is the fastest.
    Fits {
        /// Its ways, batch, schedule, sharding.
        candidate: Candidate,
        /// Its prediction.
        prediction: Box<Prediction>,
    },
    /// No plan fits the memory; this comes closest.
    Overflows {
        /// Its ways, batch, schedule, sharding.
        candidate: Candidate,
        /// Its fullest stage.
        stage: usize,
        /// What that stage needs.
        needs: Bytes,
        /// What there is.
        room: Bytes,
    },
    /// No combination divides the batch and the model so.
    Nothing,
}

/// A change of one choice and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    /// The choices that change, each with its value before and after.
    pub changes: Vec<Change>,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// One choice, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What is chosen, in the words of a plan.
    pub choice: &'static str,
    /// The plan's.
    pub from: String,
    /// The neighbour's.
    pub to: String,
}

impl Neighbour {
    /// The changes in one line: `tensor 4 -> 8, data 2 -> 1`.
    pub fn label(&self) -> String {
        let change =
            |change: &Change| format!("{} {} -> {}", change.choice, change.from, change.to);
        self.changes.iter().map(change).collect::<Vec<_>>().join(", ")
    }

    /// The share by which it is slower; below zero where it is faster.
    pub fn slower(&self, subject: &ExplainInput<'_>) -> Option<f64> {
        match &self.outcome {
            Outcome::Fits { prediction, .. } => {
                Some(prediction.iteration_time_s / subject.prediction.iteration_time_s - 1.0)
            }
            _ => None,
        }
    }
}

/// The fastest plan of a job with some choices fixed.
pub fn best(job: &Job, pins: Pins) -> Outcome {
    let space = job.space(pins);
    let found = fastest(&space, job, &|| None);
    if let Some(solution) = found.best.first() {
        let choice = Choice::of_solution(job, solution);
        if let Some(predicted) = predict(job, &choice) {
            let prediction = Box::new(predicted.prediction);
            return Outcome::Fits { candidate: choice.mapping.candidate, prediction };
        }
    }
    let room = job.machine.device.memory;
    match closest(job, &space) {
        Some(near) if near.memory.total() > room => Outcome::Overflows {
            candidate: near.candidate,
            stage: near.stage,
            needs: near.memory.total(),
            room,
        },
        _ => Outcome::Nothing,
    }
}
