//! Best-first search over all candidates, with a proof.
//!
//! A queue holds groups of candidates, then candidates, each with a lower bound on its score. The
//! least is taken first; a group is opened into its candidates, a candidate is solved exactly
//! ([`crate::planner::search::solve`]). When the least bound is not below the score of the best plan, no plan of the
//! space is better, and the search ends.
//!
//! Work is done in batches whose size and content do not depend on threads, so neither does the
//! result.

mod found;
pub mod solve;
mod winner;

pub use found::{Found, Progress, Verdict};

use crate::lower::Candidate;
use crate::lower::Pipeline;
use crate::planner::bounds::ways_bound;
use crate::planner::engine::Engine;
use crate::planner::job::costs::Costs;
use crate::planner::master::pipeline_shape::PipelineShape;
use crate::planner::objective::{Objective, Score};
use crate::planner::outcome::SearchStatus;
use crate::planner::search::solve::{Solution, Solved, Solver};
use crate::planner::space::{Space, Ways};
use crate::units::SimTime;
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Mutex};

/// Largest batch of nodes that are worked on at once.
const BATCH: usize = 64;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Group(Ways),
    Candidate(Candidate),
}

/// A node taken from the queue.
struct Taken {
    score: Score,
    node: Node,
    bound: SimTime,
    /// The time from which on its plans are not wanted.
    cutoff: SimTime,
}

/// What works on nodes, on any number of threads.
struct Worker<'a> {
    solver: Solver<'a>,
    shapes: Mutex<BTreeMap<Pipeline, Option<Arc<PipelineShape>>>>,
}

/// A search under way.
struct Search<'a, 'b> {
    worker: Worker<'a>,
    options: Options<'b>,
    queue: BinaryHeap<Reverse<(Score, Node, SimTime)>>,
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
    let solver = Solver { space, costs, engine: options.engine, stop: &stopped };
    let mut search = Search {
        worker: Worker { solver, shapes: Mutex::new(BTreeMap::new()) },
        options,
        queue: BinaryHeap::new(),
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

/// Result of working on one node.
enum Worked {
    Opened(Vec<(SimTime, Candidate)>),
    Solved(Solved),
    /// Left alone: the search is to stop.
    Left,
}

impl Worker<'_> {
    /// Least time of one sequence through one layer, by tensor-parallel ways, in picoseconds.
    fn rates(&self) -> BTreeMap<u64, f64> {
        let space = self.solver.space;
        let mut keys = Vec::new();
        for tensor in space.tensor_ways() {
            for sequence_parallel in space.sequence_parallel(tensor) {
                keys.extend(
                    space.micro_batches().into_iter().map(|b| (tensor, b, sequence_parallel)),
                );
            }
        }
        let rate = |(tensor, b, sequence_parallel): &(u64, u64, bool)| {
            if (self.solver.stop)() {
                return (*tensor, 0.0);
            }
            let blocks = self.solver.costs.blocks(*tensor, *b, *sequence_parallel);
            let times = blocks.layer.iter().map(|layer| (layer.forward + layer.backward).picos());
            (*tensor, times.min().unwrap_or(0) as f64 / *b as f64)
        };
        let mut least = BTreeMap::new();
        for (tensor, rate) in keys.par_iter().map(rate).collect::<Vec<_>>() {
            let slot = least.entry(tensor).or_insert(f64::INFINITY);
            *slot = f64::min(*slot, rate);
        }
        least
    }

    fn work(&self, Taken { node, bound, cutoff, .. }: &Taken) -> Worked {
        if (self.solver.stop)() {
            return Worked::Left;
        }
        match node {
            Node::Group(ways) => self.open(*ways, *bound).map_or(Worked::Left, Worked::Opened),
            Node::Candidate(candidate) => match self.shape(candidate) {
                Some(shape) => Worked::Solved(self.solver.solve(candidate, &shape, *cutoff)),
                None => Worked::Solved(Solved::default()),
            },
        }
    }

    /// The candidates of a group, each with its own bound; none where the search is to stop.
    fn open(&self, ways: Ways, group_bound: SimTime) -> Option<Vec<(SimTime, Candidate)>> {
        let bound = |candidate| {
            let goes_on = !(self.solver.stop)();
            goes_on.then(|| (self.solver.bound(&candidate).max(group_bound), candidate))
        };
        self.solver.space.candidates(ways).into_iter().map(bound).collect()
    }

    fn shape(&self, candidate: &Candidate) -> Option<Arc<PipelineShape>> {
        let pipeline = candidate.pipeline_shape();
        let costs = self.solver.costs;
        let lock = || self.shapes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(shape) = lock().get(&pipeline) {
            return shape.clone();
        }
        let shape = PipelineShape::new(pipeline, costs.links(candidate).blocking).map(Arc::new);
        lock().entry(pipeline).or_insert(shape).clone()
    }
}

impl Search<'_, '_> {
    /// Puts all groups into the queue.
    fn fill(&mut self) {
        let space = self.worker.solver.space;
        let rates = self.worker.rates();
        for ways in space.ways() {
            let count = space.count(ways);
            if count == 0 {
                continue;
            }
            self.found.candidates += count;
            let rate = rates.get(&ways.tensor).copied().unwrap_or(0.0);
            let bound = ways_bound(space, ways, rate);
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
                if self.queue.peek().is_some_and(|Reverse((score, ..))| *score < threshold) {
                    self.found.status = status;
                }
                return;
            }
            let mut nodes = Vec::with_capacity(batch);
            while nodes.len() < batch {
                match self.queue.peek() {
                    Some(Reverse((score, ..))) if *score < threshold => {}
                    _ => break,
                }
                if let Some(Reverse((score, node, bound))) = self.queue.pop() {
                    let cutoff = self.cutoff(&node, threshold);
                    nodes.push(Taken { score, node, bound, cutoff });
                }
            }
            if nodes.is_empty() {
                return;
            }
            let worker = &self.worker;
            let worked: Vec<Worked> = nodes.par_iter().map(|node| worker.work(node)).collect();
            for (node, worked) in nodes.into_iter().zip(worked) {
                self.take(node, worked);
            }
            self.report();
            batch = (batch * 2).min(BATCH);
        }
    }

