//! The exact Pareto set of a block by variable elimination.
//!
//! Operators are taken in topological order. What the rest of the block can see of a partial choice
//! is in which layouts the live tensors stand; partial choices that agree in that are compared, and
//! those that another one covers go. Between points where one tensor alone is live, stretches of
//! the block are eliminated by themselves and then put together. All coordinates are sums or
//! maxima of parts, so a covered part can not be in a better whole than the one that covers it.

use super::option::BlockOption;
use super::pareto::{Coordinates, DIMENSIONS, Point, coordinates, joined, prune};
use super::priced_block::{Measure, PricedBlock};
use crate::graph::{Block, Graph};
use crate::sharding::{InstructionCost, Layout, ShardContext};
use std::collections::BTreeMap;

/// How a partial choice came about.
#[derive(Debug, Clone, Copy)]
enum Trace {
    /// No operator chosen yet.
    Start,
    /// One more operator.
    Extend { before: u32, choice: u8 },
    /// Two stretches, one after the other.
    Join { left: u32, right: u32 },
}

/// Output class of each live tensor, by producer.
type Live = Vec<(usize, usize)>;

struct Elimination<'a> {
    block: &'a PricedBlock<'a>,
    /// Coordinates of `block.nodes`, and of `block.flows`.
    nodes: Vec<Vec<Coordinates>>,
    flows: Vec<Vec<Vec<Coordinates>>>,
    /// Last reader of each operator's output in the block.
    last_reader: Vec<Option<usize>>,
    arena: Vec<Trace>,
}

/// All options of a block that no other beats, fastest first.
///
/// An option beats another if it is nowhere worse in the times and launches of forward, backward,
/// selective and full recomputation, parameters, trained parameters, parameters reduced over the group, saved and transient
/// bytes under each recomputation; of equals one is kept, the same in every run. `boundary` is the
/// layout of the block's input and output, replicated or sequence. Empty where the block can not be
/// split so.
pub fn block_options(
    graph: &Graph,
    block: &Block,
    context: &ShardContext,
    boundary: Layout,
    cost: &dyn InstructionCost,
) -> Vec<BlockOption> {
    match PricedBlock::new(graph, block, context, boundary, cost) {
        Ok(priced) => options_of(&priced),
        Err(_) => Vec::new(),
    }
}

pub(super) fn options_of(priced: &PricedBlock) -> Vec<BlockOption> {
    let mut options: Vec<BlockOption> =
        Elimination::new(priced).run().iter().map(|choice| priced.option(choice)).collect();
    // Coordinates of the elimination are finer than those of options.
    prune(&mut options, |option| {
        let mut cost = option_cost(option);
        if !priced.launches_matter {
            cost[8..12].fill(0);
        }
        cost
    });
    options.sort_by_cached_key(|option| {
        (option.time_picos(), option_cost(option), option.strategies.clone())
    });
    options
}

/// What options are compared by.
pub(super) fn option_cost(option: &BlockOption) -> [u64; 17] {
    [
        option.forward.time().picos(),
        option.backward.time().picos(),
        option.saved[0].get(),
        option.parameters,
        option.saved[1].get(),
        option.saved[2].get(),
        option.recompute[1].time().picos(),
        option.tensor_reduced_parameters,
        option.forward.launches,
        option.backward.launches,
        option.recompute[1].launches,
        option.recompute[2].launches,
        option.recompute[2].time().picos(),
        option.trained_parameters(),
        option.transient[0].get(),
        option.transient[1].get(),
        option.transient[2].get(),
    ]
}

impl<'a> Elimination<'a> {
    fn new(block: &'a PricedBlock<'a>) -> Self {
        let mut last_reader = vec![None; block.nodes.len()];
        for flow in &block.structure.flows {
            if let Some(from) = flow.from {
                last_reader[from] = last_reader[from].max(Some(flow.to));
            }
        }
        let coordinates = |measure: &Measure| {
            let mut all = coordinates(measure);
            if !block.launches_matter {
                all[8..12].fill(0);
            }
            if !block.structure.repeated.contains(&false) {
                // Full recomputation is the forward pass once more, which is compared already.
                all[11..13].fill(0);
            }
            all
        };
        let nodes = block.nodes.iter().map(|row| row.iter().map(coordinates).collect()).collect();
        let flows = block
            .flows
            .iter()
            .map(|table| table.iter().map(|row| row.iter().map(coordinates).collect()).collect())
            .collect();
        Elimination { block, nodes, flows, last_reader, arena: vec![Trace::Start] }
    }

