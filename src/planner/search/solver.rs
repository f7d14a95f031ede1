//! What a solver of candidates is given and what it answers.

use crate::lower::Candidate;
use crate::planner::engine::Engine;
use crate::planner::job::costs::Costs;
use crate::planner::master::column::Column;
use crate::planner::space::Space;
use crate::solver::SolveError;
use crate::units::{Bytes, SimTime};

/// How much is tried to decide a candidate before it is left for later, when the best plan so far
/// may exclude it. Each is tried for all that are left before the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// A few shardings of the layers, a few nodes for each master problem.
    Little,
    /// More of both.
    Some,
    /// All shardings, and as many nodes as it takes for most; what is open then goes to the solver.
    Full,
}

impl Effort {
    /// Nodes of the depth-first search for one master problem.
    pub(super) fn nodes(self) -> u64 {
        match self {
            Effort::Little => 500,
            Effort::Some => 10_000,
            Effort::Full => 200_000,
        }
    }

    /// Shardings of the layers that are tried.
    pub(super) fn shardings(self) -> usize {
        match self {
            Effort::Little => 8,
            Effort::Some => 64,
            Effort::Full => usize::MAX,
        }
    }

    /// Master problems that are solved.
    pub(super) fn masters(self) -> u64 {
        match self {
            Effort::Little => 64,
            Effort::Some => 512,
            Effort::Full => u64::MAX,
        }
    }

    /// What is tried next; nothing after all of it.
    pub(super) fn next(self) -> Option<Effort> {
        match self {
            Effort::Little => Some(Effort::Some),
            Effort::Some => Some(Effort::Full),
            Effort::Full => None,
        }
    }
}

/// The best plan of a candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// The candidate.
    pub candidate: Candidate,
    /// Index of the layers' sharding.
    pub layer: usize,
    /// The choice of each stage.
    pub columns: Vec<Column>,
    /// Simulated time of an iteration.
    pub time: SimTime,
}

impl Solution {
    /// Peak memory of the fullest rank.
    pub fn peak(&self) -> Bytes {
        self.columns.iter().map(|c| c.memory.total()).max().unwrap_or(Bytes::ZERO)
    }
}

/// What came of a candidate.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Solved {
    /// The best plan below the cutoff, if there is one.
    pub best: Option<Solution>,
    /// Some plan fits the memory.
    pub fits: bool,
    /// Master problems solved.
    pub masters: u64,
    /// Plans simulated.
    pub simulated: u64,
    /// Integer programs solved.
    pub programs: u64,
    /// The search was cut off: nothing is proven beyond the bound.
    pub undecided: bool,
    /// Shardings of the layers that were decided all the same.
    pub decided: Vec<usize>,
    /// What a solver failed with, where its answer was needed.
    pub failure: Option<SolveError>,
}

/// Solves candidates of one space.
pub struct Solver<'a> {
    /// The space.
    pub space: &'a Space,
    /// Costs.
    pub costs: &'a dyn Costs,
    /// What solves the master problems.
    pub engine: Engine,
    /// Asked all the while; where it says true, what is being solved is left undecided.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}
