//! What a search tells on its way and at its end.

use super::solver::Solution;
use crate::lower::Candidate;
use crate::planner::objective::Score;
use crate::planner::outcome::SearchStatus;
use crate::planner::space::Ways;
use crate::solver::SolveError;
use crate::units::{Bytes, SimTime};

/// How far a search is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Candidates of the space.
    pub candidates: u64,
    /// Candidates solved.
    pub solved: u64,
    /// Time of the best plan so far.
    pub best: Option<SimTime>,
    /// Least bound of what is left, as a share of the best score.
    pub closed: f64,
}

/// How a group of candidates was decided; together they cover the space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All candidates of the group have at least this bound.
    GroupBound(SimTime),
    /// One candidate has at least this bound.
    CandidateBound(Candidate, SimTime),
    /// One candidate was solved: nothing in it is faster than this, and the flag says whether a
    /// plan fits at all.
    Solved(Candidate, SimTime, bool),
    /// One candidate was not decided beyond this bound.
    Open(Candidate, SimTime),
}

/// The result of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// How it ended.
    pub status: SearchStatus,
    /// Best plans, best first, one for each (t, p, d).
    pub best: Vec<Solution>,
    /// Candidates of the space.
    pub candidates: u64,
    /// Candidates solved exactly.
    pub solved: u64,
    /// Candidates excluded by a bound.
    pub pruned: u64,
    /// No plan has a better score.
    pub lower_bound: Score,
    /// How each group was decided.
    pub verdicts: Vec<(Ways, Verdict)>,
    /// Time and memory of the best plan of each candidate that gave one.
    pub frontier: Vec<(Candidate, SimTime, Bytes)>,
    /// Plans simulated.
    pub simulated: u64,
    /// Integer programs solved.
    pub programs: u64,
    /// What a solver failed with where its answer was needed; the search ends there.
    pub failure: Option<SolveError>,
}
