//! What a search keeps in its queue.

use crate::lower::Candidate;
use crate::planner::objective::Score;
use crate::planner::space::Ways;
use crate::units::SimTime;

/// What is left to decide: a group of candidates or one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    /// With a bound of computation alone.
    Group(Ways),
    /// To be opened.
    Bounded(Ways),
    /// With a bound of single paths.
    Candidate(Candidate),
    /// To be solved.
    Refined(Candidate),
}

impl Node {
    /// Its (t, p, d).
    pub(super) fn ways(&self) -> Ways {
        match self {
            Node::Group(ways) | Node::Bounded(ways) => *ways,
            Node::Candidate(candidate) | Node::Refined(candidate) => ways_of(candidate),
        }
    }
}

/// A node taken from the queue.
pub(super) struct Taken {
    pub(super) score: Score,
    pub(super) node: Node,
    pub(super) bound: SimTime,
    /// The time from which on its plans are not wanted.
    pub(super) cutoff: SimTime,
    /// Shardings of a candidate's layers in which nothing is below the cutoff.
    pub(super) decided: Vec<usize>,
}

/// (t, p, d) of a candidate.
pub(super) fn ways_of(candidate: &Candidate) -> Ways {
    Ways { tensor: candidate.tensor, pipeline: candidate.pipeline, data: candidate.data }
}

/// Devices of (t, p, d).
pub(super) fn devices(ways: &Ways) -> u64 {
    ways.tensor * ways.pipeline * ways.data
}
