//! Why there is no solution to believe.

use thiserror::Error;

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
