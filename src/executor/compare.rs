//! A rank's part of a plan against one device, step by step.
//!
//! The ranks run on undisturbed. Before each step one device takes over their parameters, so that
//! what is compared are gradients of the same step at the same point, however long the run is; what
//! the ranks make of their gradients is held against the same sums and the same update in 64 bits.

use super::comm::Ranks;
use super::error::{ExecutorError, Result};
use super::judge::Judge;
use super::rank::Rank;
use super::reference::Reference;
use super::task::{Fault, Task};
use super::worker::fail_on_purpose;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// What is said where a step has fewer collectives than a fault counts.
pub const NOT_REACHED: &str = "the collective that should go wrong was not reached";

/// How far a rank is from one device.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Compared {
    /// By step: this rank's share of the loss; the loss of one device, and that in 64 bits.
    pub losses: Vec<[f64; 3]>,
    /// By parameter: how far gradients are off, in 32 bits relative, in 16 in errors of one device.
    pub gradients: Vec<(String, f64)>,
    /// By what is held against the same sum in 64 bits: relative error.
    pub sums: Vec<(String, f64)>,
    /// By parameter: relative error of its update.
    pub updates: Vec<(String, f64)>,
}

/// Runs the plan and, beside it, the same steps on one device; compares.
pub(super) fn numerics(task: &Task, number: u64, rank: &mut Rank) -> Result<Compared> {
    let mut reference = Reference::new(task, number, rank)?;
    rank.env.keeps_gradients = true;
    for state in rank.blocks.iter_mut().flatten() {
        let options = (Kind::Double, state.gradients.device());
        state.sums = Some(Tensor::zeros([state.flat.elements], options));
    }
    let mut before = reference.layout.gather(rank)?;
    let mut judge = Judge::new(rank.env.kind, &reference.layout, &before.master);
    for step in 0..task.steps {
        if step == 1 {
            fail_on_purpose(task, number);
        }
        reference.choose_scale(rank, &before)?;
        if let Some(Fault::Collective(_, others)) = task.fault {
            groups(rank).for_each(|ranks| ranks.go_wrong_after(others));
        }
        let own = rank.iteration()?;
        if groups(rank).any(Ranks::awaits_fault) {
            return Err(ExecutorError::Program(NOT_REACHED.to_owned()));
        }
        let one = reference.step(rank, &before)?;
        let after = reference.layout.gather(rank)?;
        judge.step(rank, &own, &one, &after, &reference.layout)?;
        let expected = reference.updated(rank, &before, &after.gradients, own.gradient_norm)?;
        judge.updates(rank, (&before, &after), &expected, &reference.layout)?;
        before = after;
    }
    Ok(judge.compared())
}

fn groups(rank: &Rank) -> impl Iterator<Item = &Ranks> {
    [&rank.env.tensor, &rank.groups.data, &rank.groups.tied, &rank.groups.world].into_iter()
}
