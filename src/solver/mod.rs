//! Linear programs with integer variables, solved by one of two backends and checked.
//!
//! [`Problem`] is plain data. [`solve`] refuses what is not a number before a solver sees it, and
//! believes nothing that a solver returns: integrality, bounds, rows and objective are computed
//! again. `microlp` is pure Rust and always there; HiGHS is there with the feature `highs`.

pub mod assignment;
mod backend;
mod check;
pub mod problem;

pub use assignment::{AssignmentEdge, AssignmentIlp, AssignmentSolution, Resource};
pub use backend::{Backend, SolverLimits};
pub use problem::{Constraint, Problem, Sense, Variable};

use thiserror::Error;

/// How a solution stands to the problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Proven best.
    Optimal,
    /// A limit stopped the search; the values, if any, are feasible and no more.
    Limit,
    /// There is no feasible point.
    Infeasible,
    /// The objective falls without end.
    Unbounded,
}

/// What a solver found, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// How it stands to the problem.
    pub status: Status,
    /// Objective of the values, computed from them; infinite without values.
    pub objective: f64,
    /// No feasible point is below this, as far as the solver has proven.
    pub bound: f64,
    /// (objective - bound) / |objective|; zero when optimal, infinite without values.
    pub gap: f64,
    /// Values of the variables, integer ones exactly so; empty where there are none.
    pub values: Vec<f64>,
}

/// Why there is no solution to believe.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SolveError {
    /// The problem is not one.
    #[error("the problem is malformed: {0}")]
    Malformed(String),
    /// The backend is not part of this build.
    #[error("this build is without HiGHS: build with the feature `highs`, or use microlp")]
    Unavailable,
    /// The solver gave up.
    #[error("{solver} failed: {message}")]
    Failed {
        /// Its name.
        solver: &'static str,
        /// What it said.
        message: String,
    },
    /// The solver returned a point that is not a solution.
    #[error("{solver} returned a point that is not a solution: {what}")]
    Wrong {
        /// Its name.
        solver: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A limit stopped the solver before its proof.
    #[error("a limit stopped the solver before its proof")]
    NotProven,
}

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
