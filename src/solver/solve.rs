//! A problem to a backend, and its answer through the check.

use super::backend::{self, Backend, Raw, SolverLimits};
use super::check;
use super::error::SolveError;
use super::problem::Problem;
use super::solution::{Solution, Status};

/// Solves a problem.
///
/// # Errors
/// A problem that is malformed, a backend that is not built in, a solver that fails or returns a
/// point that is not a solution. Infeasible, unbounded and stopped problems are not errors.
pub fn solve(
    problem: &Problem,
    backend: Backend,
    limits: &SolverLimits,
) -> Result<Solution, SolveError> {
    problem.validate().map_err(SolveError::Malformed)?;
    let mut raw = backend::run(problem, backend, limits);
    for step in STEPS {
        let doubtful = match &raw {
            Err(SolveError::Failed { .. }) => true,
            Ok(Raw { status: Status::Infeasible, .. }) if step == STEPS[0] => {
                backend == Backend::Microlp && !problem.is_trivially_infeasible()
            }
            _ => false,
        };
        if !doubtful {
            break;
        }
        raw = reordered(problem, step, backend, limits);
    }
    check::checked(problem, backend, raw?)
}

/// Steps by which variables and rows are gone through where an answer is doubtful. microlp 0.6 meets
/// bases that it can not factor ("singular matrix") and has called feasible programs infeasible: on
/// another path it seldom does, so that is asked before it is believed.
const STEPS: [usize; 6] = [1_000_003, 7_919, 104_729, 15_485_863, 611_953, 32_452_843];

/// Solves a problem with its variables and rows in another order.
fn reordered(
    problem: &Problem,
    step: usize,
    backend: Backend,
    limits: &SolverLimits,
) -> Result<Raw, SolveError> {
    // Every `step`-th, around: all of them, where the step, a prime, does not divide their number.
    let order = |len: usize| -> Vec<usize> {
        let step = if len.is_multiple_of(step) { len.saturating_sub(1) } else { step };
        (0..len).map(|i| (i + 1) * step % len).collect()
    };
    let variables = order(problem.variables.len());
    let mut raw =
        backend::run(&problem.reordered(&variables, &order(problem.rows.len())), backend, limits)?;
    if let Some(values) = &mut raw.values {
        let mut own = vec![0.0; values.len()];
        variables.iter().zip(values.iter()).for_each(|(old, value)| own[*old] = *value);
        *values = own;
    }
    Ok(raw)
}
