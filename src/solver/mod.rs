//! Linear programs with integer variables, solved by one of two backends and checked.
//!
//! [`Problem`] is plain data. [`solve()`] refuses what is not a number before a solver sees it, and
//! believes nothing that a solver returns: integrality, bounds, rows and objective are computed
//! again. `microlp` is pure Rust and always there; HiGHS is there with the feature `highs`.

pub mod assignment;
mod backend;
mod check;
mod error;
pub mod problem;
mod solution;
mod solve;

pub use assignment::{AssignmentEdge, AssignmentIlp, AssignmentSolution, Resource};
pub use backend::{Backend, SolverLimits};
pub use error::SolveError;
pub use problem::{Constraint, Problem, Sense, Variable};
pub use solution::{Solution, Status};
pub use solve::solve;
