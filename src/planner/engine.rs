//! What proves that a candidate has no better plan.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The method that solves candidates for their stages. Both are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Branch and bound over the columns of stages; what it leaves open goes to the solver.
    #[default]
    Search,
    /// The integer program of every candidate, in the solver.
    Ilp,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Search => "search",
            Engine::Ilp => "ilp",
        })
    }
}
