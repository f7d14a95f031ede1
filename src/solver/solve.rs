//! A problem to a backend, and its answer through the check.

use super::backend::{self, Backend, SolverLimits};
use super::check;
use super::error::SolveError;
use super::problem::Problem;
use super::solution::Solution;

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
    let raw = backend::run(problem, backend, limits)?;
    check::checked(problem, backend, raw)
}
