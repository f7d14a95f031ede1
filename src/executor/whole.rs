//! The whole plan on as many ranks as it names, timed.

use super::error::{ExecutorError, Result};
use super::launch::launch;
use super::measure::{self, Timed, median, spread};
use super::rank::Seat;
use super::report::{ClassTimes, Compared, Timing};
use super::task::{Answer, Mode, Task};
use crate::plan::Plan;
use crate::planner::choice::Choice;
use crate::planner::costs::Costs;
use crate::planner::job::Job;
use crate::planner::predict::predict;
use crate::units::Bytes;
use std::collections::BTreeMap;
use std::path::Path;

/// What a run took.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// Times.
    pub timing: Timing,
    /// Peak of the tensors of the fullest rank.
    pub memory: Compared,
}

/// Runs a plan and holds its times and memory against their predictions.
///
/// # Errors
/// A rank that fails, dies or hangs; a plan that can not be predicted.
pub fn run(
    program: &Path,
    job: &Job,
    plan: &Plan,
    choice: &Choice,
    device_file: &str,
    (cuda, repeats): (bool, u64),
) -> Result<Whole> {
    let predicted = predict(job, choice)
        .ok_or_else(|| ExecutorError::Program("the plan's schedule can not be run".into()))?;
    let expected = predicted.time.seconds().get();
    let task = Task {
        mode: Mode::Whole,
        model: job.model.clone(),
        plan: plan.clone(),
        stack: job.stack.clone(),
        cuda,
        double: false,
        steps: repeats + 1,
        patience_s: (20.0 * expected).clamp(60.0, 600.0),
        fault: None,
    };
    let answers = launch(program, &task)?;
    let iterations = iterations(&answers);
    let classes = classes(job, choice, &answers)?;
    let peak = answers.iter().map(|answer| answer.peak_bytes).max().unwrap_or(0);
    Ok(Whole {
        timing: Timing {
            mode: "whole",
            device_file: device_file.to_owned(),
            iteration: Compared::new(expected, median(&iterations)),
            spread: spread(&iterations),
            by_op_class: classes,
            worst: Vec::new(),
        },
        memory: Compared::new(predicted_peak(job, choice)?.as_f64(), peak as f64),
    })
}

/// Iterations last until the last rank is done; the first does not count.
fn iterations(answers: &[Answer]) -> Vec<f64> {
    let steps = answers.iter().map(|answer| answer.iterations_s.len()).min().unwrap_or(0);
    let slowest = |step: usize| answers.iter().map(|a| a.iterations_s[step]).fold(0.0, f64::max);
    (1..steps).map(slowest).collect()
}

/// Times by class over all stages, each by one of its ranks, of one iteration.
fn classes(job: &Job, choice: &Choice, answers: &[Answer]) -> Result<Vec<ClassTimes>> {
    let c = &choice.candidate;
    let prices = job.prices(c);
    let mut sums: BTreeMap<String, (f64, f64, Vec<f64>, usize)> = BTreeMap::new();
    for (number, answer) in (0u64..).zip(answers) {
        let seat = Seat::of(number, c.tensor, c.data);
        if seat.tensor > 0 || seat.data > 0 {
            continue;
        }
        let program = choice
            .program(job, seat.stage)
            .map_err(|error| ExecutorError::Program(error.to_string()))?;
        let steps = answer.iterations_s.len().saturating_sub(1).max(1) as f64;
        let runs = |timed: &Timed| timed.seconds.len() as f64 / steps;
        let [by_class, _] = measure::compare(&answer.times, &program, prices.as_ref(), &runs);
        for row in by_class {
            let sum = sums.entry(row.name).or_default();
            sum.0 += row.times.predicted;
            sum.1 += row.times.measured;
            sum.2.push(row.spread);
            sum.3 += row.instructions;
        }
    }
    let row =
        |(name, (predicted, measured, spreads, instructions)): (String, (_, _, Vec<f64>, _))| {
            ClassTimes {
                name,
                times: Compared::new(predicted, measured),
                spread: median(&spreads),
                instructions,
            }
        };
    let mut rows: Vec<ClassTimes> = sums.into_iter().map(row).collect();
    rows.sort_by(|a, b| b.times.measured.total_cmp(&a.times.measured));
    Ok(rows)
}

/// The predicted peak without what tensors do not take: runtime, communicators, fragmentation.
fn predicted_peak(job: &Job, choice: &Choice) -> Result<Bytes> {
    let mut model = job.memory(&choice.candidate);
    (model.fixed, model.fragmentation) = (Bytes::ZERO, 0.0);
    let predicted = crate::planner::predict::stage_memory(job, choice, &model);
    predicted
        .into_iter()
        .map(|memory| memory.total())
        .max()
        .ok_or_else(|| ExecutorError::Program("a plan without stages".to_owned()))
}
