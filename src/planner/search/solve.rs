//! The best plan of one candidate under the simulator, exactly.
//!
//! The simulated time is the longest path of the pipeline, so it is the largest of finitely many
//! rows that are linear in the chosen columns ([`crate::sim::pipeline`]). Rows are made as they
//! are needed: solve the master problem over the rows known, simulate what it chose, add the
//! critical path as a row, and repeat until the master finds nothing below the best simulated
//! time. Every row is a valid bound for every plan, so the last answer is a proof (Kelley 1960;
//! Benders 1962 with longest-path cuts).

use crate::lower::Candidate;
use crate::lower::{Links, MemoryModel, Prices, StageModel, StageSettings, StageTimes};
use crate::planner::bounds::BoundInput;
use crate::planner::bounds::memory::MemoryBound;
use crate::planner::engine::Engine;
use crate::planner::job::costs::{BlockSet, Costs};
use crate::planner::master::column::{Column, ColumnMaker, beats};
use crate::planner::master::pipeline_shape::PipelineShape;
use crate::planner::master::problem::{Alive, Entry, Master};
use crate::planner::master::{Limits, MasterAnswer};
use crate::planner::space::Space;
use crate::sim::pipeline::{PathRow, Run};
use crate::solver::{Backend, SolveError};
use crate::units::{Bytes, SimTime};
use std::cell::RefCell;
use std::sync::Arc;

/// Nodes of the depth-first search for one master problem.
pub(super) const MASTER_NODES: u64 = 200_000;

/// Paths that decided for one sharding of the layers and are tried first on the next.
const MOST_PATHS: usize = 24;

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

/// One candidate with one sharding of its layers.
pub(super) struct Instance<'a> {
    candidate: &'a Candidate,
    pub(super) links: &'a Links,
    shape: &'a PipelineShape,
    maker: ColumnMaker<'a>,
    layer: usize,
    /// Forward and backward of all blocks and transfers once.
    round: SimTime,
    engine: Engine,
    limits: Limits<'a>,
}

/// What the instances of one candidate share.
pub(super) struct Priced<'a> {
    candidate: &'a Candidate,
    pub(super) blocks: Arc<BlockSet>,
    links: Links,
    prices: Box<dyn Prices + 'a>,
    shape: StageSettings,
    memory: MemoryModel,
    pub(super) recomputes: [bool; 3],
    num_layers: u64,
    engine: Engine,
    limits: Limits<'a>,
}

impl<'a> Priced<'a> {
    pub(super) fn new(solver: &'a Solver<'a>, candidate: &'a Candidate) -> Priced<'a> {
        let Candidate { tensor, micro_batch, sequence_parallel, .. } = *candidate;
        let costs = solver.costs;
        Priced {
            candidate,
            blocks: costs.blocks(tensor, micro_batch, sequence_parallel),
            links: costs.links(candidate),
            prices: costs.prices(candidate),
            shape: costs.shape(candidate),
            memory: costs.memory(candidate),
            recomputes: solver.space.pins.recomputes(),
            num_layers: solver.space.num_layers,
            engine: solver.engine,
            limits: Limits { nodes: MASTER_NODES, stop: solver.stop },
        }
    }

    pub(super) fn bounds(&self) -> BoundInput<'_> {
        BoundInput::new(
            self.candidate,
            self.num_layers,
            &self.blocks,
            &self.links,
            self.prices.as_ref(),
            &self.shape,
            self.memory,
        )
    }

    pub(super) fn instance<'b>(&'b self, layer: usize, shape: &'b PipelineShape) -> Instance<'b> {
        let block = &self.blocks.layer[layer];
        let stages = StageModel { shape: self.shape, layer: block, prices: self.prices.as_ref() };
        Instance {
            candidate: self.candidate,
            links: &self.links,
            shape,
            maker: ColumnMaker {
                candidate: self.candidate,
                blocks: &self.blocks,
                layer: block,
                stages,
                shape: self.shape,
                memory: self.memory,
                recomputes: self.recomputes,
                in_flight: &shape.in_flight,
                times: RefCell::default(),
            },
            layer,
            round: self.bounds().round(block),
            engine: self.engine,
            limits: self.limits,
        }
    }
}

