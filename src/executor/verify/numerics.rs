//! The plan's topology against one device: loss and every gradient, over several steps.

use super::judge::{FACTOR, tolerance};
use super::narrow::{Narrowed, narrow};
use super::reference::unit_roundoff;
use crate::executor::error::Result;
use crate::executor::ranks::Compared;
use crate::executor::ranks::task::{Mode, Task};
use crate::executor::ranks::world::World;
use crate::executor::run::setup::kinds;
use crate::lower::Mapping;
use crate::plan::Plan;
use crate::spec::{ModelSpec, Precision, StackSpec};
use serde::Serialize;

/// How far the ranks of a plan are from one device in 32 bits.
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
    /// Largest relative error of what the ranks sum and update, by their own gradients.
    #[serde(flatten)]
    pub kept: Kept,
    /// Error that is allowed.
    pub tolerance: f64,
    /// Whether all errors are within it.
    pub passed: bool,
}

/// How far they are in the 16 bits that the plan computes in, in errors of one device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Numerics16Bit {
    /// What was run.
    pub precision: &'static str,
    /// What the plan is in, where that is not executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<&'static str>,
    /// Optimizer steps.
    pub steps: u64,
    /// The loss against 64 bits, in errors of one device.
    pub loss_ratio: f64,
    /// The gradient that is furthest off, against 64 bits, in errors of one device.
    pub worst_ratio: f64,
    /// The parameter whose gradient that is.
    pub worst: String,
    /// Parameters compared, over all ranks.
    pub gradients: usize,
    /// Errors of one device that are allowed.
    pub factor: f64,
    /// Relative error that counts as one device's where its own is less: one rounding.
    pub floor: f64,
    /// Largest relative error of what is summed and updated in 32 bits.
    #[serde(flatten)]
    pub kept: Kept,
    /// Error of these that is allowed.
    pub tolerance: f64,
    /// Whether all is within what is allowed.
    pub passed: bool,
}

/// What the ranks make of their gradients, against the same in 64 bits.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Kept {
    /// Largest relative error of gradients as sums of what micro-batches and ranks added, and of
    /// their norm.
    pub sum_max_error: f64,
    /// Where.
    pub sum_worst: String,
    /// Largest relative error of an update.
    pub update_max_error: f64,
    /// Where.
    pub update_worst: String,
}

/// What was found, in the precisions that were run.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// In 32 bits.
    pub in_32_bits: Option<Numerics>,
    /// In 16 bits.
    pub in_16_bits: Option<Numerics16Bit>,
}

impl Found {
    /// Whether something was compared, and all was within what is allowed.
    pub fn passed(&self) -> bool {
        let passed = [
            self.in_32_bits.as_ref().map(|found| found.passed),
            self.in_16_bits.as_ref().map(|found| found.passed),
        ];
        passed.iter().flatten().count() > 0 && passed.into_iter().flatten().all(|passed| passed)
    }
}

/// How far a numerical comparison goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumericsLimits {
    /// Ranks at most.
    pub ranks: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// On GPUs.
    pub cuda: bool,
}

/// What numerics of a plan are run in: 32 bits always; besides, the 16 bits of its own. Products in
/// FP8 are not executed; what surrounds them is in bfloat16.
fn precisions(precision: Precision) -> Vec<Precision> {
    match precision {
        Precision::Fp32 | Precision::Tf32 => vec![Precision::Fp32],
        Precision::Fp16Mixed => vec![Precision::Fp32, Precision::Fp16Mixed],
        Precision::Bf16Mixed | Precision::Fp8 => vec![Precision::Fp32, Precision::Bf16Mixed],
    }
}

/// The task that compares a plan's topology with one device.
pub fn task(
    model: &ModelSpec,
    stack: &StackSpec,
    plan: &Plan,
    mapping: &Mapping,
    limits: NumericsLimits,
) -> (Task, Option<String>) {
    let Narrowed { model, plan, reduced } = narrow(model, plan, mapping, limits.ranks);
    let precisions = precisions(model.training.precision);
    let task = Task {
        mode: Mode::Numerics,
        model,
        plan,
        stack: stack.clone(),
        cuda: limits.cuda,
        double: false,
        steps: limits.steps,
        patience_s: 60.0,
        seed: 0,
        precisions,
        fault: None,
        nccl: false,
    };
    (task, reduced)
}

