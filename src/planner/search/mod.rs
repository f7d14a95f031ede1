//! Best-first search over all candidates, with a proof.
//!
//! A queue holds groups of candidates, then candidates, each with a lower bound on its score. The
//! least is taken first. A bound that was cheap to find is made better first (computation alone, then
//! what replicas exchange; single paths, then what memory forces), and the node goes back into the
//! queue. Then a group is opened into its candidates, a candidate is solved exactly (`solve`). What a
//! little effort does not decide waits until the queue is done: by then a better plan may exclude it. When the least bound is not below the score of the best plan,
//! no plan of the space is better, and the search ends.
//!
//! Work is done in batches whose size and content do not depend on threads, so neither does the
//! result.

mod found;
mod node;
mod priced;
mod refine;
mod solve;
pub mod solver;
mod winner;
mod worker;

pub use found::{Found, Progress, Verdict};

use crate::lower::Candidate;
use crate::planner::engine::Engine;
use crate::planner::job::costs::Costs;
use crate::planner::objective::{Objective, Score};
use crate::planner::outcome::SearchStatus;
use crate::planner::search::node::{Node, Taken, devices, ways_of};
use crate::planner::search::solver::{Effort, Solution, Solved, Solver};
use crate::planner::search::worker::{Worked, Worker};
use crate::planner::space::{Space, Ways};
use crate::units::SimTime;
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Largest batch of nodes that are worked on at once.
const BATCH: usize = 64;

/// Most candidates of a batch that are solved: each may spare the next ones their work.
const SOLVED_AT_ONCE: usize = 8;

/// What the caller wants of a search.
pub struct Options<'a> {
    /// What is minimised.
    pub objective: Objective,
    /// Plans wanted: the best of each of the best (t, p, d).
    pub top: usize,
    /// What solves candidates.
    pub engine: Engine,
    /// Asked all the while, from any thread; where it says why, the search stops.
    pub stop: &'a (dyn Fn() -> Option<SearchStatus> + Sync),
    /// Told between batches.
    pub progress: &'a mut dyn FnMut(&Progress),
}

/// A search under way.
struct Search<'a, 'b> {
    worker: Worker<'a>,
    options: Options<'b>,
    queue: BinaryHeap<Reverse<(Score, Node, SimTime)>>,
    /// What candidates are solved with.
    effort: Effort,
    /// Candidates that this effort did not decide.
    later: Vec<(Score, Node, SimTime)>,
    /// Shardings of their layers that were decided.
    decided: BTreeMap<Candidate, Vec<usize>>,
    best: BTreeMap<Ways, (Score, Solution)>,
    found: Found,
}

/// Searches `space` for the fastest plan.
pub fn fastest(
    space: &Space,
    costs: &dyn Costs,
    stop: &(dyn Fn() -> Option<SearchStatus> + Sync),
) -> Found {
    let (objective, engine) = (Objective::Time, Engine::Search);
    search(space, costs, Options { objective, top: 1, engine, stop, progress: &mut |_| {} })
}

/// Searches `space` for the best plans.
pub fn search(space: &Space, costs: &dyn Costs, options: Options<'_>) -> Found {
    let stop = options.stop;
    let stopped = move || stop().is_some();
    let engine = options.engine;
    let solver = Solver { space, costs, engine, stop: &stopped };
    let mut search = Search {
        worker: Worker::new(solver),
        options,
        queue: BinaryHeap::new(),
        effort: match engine {
            Engine::Search => Effort::Little,
            Engine::Ilp => Effort::Full,
        },
        later: Vec::new(),
        decided: BTreeMap::new(),
        best: BTreeMap::new(),
        found: Found {
            status: SearchStatus::Optimal,
            best: Vec::new(),
            candidates: 0,
            solved: 0,
            pruned: 0,
            lower_bound: Score::MAX,
            verdicts: Vec::new(),
            frontier: Vec::new(),
            simulated: 0,
            programs: 0,
            failure: None,
        },
    };
    search.fill();
    search.run();
    search.finish()
}

impl Search<'_, '_> {
    /// Puts all groups into the queue.
    fn fill(&mut self) {
        let space = self.worker.solver.space;
        for ways in space.ways() {
            let count = space.count(ways);
            if count == 0 {
                continue;
            }
            self.found.candidates += count;
            let bound = self.worker.computation(ways);
            let score = self.options.objective.score(bound, devices(&ways));
            self.queue.push(Reverse((score, Node::Group(ways), bound)));
        }
    }