impl Solver<'_> {
    /// The best plan of `candidate` that is faster than `cutoff`.
    pub fn solve(&self, candidate: &Candidate, shape: &PipelineShape, cutoff: SimTime) -> Solved {
        let priced = Priced::new(self, candidate);
        let bounds = priced.bounds();
        let layers = priced.blocks.layer.iter().enumerate();
        let mut order: Vec<(SimTime, usize)> =
            layers.map(|(i, layer)| (bounds.layer_bound(layer), i)).collect();
        order.sort();
        let mut solved = Solved::default();
        let mut cutoff = cutoff;
        // Paths that decided, and layers that fit without recomputing.
        let (mut paths, mut roomy): (Vec<PathRow>, Vec<usize>) = Default::default();
        for (bound, i) in order {
            if bound >= cutoff {
                break;
            }
            if (self.stop)() || solved.failure.is_some() {
                solved.undecided = true;
                break;
            }
            let layer = &priced.blocks.layer[i];
            if roomy.iter().any(|other| beats(&priced.blocks.layer[*other], layer)) {
                continue;
            }
            let instance = priced.instance(i, shape);
            let memory = MemoryBound::new(&bounds, layer, priced.recomputes, &shape.in_flight);
            if memory.may_beat(cutoff) {
                instance.solve(self.space.num_layers, &mut cutoff, &mut solved, &mut paths);
            }
            if instance.maker.is_roomy(instance.range(self.space.num_layers).1) {
                roomy.push(i);
            }
        }
        solved
    }

    /// What no plan of `candidate` is faster than, by single paths; the end of time where none fits.
    pub fn bound(&self, candidate: &Candidate) -> SimTime {
        Priced::new(self, candidate).bounds().bound()
    }
}

