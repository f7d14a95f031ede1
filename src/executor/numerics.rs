//! The plan's topology against one device: loss and every gradient, over several steps.

use super::error::Result;
use super::narrow::{Narrowed, narrow};
use super::task::{Answer, Mode, Task};
use super::world::World;
use crate::plan::Plan;
use crate::planner::choice::Choice;
use crate::spec::{ModelSpec, Precision, StackSpec};
use serde::Serialize;

/// How far the ranks of a plan are from one device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Numerics {
    /// The ways that were run.
    pub ways: String,
    /// Those of the plan, where fewer ranks were run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reduced_from: Option<String>,
    /// Ranks, each a process.
    pub ranks: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Largest relative error of the loss.
    pub loss_max_error: f64,
    /// Largest relative error of a gradient.
    pub gradient_max_error: f64,
    /// The parameter whose gradient is furthest off.
    pub worst: String,
    /// Parameters compared, over all ranks.
    pub gradients: usize,
    /// Error that is allowed.
    pub tolerance: f64,
    /// Whether all errors are within it.
    pub passed: bool,
}

/// What is allowed: rounding in 32 and in 16 bits.
pub fn tolerance(precision: Precision, double: bool) -> f64 {
    match precision {
        Precision::Fp32 | Precision::Tf32 if double => 1e-9,
        Precision::Fp32 | Precision::Tf32 => 1e-5,
        _ => 2e-2,
    }
}

/// Limits of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Ranks at most.
    pub ranks: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// On GPUs.
    pub cuda: bool,
}

/// The task that compares a plan's topology with one device.
pub fn task(
    model: &ModelSpec,
    stack: &StackSpec,
    plan: &Plan,
    choice: &Choice,
    limits: Limits,
) -> (Task, Option<String>) {
    let Narrowed { model, plan, reduced } = narrow(model, plan, choice, limits.ranks);
    let task = Task {
        mode: Mode::Numerics,
        model,
        plan,
        stack: stack.clone(),
        cuda: limits.cuda,
        double: false,
        steps: limits.steps,
        patience_s: 60.0,
        fault: None,
        nccl: false,
    };
    (task, reduced)
}

/// Runs the task and compares.
///
/// # Errors
/// A rank that fails, dies or hangs.
pub fn run(world: &World, task: &Task, reduced_from: Option<String>) -> Result<Numerics> {
    let answers = world.launch(task)?;
    Ok(summary(task, &answers, reduced_from))
}

fn summary(task: &Task, answers: &[Answer], reduced_from: Option<String>) -> Numerics {
    let p = &task.plan.parallelism;
    let mut loss_max_error: f64 = 0.0;
    for step in 0..task.steps as usize {
        let losses: Vec<(f64, f64)> =
            answers.iter().filter_map(|answer| answer.losses.get(step)).copied().collect();
        let own: f64 = losses.iter().map(|(share, _)| share).sum();
        let expected = losses.last().map_or(0.0, |(_, whole)| *whole);
        let error = (own - expected).abs() / expected.abs();
        loss_max_error = loss_max_error.max(if error.is_nan() { f64::INFINITY } else { error });
    }
    let all = answers.iter().flat_map(|answer| &answer.gradients);
    let worst = all.clone().max_by(|a, b| a.1.total_cmp(&b.1));
    let (worst, gradient_max_error) = worst.cloned().unwrap_or_default();
    let tolerance = tolerance(task.model.training.precision, task.double);
    let compared = all.count();
    Numerics {
        ways: format!("t{} p{} d{} v{}", p.tensor, p.pipeline, p.data, p.virtual_stages),
        reduced_from,
        ranks: answers.len() as u64,
        steps: task.steps,
        loss_max_error,
        gradient_max_error,
        worst,
        gradients: compared,
        tolerance,
        passed: compared > 0 && loss_max_error <= tolerance && gradient_max_error <= tolerance,
    }
}
