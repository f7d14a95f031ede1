//! What a search does with its nodes: bounds, refines, opens and solves them.

use crate::lower::{Candidate, InFlight, Pipeline};
use crate::plan::MOST_PASSES;
use crate::planner::bounds::ways::{Rates, TensorRates};
use crate::planner::job::costs::BlockSet;
use crate::planner::master::pipeline_shape::PipelineShape;
use crate::planner::search::node::{Node, Taken};
use crate::planner::search::solver::{Effort, Solved, Solver};
use crate::planner::space::Ways;
use crate::units::{Bytes, SimTime};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Result of working on one node.
pub(super) enum Worked {
    Opened(Vec<(SimTime, Candidate)>),
    /// A better bound.
    Bounded(SimTime),
    Solved(Solved),
    /// Left alone: the search is to stop.
    Left,
}

/// What works on nodes, on any number of threads.
pub(super) struct Worker<'a> {
    pub(super) solver: Solver<'a>,
    rates: Rates,
    /// The largest micro-batch of which a layer may fit, by t and sequence parallelism.
    largest: BTreeMap<(u64, bool), u64>,
    shapes: Mutex<Shapes>,
    in_flight: Mutex<BTreeMap<Pipeline, Arc<Vec<Vec<InFlight>>>>>,
}

/// Shapes of pipelines that were built, as far as there is room for them.
#[derive(Default)]
struct Shapes {
    built: BTreeMap<Pipeline, Option<Arc<PipelineShape>>>,
    passes: u64,
}

/// What is known of the blocks on t ranks: rates, and the largest micro-batch of which a layer fits.
type TensorBlocks = (Option<TensorRates>, u64);

impl<'a> Worker<'a> {
    pub(super) fn new(solver: Solver<'a>) -> Worker<'a> {
        let space = solver.space;
        let mut keys = Vec::new();
        for tensor in space.tensor_ways() {
            let boundaries = space.sequence_parallel(tensor).into_iter();
            keys.extend(boundaries.map(|sequence_parallel| (tensor, sequence_parallel)));
        }
        let micro_batches = space.micro_batches();
        let known: Vec<TensorBlocks> =
            keys.par_iter().map(|key| blocks_of(&solver, *key, &micro_batches)).collect();
        let (mut rates, mut largest) = (Rates::new(), BTreeMap::new());
        for (key, (found, most)) in keys.into_iter().zip(known) {
            largest.insert(key, most);
            let Some(found) = found else { continue };
            let least = match rates.remove(&key.0) {
                Some(others) => found.or(others),
                None => found,
            };
            rates.insert(key.0, least);
        }
        Worker { solver, rates, largest, shapes: Mutex::default(), in_flight: Mutex::default() }
    }

    /// A bound on all candidates of a group, by computation alone.
    pub(super) fn computation(&self, ways: Ways) -> SimTime {
        let rates = self.rates.get(&ways.tensor);
        rates.map_or(SimTime::ZERO, |rates| rates.computation(self.solver.space, ways))
    }
}

/// The least times and sizes of the blocks on `tensor` ranks, for all micro-batches, in ascending
/// order, up to the first of which not even a layer fits: larger ones need more.
fn blocks_of(
    solver: &Solver<'_>,
    (tensor, sequence_parallel): (u64, bool),
    micro_batches: &[u64],
) -> TensorBlocks {
    let mut rates: Option<TensorRates> = None;
    let mut largest = 0;
    for b in micro_batches {
        if (solver.stop)() {
            return (Some(TensorRates::none()), u64::MAX);
        }
        let blocks = solver.costs.blocks(tensor, *b, sequence_parallel);
        if !may_fit(&blocks, solver.costs.capacity()) {
            break;
        }
        largest = *b;
        let found = TensorRates::of(&blocks, *b);
        rates = Some(match rates {
            Some(rates) => rates.or(found),
            None => found,
        });
    }
    (rates, largest)
}

/// Whether the activations of a layer and the memory that it works in may be within `capacity`.
fn may_fit(blocks: &BlockSet, capacity: Bytes) -> bool {
    let least = |of: &[Bytes; 3]| of.iter().copied().min().unwrap_or_default();
    blocks.layer.iter().any(|layer| least(&layer.saved) + least(&layer.transient) <= capacity)
}

impl Worker<'_> {
    /// Works on one node; a candidate is solved with this effort.
    pub(super) fn work(
        &self,
        Taken { node, bound, cutoff, decided, .. }: &Taken,
        effort: Effort,
    ) -> Worked {
        if (self.solver.stop)() {
            return Worked::Left;
        }
        match node {
            Node::Group(ways) => {
                let whole = self.rates.get(&ways.tensor).map_or(SimTime::ZERO, |rates| {
                    rates.whole(self.solver.space, *ways, self.solver.costs)
                });
                Worked::Bounded(whole.max(*bound))
            }
            Node::Bounded(ways) => self.open(*ways, *bound).map_or(Worked::Left, Worked::Opened),
            Node::Candidate(candidate) => {
                let in_flight = self.in_flight(candidate);
                let refined = self.solver.refine(candidate, &in_flight, *cutoff);
                Worked::Bounded(refined.max(*bound))
            }
            Node::Refined(candidate) => match self.shape(candidate) {
                Some(shape) => {
                    let with = (effort, decided.as_slice());
                    Worked::Solved(self.solver.solve(candidate, &shape, *cutoff, with))
                }
                None => Worked::Solved(Solved::default()),
            },
        }
    }

    /// The candidates of a group, each with its own bound; none where the search is to stop.
    fn open(&self, ways: Ways, group_bound: SimTime) -> Option<Vec<(SimTime, Candidate)>> {
        let bound = |candidate: Candidate| {
            if (self.solver.stop)() {
                return None;
            }
            let key = (candidate.tensor, candidate.sequence_parallel);
            if self.largest.get(&key).is_some_and(|largest| candidate.micro_batch > *largest) {
                return Some((SimTime::MAX, candidate));
            }
            Some((self.solver.bound(&candidate).max(group_bound), candidate))
        };
        self.solver.space.candidates(ways).into_iter().map(bound).collect()
    }

    /// What the stages of a candidate hold.
    fn in_flight(&self, candidate: &Candidate) -> Arc<Vec<Vec<InFlight>>> {
        let pipeline = candidate.pipeline_shape();
        let lock = || self.in_flight.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(in_flight) = lock().get(&pipeline) {
            return in_flight.clone();
        }
        let in_flight = (0..pipeline.stages).map(|q| pipeline.in_flight(q)).collect();
        lock().entry(pipeline).or_insert(Arc::new(in_flight)).clone()
    }

    fn shape(&self, candidate: &Candidate) -> Option<Arc<PipelineShape>> {
        let pipeline = candidate.pipeline_shape();
        let costs = self.solver.costs;
        let lock = || self.shapes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(shape) = lock().built.get(&pipeline) {
            return shape.clone();
        }
        let shape = PipelineShape::new(pipeline, costs.links(candidate).blocking).map(Arc::new);
        lock().keep(pipeline, shape)
    }
}

impl Shapes {
    /// Keeps a shape; where there are too many, only this one.
    fn keep(
        &mut self,
        pipeline: Pipeline,
        shape: Option<Arc<PipelineShape>>,
    ) -> Option<Arc<PipelineShape>> {
        self.passes += pipeline.passes();
        if self.passes > 2 * MOST_PASSES {
            self.built.clear();
            self.passes = pipeline.passes();
        }
        self.built.entry(pipeline).or_insert(shape).clone()
    }
}
