//! Which of several failures the others follow from.

use crate::executor::error::ExecutorError;
use serde::{Deserialize, Serialize};

/// Why a rank failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Why.
    pub why: String,
    /// Whether others did not answer it: it may be that they failed first.
    pub follows: bool,
}

impl Failure {
    /// A failure of its own.
    pub(crate) fn own(why: impl Into<String>) -> Failure {
        Failure { why: why.into(), follows: false }
    }

    /// What an error tells.
    pub(crate) fn of(error: &ExecutorError) -> Failure {
        let follows = match error {
            ExecutorError::Torch(error) => error.is_of_group(),
            ExecutorError::Unanswered(_) => true,
            _ => false,
        };
        Failure { why: error.to_string(), follows }
    }

    /// It as the error of a rank.
    pub(crate) fn of_rank(&self, rank: u64) -> ExecutorError {
        let text = format!("rank {rank}: {}", self.why);
        if self.follows { ExecutorError::Unanswered(text) } else { ExecutorError::Rank(text) }
    }
}

/// The failure that the others follow from.
pub(crate) fn first_cause(failures: &[(u64, Failure)]) -> Option<&(u64, Failure)> {
    failures.iter().find(|(_, failure)| !failure.follows).or(failures.first())
}
