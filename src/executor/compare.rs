//! A rank's part of a plan against one device, step by step.

use super::comm::Ranks;
use super::error::{ExecutorError, Result};
use super::numerics::tolerance;
use super::rank::{Iteration, Rank};
use super::setup;
use super::state::{BlockState, Range};
use super::task::{Answer, Fault, Task};
use super::update::whole_gradients;
use super::worker::fail_on_purpose;
use crate::graph::BlockKind;
use crate::spec::Precision;
use std::collections::BTreeMap;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// Gradients of a parameter that are smaller than this part of the largest of a block are held
/// against that.
const SMALL: f64 = 0.01;

/// What is said where a step has fewer collectives than a fault counts.
pub const NOT_REACHED: &str = "the collective that should go wrong was not reached";

/// What two runs in 16 bits may differ by, in errors of one of them against 32 bits: both round.
const ROUNDING: f64 = 2.0;

type Key = (BlockKind, u64, String, &'static str);

/// One device that runs the same steps, whole.
struct Reference {
    rank: Rank,
    /// In 32 bits, where the plan computes in 16.
    wide: Option<Rank>,
    tolerance: f64,
}

/// A parameter's gradient on one device, and what an error of it is held against.
struct Expected {
    gradient: Tensor,
    scale: f64,
}

impl Reference {
    fn new(task: &Task, device: Device) -> Result<Reference> {
        let plan = task.reference_plan();
        let alone = |task: &Task| -> Result<Rank> {
            let (job, choice) = task.choice(&plan)?;
            setup::alone(&job, &choice, &task.options(device))
        };
        let precision = task.model.training.precision;
        let wide = if matches!(precision, Precision::Bf16Mixed | Precision::Fp16Mixed) {
            let mut wide = task.clone();
            wide.model.training.precision = Precision::Fp32;
            Some(alone(&wide)?)
        } else {
            None
        };
        let tolerance = tolerance(precision, task.double);
        Ok(Reference { rank: alone(task)?, wide, tolerance })
    }

    fn iteration(&mut self) -> Result<Iteration> {
        if let Some(wide) = &mut self.wide {
            wide.iteration()?;
        }
        self.rank.iteration()
    }

    /// All gradients of the step. An error is relative to the root mean square of the gradient, or
    /// to a share of that of the largest of a block, if that is more. In 16 bits a gradient whose
    /// parts cancel is rounding: there an error of [`ROUNDING`] times what one device's own
    /// gradient is off is as much as the tolerance. (Dao et al. 2022 test attention so.)
    fn gradients(&self) -> Result<BTreeMap<Key, Expected>> {
        let mut expected = BTreeMap::new();
        let mut floor: f64 = 0.0;
        for (index, state) in self.rank.blocks.iter().flatten().enumerate() {
            let all = whole_gradients(&self.rank, state)?;
            // Both run the same blocks in the same order.
            let exact = match &self.wide {
                Some(wide) => {
                    let state = wide.blocks.iter().flatten().nth(index);
                    state.map(|state| whole_gradients(wide, state)).transpose()?
                }
                None => None,
            };
            // What vanishes by symmetry is noise on both sides.
            floor = floor.max(SMALL * root_mean_square(&all));
            for range in &state.flat.ranges {
                let part = |all: &Tensor| all.narrow(0, range.start, range.length);
                let own = part(&all);
                let noise = exact.as_ref().map_or(0.0, |all| root_mean_square(&(part(all) - &own)));
                let scale = root_mean_square(&own).max(noise * ROUNDING / self.tolerance);
                let gradient = own.view(range.shape().as_slice()).copy();
                expected.insert(key_of(state, range), Expected { gradient, scale });
            }
        }
        for one in expected.values_mut() {
            one.scale = one.scale.max(floor);
        }
        Ok(expected)
    }
}

/// Runs the plan and, beside it, the same steps on one device; compares.
pub(super) fn numerics(task: &Task, number: u64, rank: &mut Rank) -> Result<Answer> {
    let mut reference = Reference::new(task, rank.env.device)?;
    let mut answer = Answer::default();
    let mut errors: BTreeMap<String, f64> = BTreeMap::new();
    for step in 0..task.steps {
        if step == 1 {
            fail_on_purpose(task, number);
        }
        if let Some(Fault::Collective(_, others)) = task.fault {
            groups(rank).for_each(|ranks| ranks.go_wrong_after(others));
        }
        let start = Instant::now();
        let own = rank.iteration()?;
        answer.iterations_s.push(start.elapsed().as_secs_f64());
        if groups(rank).any(Ranks::awaits_fault) {
            return Err(ExecutorError::Program(NOT_REACHED.to_owned()));
        }
        let whole = reference.iteration()?;
        answer.losses.push((own.loss, whole.loss));
        compare(rank, &reference, &mut errors)?;
        let norm = relative(own.gradient_norm, whole.gradient_norm);
        raise(&mut errors, "norm of all gradients".to_owned(), norm);
    }
    answer.gradients = errors.into_iter().collect();
    Ok(answer)
}

fn relative(value: f64, expected: f64) -> f64 {
    let error = (value - expected).abs() / expected.abs().max(f64::MIN_POSITIVE);
    if error.is_nan() { f64::INFINITY } else { error }
}

fn raise(errors: &mut BTreeMap<String, f64>, name: String, error: f64) {
    let worst = errors.entry(name).or_default();
    *worst = worst.max(error);
}

fn groups(rank: &Rank) -> impl Iterator<Item = &Ranks> {
    [&rank.env.tensor, &rank.groups.data, &rank.groups.tied, &rank.groups.world].into_iter()
}

/// What names a parameter; a shared table is the token embedding's.
fn key_of(state: &BlockState, range: &Range) -> Key {
    if range.parameter.tied {
        return (BlockKind::Embedding, 0, "token".to_owned(), "weight");
    }
    let placed = state.placed;
    (placed.kind, placed.layer, range.operator_name.clone(), range.parameter.name)
}

fn root_mean_square(tensor: &Tensor) -> f64 {
    tensor.to_kind(Kind::Double).square().mean(Kind::Double).double_value(&[]).sqrt()
}

/// Every gradient of this rank against its part of that of one device: root mean squares of the
/// difference and of the parameter's gradient.
fn compare(rank: &Rank, reference: &Reference, errors: &mut BTreeMap<String, f64>) -> Result<()> {
    let expected = reference.gradients()?;
    for state in rank.blocks.iter().flatten() {
        let all = whole_gradients(rank, state)?;
        for range in &state.flat.ranges {
            let placed = state.placed;
            let name = format!(
                "{:?} {}: {}.{}",
                placed.kind, placed.layer, range.operator_name, range.parameter.name
            );
            let Some(Expected { gradient, scale }) = expected.get(&key_of(state, range)) else {
                return Err(ExecutorError::Program(format!("{name} has no counterpart")));
            };
            let part = range.part(gradient, rank.seat.tensor as i64);
            let own = all.narrow(0, range.start, range.length).view(range.shape().as_slice());
            let error = root_mean_square(&(own - part)) / scale;
            raise(errors, name, if error.is_nan() { f64::INFINITY } else { error });
        }
    }
    Ok(())
}