/// Runs the task and compares.
///
/// # Errors
/// A rank that fails, dies or hangs.
pub fn run(world: &World, task: &Task, reduced_from: Option<String>) -> Result<Found> {
    let answers = world.launch(task)?;
    let mut found = Found { in_32_bits: None, in_16_bits: None };
    for (index, one) in task.by_precision().iter().enumerate() {
        let compared: Vec<&Compared> =
            answers.iter().filter_map(|answer| answer.compared.get(index)).collect();
        if is_16_bit(one.model.training.precision) {
            found.in_16_bits = Some(in_16_bits(task, one, &compared)?);
        } else {
            found.in_32_bits = Some(in_32_bits(one, &compared, reduced_from.clone()));
        }
    }
    Ok(found)
}

const fn is_16_bit(precision: Precision) -> bool {
    matches!(precision, Precision::Fp16Mixed | Precision::Bf16Mixed)
}

/// By step: the loss of the ranks, of one device, and that in 64 bits.
fn losses(compared: &[&Compared]) -> Vec<[f64; 3]> {
    let Some(last) = compared.last() else { return Vec::new() };
    let with_own = |(step, [_, one, exact]): (usize, &[f64; 3])| {
        let shares = compared.iter().filter_map(|of| of.losses.get(step));
        [shares.map(|[share, ..]| share).sum(), *one, *exact]
    };
    last.losses.iter().enumerate().map(with_own).collect()
}

/// The largest of all errors, with its name.
fn worst<'a>(all: impl Iterator<Item = &'a (String, f64)>) -> (String, f64) {
    all.max_by(|a, b| a.1.total_cmp(&b.1)).cloned().unwrap_or_default()
}

impl Kept {
    fn of(compared: &[&Compared]) -> Kept {
        let (sum_worst, sum_max_error) = worst(compared.iter().flat_map(|of| &of.sums));
        let (update_worst, update_max_error) = worst(compared.iter().flat_map(|of| &of.updates));
        Kept { sum_max_error, sum_worst, update_max_error, update_worst }
    }

    fn within(&self, tolerance: f64) -> bool {
        self.sum_max_error <= tolerance && self.update_max_error <= tolerance
    }
}

fn in_32_bits(task: &Task, compared: &[&Compared], reduced_from: Option<String>) -> Numerics {
    let p = &task.plan.parallelism;
    let tolerance = tolerance(task.double);
    let mut loss_max_error: f64 = 0.0;
    for [own, one, exact] in losses(compared) {
        let allowed = (tolerance * exact.abs()).max(FACTOR * (one - exact).abs());
        let error = tolerance * (own - exact).abs() / allowed;
        loss_max_error = loss_max_error.max(if error.is_nan() { f64::MAX } else { error });
    }
    let all = compared.iter().flat_map(|of| &of.gradients);
    let (worst, gradient_max_error) = worst(all.clone());
    let (gradients, kept) = (all.count(), Kept::of(compared));
    let passed = gradients > 0
        && loss_max_error <= tolerance
        && gradient_max_error <= tolerance
        && kept.within(tolerance);
    Numerics {
        ways: format!("t{} p{} d{} v{}", p.tensor, p.pipeline, p.data, p.virtual_stages),
        reduced_from,
        ranks: task.plan.devices(),
        steps: task.steps,
        loss_max_error,
        gradient_max_error,
        worst,
        gradients,
        kept,
        tolerance,
        passed,
    }
}

/// As [`in_32_bits`], of what `task` asks for in the precision of `one`.
fn in_16_bits(task: &Task, one: &Task, compared: &[&Compared]) -> Result<Numerics16Bit> {
    let precision = one.model.training.precision;
    let floor = unit_roundoff(kinds(precision, false)?.0);
    let (mut error, mut noise, mut scale) = (0.0, 0.0, 0.0);
    for [own, one, exact] in losses(compared) {
        error += (own - exact).powi(2);
        noise += (one - exact).powi(2);
        scale += (floor * exact).powi(2);
    }
    let ratio = (error / f64::max(noise, scale)).sqrt();
    let loss_ratio = if ratio.is_finite() { ratio } else { f64::MAX };
    let all = compared.iter().flat_map(|of| &of.gradients);
    let (worst, worst_ratio) = worst(all.clone());
    let (gradients, kept, tolerance) = (all.count(), Kept::of(compared), tolerance(false));
    let passed =
        gradients > 0 && loss_ratio <= FACTOR && worst_ratio <= FACTOR && kept.within(tolerance);
    let given = task.model.training.precision;
    Ok(Numerics16Bit {
        precision: precision.name(),
        instead_of: (given != precision && given.is_mixed()).then(|| given.name()),
        steps: task.steps,
        loss_ratio,
        worst_ratio,
        worst,
        gradients,
        factor: FACTOR,
        floor,
        kept,
        tolerance,
        passed,
    })
}