    /// Choices of shardings, by operator.
    fn run(mut self) -> Vec<Vec<usize>> {
        let start = Point { cost: [0; DIMENSIONS], trace: 0 };
        let mut states: BTreeMap<Live, Vec<Point>> = BTreeMap::from([(Vec::new(), vec![start])]);
        let mut first = 0;
        for op in 0..self.nodes.len() {
            if op + 1 < self.nodes.len() && !self.is_cut_after(op) {
                continue;
            }
            let mut next: BTreeMap<Live, Vec<Point>> = BTreeMap::new();
            for (live, points) in &states {
                let stretch = BTreeMap::from([(live.clone(), vec![start])]);
                for (after, tails) in self.eliminate(first..op + 1, stretch) {
                    let joined = self.join(points, &tails);
                    next.entry(after).or_default().extend(joined);
                }
            }
            for points in next.values_mut() {
                prune(points, |point| point.cost);
            }
            states = next;
            first = op + 1;
        }
        states.into_values().flatten().map(|point| self.choice(point.trace)).collect()
    }

    /// Whether no tensor but this operator's output is live after it.
    fn is_cut_after(&self, op: usize) -> bool {
        (0..op).all(|earlier| self.last_reader[earlier].is_none_or(|reader| reader <= op))
    }

    fn join(&mut self, left: &[Point], right: &[Point]) -> Vec<Point> {
        let mut points = Vec::with_capacity(left.len() * right.len());
        for head in left {
            for tail in right {
                let cost = joined(&head.cost, &tail.cost);
                points.push(self.point(cost, Trace::Join { left: head.trace, right: tail.trace }));
            }
        }
        points
    }

    fn point(&mut self, cost: Coordinates, trace: Trace) -> Point {
        self.arena.push(trace);
        Point { cost, trace: self.arena.len() as u32 - 1 }
    }

    /// Takes the operators of a range, one after the other.
    fn eliminate(
        &mut self,
        range: std::ops::Range<usize>,
        mut states: BTreeMap<Live, Vec<Point>>,
    ) -> BTreeMap<Live, Vec<Point>> {
        for op in range {
            let mut next: BTreeMap<Live, Vec<Point>> = BTreeMap::new();
            for (live, points) in &states {
                for choice in 0..self.nodes[op].len() {
                    let added = self.added(op, choice, live);
                    let extended: Vec<Point> = points
                        .iter()
                        .map(|point| {
                            let trace = Trace::Extend { before: point.trace, choice: choice as u8 };
                            self.point(joined(&point.cost, &added), trace)
                        })
                        .collect();
                    next.entry(self.live_after(op, choice, live)).or_default().extend(extended);
                }
            }
            for points in next.values_mut() {
                prune(points, |point| point.cost);
            }
            states = next;
        }
        states
    }

    /// Cost of an operator's sharding, with that of its inputs from the layouts they stand in.
    fn added(&self, op: usize, choice: usize, live: &Live) -> Coordinates {
        let mut added = self.nodes[op][choice];
        for (index, flow) in self.block.structure.flows_to(op) {
            let class = live.iter().find(|(producer, _)| Some(*producer) == flow.from);
            if let Some((_, class)) = class {
                added = joined(&added, &self.flows[index][*class][choice]);
            }
        }
        added
    }

    fn live_after(&self, op: usize, choice: usize, live: &Live) -> Live {
        let is_live = |producer: usize| self.last_reader[producer] > Some(op);
        let mut after: Live = live.iter().filter(|(p, _)| is_live(*p)).copied().collect();
        if is_live(op) {
            after.push((op, self.block.class_of[op][choice]));
        }
        after
    }

    /// The shardings written down at a place of the arena, in the order of the operators.
    fn choice(&self, trace: u32) -> Vec<usize> {
        let mut choices = Vec::with_capacity(self.nodes.len());
        let mut pending = vec![trace];
        while let Some(at) = pending.pop() {
            match self.arena[at as usize] {
                Trace::Start => {}
                Trace::Extend { before, choice } => {
                    choices.push(choice as usize);
                    pending.push(before);
                }
                Trace::Join { left, right } => pending.extend([left, right]),
            }
        }
        choices.reverse();
        choices
    }
}
