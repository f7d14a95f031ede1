//! A rank's part of a plan against one device, step by step.
//!
//! The ranks run on undisturbed. Before each step one device takes over their parameters, so that
//! what is compared are gradients of the same step at the same point, however long the run is; what
//! the ranks make of their gradients is held against the same sums and the same update in 64 bits.

use super::judge::Judge;
use super::reference::Reference;
use crate::executor::error::{ExecutorError, Result};
use crate::executor::ranks::Compared;
use crate::executor::ranks::fault::{Fault, fail_on_purpose};
use crate::executor::ranks::task::Task;
use crate::executor::run::comm::Ranks;
use crate::executor::run::rank::Rank;
use tch::{Kind, Tensor};

/// What is said where a step has fewer collectives than a fault counts.
pub const NOT_REACHED: &str = "the collective that should go wrong was not reached";

/// Runs the plan and, beside it, the same steps on one device; compares.
pub(crate) fn numerics(task: &Task, number: u64, rank: &mut Rank) -> Result<Compared> {
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
            fail_on_purpose(task.fault.as_ref(), number);
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