    fn run(&mut self) {
        let mut batch = 1;
        loop {
            let threshold = self.threshold();
            if self.found.failure.is_some() {
                return;
            }
            if let Some(status) = (self.options.stop)() {
                self.take_up();
                if self.queue.peek().is_some_and(|Reverse((score, ..))| *score < threshold) {
                    self.found.status = status;
                }
                return;
            }
            let nodes = self.batch(batch, threshold);
            if nodes.is_empty() {
                let Some(effort) = self.effort.next().filter(|_| !self.later.is_empty()) else {
                    return;
                };
                self.effort = effort;
                self.take_up();
                continue;
            }
            let (worker, effort) = (&self.worker, self.effort);
            let worked: Vec<Worked> =
                nodes.par_iter().map(|node| worker.work(node, effort)).collect();
            for (node, worked) in nodes.into_iter().zip(worked) {
                self.take(node, worked);
            }
            self.report();
            batch = (batch * 2).min(BATCH);
        }
    }

    /// Puts what was left for later back into the queue.
    fn take_up(&mut self) {
        self.queue.extend(self.later.drain(..).map(Reverse));
    }

    /// Takes the next nodes from the queue, at most `most` of them.
    fn batch(&mut self, most: usize, threshold: Score) -> Vec<Taken> {
        let mut nodes = Vec::with_capacity(most);
        let mut solved = 0;
        while nodes.len() < most && solved < SOLVED_AT_ONCE {
            match self.queue.peek() {
                Some(Reverse((score, ..))) if *score < threshold => {}
                _ => break,
            }
            if let Some(Reverse((score, node, bound))) = self.queue.pop() {
                solved += usize::from(matches!(node, Node::Refined(_)));
                let cutoff = self.cutoff(&node, threshold);
                let decided = match &node {
                    Node::Refined(candidate) => self.decided.remove(candidate),
                    _ => None,
                };
                let decided = decided.unwrap_or_default();
                nodes.push(Taken { score, node, bound, cutoff, decided });
            }
        }
        nodes
    }

    /// The score from which on nothing is wanted any more. More than a little effort is for the best
    /// plan alone: its alternatives are the best that are met on the way.
    fn threshold(&self) -> Score {
        let mut scores: Vec<Score> = self.best.values().map(|(score, _)| *score).collect();
        scores.sort_unstable();
        let wanted = if self.effort == Effort::Little { self.options.top.max(1) } else { 1 };
        scores.get(wanted - 1).copied().unwrap_or(Score::MAX)
    }

    /// The time from which on a node's plans are not wanted.
    fn cutoff(&self, node: &Node, threshold: Score) -> SimTime {
        let (Node::Candidate(candidate) | Node::Refined(candidate)) = node else {
            return SimTime::MAX;
        };
        let own = self.best.get(&ways_of(candidate)).map_or(Score::MAX, |(score, _)| *score);
        match own.min(threshold) {
            Score::MAX => match self.options.objective {
                Objective::Time => SimTime::MAX,
                objective => objective.cutoff(Score::MAX, candidate.devices()),
            },
            score => self.options.objective.cutoff(score, candidate.devices()),
        }
    }

    /// Books the result of a node.
    fn take(&mut self, taken: Taken, worked: Worked) {
        let Taken { score, node, bound, cutoff, .. } = taken;
        match (node, worked) {
            (node, Worked::Left) => self.queue.push(Reverse((score, node, bound))),
            (Node::Group(ways), Worked::Bounded(bound)) => self.put(Node::Bounded(ways), bound),
            (Node::Candidate(candidate), Worked::Bounded(bound)) => {
                self.put(Node::Refined(candidate), bound);
            }
            (Node::Bounded(_), Worked::Opened(candidates)) => {
                for (bound, candidate) in candidates {
                    self.put(Node::Candidate(candidate), bound);
                }
            }
            (Node::Refined(candidate), Worked::Solved(mut solved)) => {
                if solved.undecided && self.effort < Effort::Full {
                    self.later.push((score, node, bound));
                    self.decided.insert(candidate, std::mem::take(&mut solved.decided));
                }
                self.take_solved(candidate, bound, cutoff, solved);
            }
            _ => {}
        }
    }