    /// The score from which on nothing is wanted any more.
    fn threshold(&self) -> Score {
        let mut scores: Vec<Score> = self.best.values().map(|(score, _)| *score).collect();
        scores.sort_unstable();
        scores.get(self.options.top.max(1) - 1).copied().unwrap_or(Score::MAX)
    }

    /// The time from which on a node's plans are not wanted.
    fn cutoff(&self, node: &Node, threshold: Score) -> SimTime {
        let Node::Candidate(candidate) = node else { return SimTime::MAX };
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
        let Taken { score, node, bound, cutoff } = taken;
        match (node, worked) {
            (node, Worked::Left) => self.queue.push(Reverse((score, node, bound))),
            (Node::Group(_), Worked::Opened(candidates)) => {
                for (bound, candidate) in candidates {
                    if bound == SimTime::MAX {
                        let verdict = Verdict::CandidateBound(candidate, bound);
                        self.found.verdicts.push((ways_of(&candidate), verdict));
                        continue;
                    }
                    let score = self.options.objective.score(bound, candidate.devices());
                    self.queue.push(Reverse((score, Node::Candidate(candidate), bound)));
                }
            }
            (Node::Candidate(candidate), Worked::Solved(solved)) => {
                self.take_solved(candidate, bound, cutoff, solved);
            }
            _ => {}
        }
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
        let verdict = if solved.undecided {
            Verdict::Open(candidate, bound)
        } else {
            self.found.solved += 1;
            Verdict::Solved(candidate, proven, solved.fits)
        };
        self.found.verdicts.push((ways, verdict));
        let Some(solution) = solved.best else { return };
        let score = self.options.objective.score(solution.time, candidate.devices());
        self.found.frontier.push((candidate, solution.time, solution.peak()));
        let better = self.best.get(&ways).is_none_or(|(best, _)| score < *best);
        if better && score < Score::MAX {
            self.best.insert(ways, (score, solution));
        }
    }

    fn report(&mut self) {
        let best = self.best.values().min_by_key(|(score, _)| *score);
        let left = self.queue.peek().map(|Reverse((score, ..))| *score);
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
                    Node::Group(ways) => self.worker.solver.space.count(*ways),
                    Node::Candidate(_) => 1,
                };
            }
            let verdict = match node {
                Node::Group(ways) => (ways, Verdict::GroupBound(time)),
                Node::Candidate(c) => (ways_of(&c), Verdict::CandidateBound(c, time)),
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

fn ways_of(candidate: &Candidate) -> Ways {
    Ways { tensor: candidate.tensor, pipeline: candidate.pipeline, data: candidate.data }
}

fn devices(ways: &Ways) -> u64 {
    ways.tensor * ways.pipeline * ways.data
}

#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;