impl Instance<'_> {
    /// Improves `solved` with plans below `cutoff`, and lowers `cutoff` to the best found.
    /// `paths` are some that decided for other layers, and get those that decide here.
    fn solve(
        &self,
        num_layers: u64,
        cutoff: &mut SimTime,
        solved: &mut Solved,
        paths: &mut Vec<PathRow>,
    ) {
        let p = self.candidate.pipeline;
        if *cutoff == SimTime::MAX && self.candidate.chunks == 1 && p > 1 {
            // Nothing is known yet: a plan close to even gives the first cutoff.
            let (low, high) = (num_layers / p, num_layers.div_ceil(p));
            let near = (low.saturating_sub(1).max(1), high + 1);
            self.solve_within(num_layers, near, cutoff, solved, paths);
        }
        let range = self.range(num_layers);
        if range.0 == range.1 && self.least_row(range.0) >= *cutoff {
            return;
        }
        self.solve_within(num_layers, range, cutoff, solved, paths);
    }

    /// Numbers of layers that a stage may have: equal chunks only when interleaved.
    pub(super) fn range(&self, num_layers: u64) -> (u64, u64) {
        let p = self.candidate.pipeline;
        if self.candidate.chunks > 1 || p == 1 {
            (num_layers / p, num_layers / p)
        } else {
            (1, num_layers + 1 - p)
        }
    }

    /// A bound on all plans whose stages have `layers` layers each: the largest of the typical
    /// paths, with every stage as fast as if memory were no matter.
    fn least_row(&self, layers: u64) -> SimTime {
        let p = self.candidate.pipeline as usize;
        let first = self.maker.unlimited(0, layers);
        let between = if p > 2 { self.maker.unlimited(1, layers) } else { Vec::new() };
        let last = self.maker.unlimited(p - 1, layers);
        let value = |row: &PathRow| {
            let stage = |q: usize| {
                let times = match q {
                    0 => &first,
                    q if q + 1 == p => &last,
                    _ => &between,
                };
                times.iter().map(|times| row.stage_value(q, times)).min().unwrap_or(SimTime::ZERO)
            };
            (0..p).map(stage).sum::<SimTime>() + row.link_value(self.links)
        };
        self.shape.rows.iter().map(value).max().unwrap_or(SimTime::ZERO)
    }

    fn solve_within(
        &self,
        num_layers: u64,
        range: (u64, u64),
        cutoff: &mut SimTime,
        solved: &mut Solved,
        paths: &mut Vec<PathRow>,
    ) {
        let columns = self.columns(num_layers, range, *cutoff);
        if (self.limits.stop)() {
            solved.undecided = true;
            return;
        }
        let Some(columns) = columns else { return };
        solved.fits = true;
        if self.master(&columns, paths, num_layers).is_excluded(cutoff.picos()) {
            return;
        }
        let mut rows = self.shape.rows.clone();
        let mut run = Run::default();
        let mut master = self.master(&columns, &rows, num_layers);
        let mut alive = master.all();
        loop {
            if (self.limits.stop)() || solved.failure.is_some() {
                solved.undecided = true;
                return;
            }
            solved.masters += 1;
            let chosen = match self.below(&master, &mut alive, *cutoff, solved) {
                MasterAnswer::Best(chosen, _) => chosen,
                MasterAnswer::NothingBelow => return,
                MasterAnswer::Undecided(found) => {
                    solved.undecided = true;
                    let Some((chosen, _)) = found else { return };
                    chosen
                }
            };
            let picked: Vec<&Column> = chosen.iter().zip(&columns).map(|(k, c)| &c[*k]).collect();
            let times: Vec<StageTimes> = picked.iter().map(|c| c.times.clone()).collect();
            self.shape.structure.run(&times, self.links, &mut run);
            solved.simulated += 1;
            if run.end < *cutoff {
                *cutoff = run.end;
                solved.best = Some(Solution {
                    candidate: *self.candidate,
                    layer: self.layer,
                    columns: picked.into_iter().cloned().collect(),
                    time: run.end,
                });
            }
            let row = self.shape.structure.critical_path(&times, self.links, &run);
            if rows.contains(&row) {
                return;
            }
            self.add_row(&mut master, &columns, &row);
            paths.insert(0, row.clone());
            paths.truncate(MOST_PATHS);
            rows.push(row);
        }
    }

    /// The best selection below the cutoff, by the engine that is wanted. What branch and bound
    /// leaves open goes to the solver, with what was found as the cutoff.
    fn below(
        &self,
        master: &Master,
        alive: &mut Alive,
        cutoff: SimTime,
        solved: &mut Solved,
    ) -> MasterAnswer {
        let mut found = None;
        if self.engine == Engine::Search {
            match master.solve_among(alive, cutoff.picos(), self.limits) {
                MasterAnswer::Undecided(some) if !(self.limits.stop)() => found = some,
                answer => return answer,
            }
        }
        let below = found.as_ref().map_or(cutoff.picos(), |(_, value)| *value);
        match master.prove_among(alive, below, Backend::best(), self.limits.stop) {
            Ok((answer, programs)) => {
                solved.programs += programs;
                match (answer, found) {
                    (MasterAnswer::NothingBelow, Some((chosen, value))) => {
                        MasterAnswer::Best(chosen, value)
                    }
                    (MasterAnswer::Undecided(None), found) => MasterAnswer::Undecided(found),
                    (answer, _) => answer,
                }
            }
            Err(failure) => {
                if self.engine == Engine::Ilp {
                    solved.failure = Some(failure);
                }
                MasterAnswer::Undecided(found)
            }
        }
    }

    /// Columns of every stage with numbers of layers in `range` that may be part of a plan below
    /// `cutoff`; nothing where a stage has none or the layers can not all be placed.
    pub(super) fn columns(
        &self,
        num_layers: u64,
        (low, high): (u64, u64),
        cutoff: SimTime,
    ) -> Option<Vec<Vec<Column>>> {
        let p = self.candidate.pipeline as usize;
        let mut most = Vec::with_capacity(p);
        for q in 0..p {
            let in_time = (low..=high).take_while(|n| self.stage_bound(q, *n) < cutoff).last()?;
            most.push(self.maker.most_layers(q, in_time));
            if most[q] < low {
                return None;
            }
        }
        let total: u64 = most.iter().sum();
        if total < num_layers {
            return None;
        }
        let mut columns = Vec::with_capacity(p);
        for (q, most) in most.iter().enumerate() {
            if (self.limits.stop)() {
                return None;
            }
            let least = num_layers.saturating_sub(total - most).max(low);
            let stage: Vec<Column> =
                (least..=*most).flat_map(|n| self.maker.columns(q, n)).collect();
            if stage.is_empty() {
                return None;
            }
            columns.push(stage);
        }
        Some(columns)
    }

    /// No plan whose stage `q` has `layers` layers is faster (paths 2 of [`BoundInput`]).
    fn stage_bound(&self, q: usize, layers: u64) -> SimTime {
        let pipeline = self.candidate.pipeline_shape();
        let (m, layer) = (pipeline.micro_batches, self.maker.layer);
        let Some(forwards) = pipeline.forwards_between(q as u64) else { return SimTime::ZERO };
        self.round + layer.backward * layers * (m - 1) + layer.forward * layers * forwards
    }

    pub(super) fn master(&self, columns: &[Vec<Column>], rows: &[PathRow], layers: u64) -> Master {
        let entry = |column: &Column| Entry { layers: column.layers, values: Vec::new() };
        let stages = columns.iter().map(|stage| stage.iter().map(entry).collect()).collect();
        let mut master = Master { stages, constants: Vec::new(), layers };
        rows.iter().for_each(|row| self.add_row(&mut master, columns, row));
        master
    }

    pub(super) fn add_row(&self, master: &mut Master, columns: &[Vec<Column>], row: &PathRow) {
        let value = |q: usize, k: usize| row.stage_value(q, &columns[q][k].times).picos();
        master.add_row(row.link_value(self.links).picos(), value);
    }
}