    /// Puts a node into the queue, or a candidate that fits in no way to those that are decided.
    fn put(&mut self, node: Node, bound: SimTime) {
        let ways = node.ways();
        if bound == SimTime::MAX
            && let Node::Candidate(candidate) | Node::Refined(candidate) = node
        {
            let verdict = Verdict::CandidateBound(candidate, bound);
            self.found.verdicts.push((ways, verdict));
            return;
        }
        let score = self.options.objective.score(bound, devices(&ways));
        self.queue.push(Reverse((score, node, bound)));
    }

    fn take_solved(
        &mut self,
        candidate: Candidate,
        bound: SimTime,
        cutoff: SimTime,
        solved: Solved,
    ) {
        let ways = ways_of(&candidate);
        self.found.simulated += solved.simulated;
        self.found.programs += solved.programs;
        self.found.failure = self.found.failure.take().or(solved.failure);
        let proven = solved.best.as_ref().map_or(cutoff, |solution| solution.time);
        if !solved.undecided {
            self.found.solved += 1;
            let verdict = Verdict::Solved(candidate, proven, solved.fits);
            self.found.verdicts.push((ways, verdict));
        } else if self.effort == Effort::Full {
            self.found.verdicts.push((ways, Verdict::Open(candidate, bound)));
        }
        let Some(solution) = solved.best else { return };
        let score = self.options.objective.score(solution.time, candidate.devices());
        self.found.frontier.retain(|(other, ..)| *other != candidate);
        self.found.frontier.push((candidate, solution.time, solution.peak()));
        let better = self.best.get(&ways).is_none_or(|(best, _)| score < *best);
        if better && score < Score::MAX {
            self.best.insert(ways, (score, solution));
        }
    }

    fn report(&mut self) {
        let best = self.best.values().min_by_key(|(score, _)| *score);
        let queued = self.queue.peek().map(|Reverse((score, ..))| *score);
        let left = self.later.iter().map(|(score, ..)| *score).chain(queued).min();
        let closed = match (best, left) {
            (Some((best, _)), Some(left)) => (left as f64 / *best as f64).min(1.0),
            (Some(_), None) => 1.0,
            _ => 0.0,
        };
        (self.options.progress)(&Progress {
            candidates: self.found.candidates,
            solved: self.found.solved,
            best: best.map(|(_, solution)| solution.time),
            closed,
        });
    }

    /// Lists the best plans and what is left of the queue.
    fn finish(mut self) -> Found {
        self.take_up();
        let mut best: Vec<(Score, Solution)> = self.best.into_values().collect();
        best.sort_by(|a, b| (a.0, &a.1.candidate).cmp(&(b.0, &b.1.candidate)));
        let least = best.first().map_or(Score::MAX, |(score, _)| *score);
        let mut bound = least;
        // What a stop has left that may still hold a better plan is neither solved nor excluded.
        let mut left = 0;
        for Reverse((score, node, time)) in self.queue.into_sorted_vec().into_iter().rev() {
            bound = bound.min(score);
            if score < least {
                left += match &node {
                    Node::Group(ways) | Node::Bounded(ways) => {
                        self.worker.solver.space.count(*ways)
                    }
                    Node::Candidate(_) | Node::Refined(_) => 1,
                };
            }
            let verdict = match node {
                Node::Group(ways) | Node::Bounded(ways) => (ways, Verdict::GroupBound(time)),
                Node::Candidate(c) | Node::Refined(c) => {
                    (ways_of(&c), Verdict::CandidateBound(c, time))
                }
            };
            self.found.verdicts.push(verdict);
        }
        for (ways, verdict) in &self.found.verdicts {
            if let Verdict::Open(_, time) = verdict {
                bound = bound.min(self.options.objective.score(*time, devices(ways)));
            }
        }
        let open = self.found.verdicts.iter().any(|(_, v)| matches!(v, Verdict::Open(..)));
        if open && bound < least && self.found.status == SearchStatus::Optimal {
            self.found.status = (self.options.stop)().unwrap_or(SearchStatus::Limit);
        }
        if best.is_empty() && self.found.status == SearchStatus::Optimal {
            self.found.status = SearchStatus::Infeasible;
        }
        let undecided =
            self.found.verdicts.iter().filter(|(_, v)| matches!(v, Verdict::Open(..))).count();
        self.found.pruned = self.found.candidates - self.found.solved - undecided as u64 - left;
        self.found.lower_bound = bound;
        best.truncate(self.options.top.max(1));
        self.found.best = best.into_iter().map(|(_, solution)| solution).collect();
        self.found
    }
}

#[cfg(test)]
mod real_tests;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;
