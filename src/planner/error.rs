//! Why there is no answer.

use crate::lower::PlanError;
use crate::planner::infeasible::Infeasibility;
use crate::planner::job::JobError;
use crate::planner::outcome::SearchStatus;
use crate::planner::programs::Disagreement;
use crate::spec::SpecError;
use thiserror::Error;

/// Why lmplan has no answer: what was found, where, and what would do instead.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of a model, a cluster, a device or a stack; with line and column.
    #[error(transparent)]
    Input(#[from] SpecError),
    /// Model and cluster can not be planned together.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A plan that does not suit its job.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No plan fits, or none meets the deadline.
    #[error("{0}")]
    Infeasible(Box<Infeasibility>),
    /// The search and its solver prove different things.
    #[error(transparent)]
    Disagreement(#[from] Disagreement),
    /// Stopped before any plan was found.
    #[error("the search was stopped before any plan was found")]
    Stopped(SearchStatus),
}

impl Error {
    /// Whether what was given is wrong, and the same again will fail again.
    pub const fn is_input(&self) -> bool {
        matches!(self, Error::Input(_) | Error::Job(_) | Error::Plan(_))
    }

    /// Whether it is proven that there is no plan.
    pub const fn is_infeasible(&self) -> bool {
        matches!(self, Error::Infeasible(_))
    }

    /// Whether more time might give a plan.
    pub const fn is_stopped(&self) -> bool {
        matches!(self, Error::Stopped(_))
    }
}
