//! A candidate with its prices, and with each sharding of its layers the columns of its stages.

use crate::lower::Candidate;
use crate::lower::{BlockTimes, Links, MemoryModel, Prices, StageModel, StageSettings};
use crate::planner::bounds::BoundInput;
use crate::planner::engine::Engine;
use crate::planner::job::costs::BlockSet;
use crate::planner::master::column::{Column, ColumnMaker};
use crate::planner::master::pipeline_shape::PipelineShape;
use crate::planner::master::problem::{Entry, Master};
use crate::planner::master::{FEW_NODES, Limits};
use crate::planner::search::solver::{Effort, Solver};
use crate::sim::pipeline::PathRow;
use crate::units::SimTime;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One candidate with one sharding of its layers.
pub(super) struct Instance<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) links: &'a Links,
    pub(super) shape: &'a PipelineShape,
    pub(super) maker: ColumnMaker<'a>,
    pub(super) layer: usize,
    pub(super) num_layers: u64,
    pub(super) engine: Engine,
    pub(super) effort: Effort,
    pub(super) limits: Limits<'a>,
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
    solver: &'a Solver<'a>,
}

/// The shardings of a candidate's layers.
pub(super) struct Shardings<'a> {
    /// Of shardings with as many parameters.
    pub(super) inputs: Vec<BoundInput<'a>>,
    /// Their bounds, with the indices of layer and input.
    pub(super) order: Vec<(SimTime, usize, usize)>,
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
            solver,
        }
    }

    pub(super) fn bounds(&self) -> BoundInput<'_> {
        BoundInput::new(
            self.candidate,
            self.solver.space.num_layers,
            &self.blocks,
            &self.links,
            self.prices.as_ref(),
            &self.shape,
            self.memory,
        )
    }

    fn with_layer<'b>(&'b self, whole: &BoundInput<'b>, layer: &'b BlockTimes) -> BoundInput<'b> {
        whole.with_layer(layer, &self.links, self.prices.as_ref(), &self.shape)
    }

    /// What bounds a sharding of the layers.
    pub(super) fn bounds_of<'b>(&'b self, layer: &'b BlockTimes) -> BoundInput<'b> {
        self.with_layer(&self.bounds(), layer)
    }

    /// All shardings of the layers with what each of them bounds, the least bound first.
    pub(super) fn shardings(&self) -> Shardings<'_> {
        let whole = self.bounds();
        let mut shardings = Shardings { inputs: Vec::new(), order: Vec::new() };
        let mut known: BTreeMap<[u64; 3], usize> = BTreeMap::new();
        for (i, layer) in self.blocks.layer.iter().enumerate() {
            let key = [layer.parameters, layer.frozen, layer.tensor_reduced];
            let input = *known.entry(key).or_insert_with(|| {
                shardings.inputs.push(self.with_layer(&whole, layer));
                shardings.inputs.len() - 1
            });
            shardings.order.push((shardings.inputs[input].layer_bound(layer), i, input));
        }
        shardings.order.sort_unstable();
        shardings
    }

    /// With one sharding of the layers, to be solved with this effort.
    pub(super) fn instance<'b>(
        &'b self,
        layer: usize,
        shape: &'b PipelineShape,
        effort: Effort,
    ) -> Instance<'b> {
        let Solver { space, engine, stop, .. } = *self.solver;
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
            num_layers: space.num_layers,
            engine,
            effort,
            limits: Limits { nodes: effort.nodes(), enough: FEW_NODES, stop },
        }
    }
}

impl Instance<'_> {
    /// Numbers of layers that a stage may have: equal chunks only when interleaved.
    pub(super) fn range(&self) -> (u64, u64) {
        let (p, num_layers) = (self.candidate.pipeline, self.num_layers);
        if self.candidate.chunks > 1 || p == 1 {
            (num_layers / p, num_layers / p)
        } else {
            (1, num_layers + 1 - p)
        }
    }

    /// A bound on all plans whose stages have `layers` layers each: the largest of the typical
    /// paths, with every stage as fast as if memory were no matter.
    pub(super) fn least_row(&self, layers: u64) -> SimTime {
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

    /// Columns of every stage with numbers of layers in `range`, at most so many as `most` has;
    /// nothing where a stage has none or the layers can not all be placed.
    pub(super) fn columns(
        &self,
        (low, high): (u64, u64),
        most: &[u64],
    ) -> Option<Vec<Vec<Column>>> {
        let num_layers = self.num_layers;
        let fitting = |(q, most): (usize, &u64)| self.maker.most_layers(q, high.min(*most));
        let most: Vec<u64> = most.iter().enumerate().map(fitting).collect();
        if most.iter().any(|most| *most < low) {
            return None;
        }
        let total: u64 = most.iter().sum();
        if total < num_layers {
            return None;
        }
        let mut columns = Vec::with_capacity(most.len());
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

    pub(super) fn master(&self, columns: &[Vec<Column>], rows: &[PathRow]) -> Master {
        let entry = |column: &Column| Entry { layers: column.layers, values: Vec::new() };
        let stages = columns.iter().map(|stage| stage.iter().map(entry).collect()).collect();
        let mut master = Master { stages, constants: Vec::new(), layers: self.num_layers };
        rows.iter().for_each(|row| self.add_row(&mut master, columns, row));
        master
    }

    pub(super) fn add_row(&self, master: &mut Master, columns: &[Vec<Column>], row: &PathRow) {
        let value = |q: usize, k: usize| row.stage_value(q, &columns[q][k].times).picos();
        master.add_row(row.link_value(self.links).picos(), value);
    }
}
