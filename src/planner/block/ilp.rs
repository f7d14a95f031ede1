//! The choice of strategies for a block as an integer program, under caps on saved bytes and
//! parameters (an ε-constraint): it certifies points of the Pareto set.

use super::option::BlockOption;
use super::priced_block::{Measure, PricedBlock};
use crate::graph::{Block, Graph};
use crate::lower::blocks::BlockError;
use crate::sharding::{InstructionCost, Layout, ShardContext};
use crate::solver::{
    AssignmentEdge, AssignmentIlp, Backend, Resource, SolveError, SolverLimits, Status,
};

/// Upper limits on a block; nothing is limited by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caps {
    /// Bytes kept per micro-batch without recomputation.
    pub saved: u64,
    /// Parameter elements on a rank.
    pub parameters: u64,
}

impl Caps {
    /// No limits.
    pub const NONE: Caps = Caps { saved: u64::MAX, parameters: u64::MAX };

    /// What an option keeps and has.
    pub fn of(option: &BlockOption) -> Caps {
        Caps { saved: option.saved[0].get(), parameters: option.parameters }
    }

    /// Whether an option is within.
    pub fn allow(&self, option: &BlockOption) -> bool {
        let own = Caps::of(option);
        own.saved <= self.saved && own.parameters <= self.parameters
    }
}

/// What a solver says of a block under caps.
#[derive(Debug, Clone, PartialEq)]
pub struct SolvedBlock {
    /// How it ended.
    pub status: Status,
    /// The fastest option found.
    pub option: Option<BlockOption>,
    /// No option within the caps is faster, in picoseconds, as far as the solver has proven.
    pub bound: u64,
    /// Variables of the program.
    pub variables: usize,
    /// Its rows.
    pub rows: usize,
}

/// The integer program of one block in one context.
pub struct BlockIlp<'a> {
    priced: PricedBlock<'a>,
    ilp: AssignmentIlp,
}

impl<'a> BlockIlp<'a> {
    /// States the choice for a block; the objective is the picoseconds of forward and backward.
    ///
    /// # Errors
    /// A boundary or context that the block can not have.
    pub fn new(
        graph: &'a Graph,
        block: &Block,
        context: &'a ShardContext<'a>,
        boundary: Layout,
        cost: &'a dyn InstructionCost,
    ) -> Result<Self, BlockError> {
        let priced = PricedBlock::new(graph, block, context, boundary, cost)?;
        let ilp = program(&priced);
        Ok(BlockIlp { priced, ilp })
    }

    /// The fastest option within caps, proven; nothing where none is.
    ///
    /// # Errors
    /// The solver failed, or a limit stopped it before its proof.
    pub fn fastest(
        &mut self,
        caps: Caps,
        backend: Backend,
        limits: &SolverLimits,
    ) -> Result<Option<BlockOption>, SolveError> {
        let solved = self.solve(caps, backend, limits)?;
        match solved.status {
            Status::Optimal | Status::Infeasible => Ok(solved.option),
            Status::Limit | Status::Unbounded => Err(SolveError::NotProven),
        }
    }

    /// The fastest option within caps, as far as the solver has come.
    ///
    /// # Errors
    /// The solver failed.
    pub fn solve(
        &mut self,
        caps: Caps,
        backend: Backend,
        limits: &SolverLimits,
    ) -> Result<SolvedBlock, SolveError> {
        let fixed = &self.priced.fixed;
        self.ilp.resources[0].limit = caps.saved.saturating_sub(fixed.saved + fixed.core_saved);
        self.ilp.resources[1].limit = caps.parameters.saturating_sub(fixed.parameters);
        let solved = self.ilp.solve(backend, limits)?;
        Ok(SolvedBlock {
            status: solved.status,
            option: solved.choice.map(|choice| self.priced.option(&choice)),
            bound: (solved.bound.max(0.0) as u64).saturating_add(time(fixed)),
            variables: solved.variables,
            rows: solved.rows,
        })
    }

    /// The program itself.
    pub const fn program(&self) -> &AssignmentIlp {
        &self.ilp
    }
}

fn time(measure: &Measure) -> u64 {
    measure.forward.time().picos() + measure.backward.time().picos()
}

fn saved(measure: &Measure) -> u64 {
    measure.saved + measure.core_saved
}

/// Nodes are operators, choices their shardings, edges the tensors inside of the block.
fn program(priced: &PricedBlock) -> AssignmentIlp {
    let per_node = |value: &dyn Fn(&Measure) -> u64| -> Vec<Vec<u64>> {
        priced.nodes.iter().map(|choices| choices.iter().map(value).collect()).collect()
    };
    let inside: Vec<_> = priced
        .structure
        .flows
        .iter()
        .zip(&priced.flows)
        .filter_map(|(flow, prices)| flow.from.map(|from| (from, flow.to, prices)))
        .collect();
    let table = |from: usize, prices: &[Vec<Measure>], value: &dyn Fn(&Measure) -> u64| {
        priced.class_of[from]
            .iter()
            .map(|&class| prices[class].iter().map(value).collect::<Vec<u64>>())
            .collect::<Vec<_>>()
    };
    let edges = inside
        .iter()
        .map(|&(from, to, prices)| {
            let costs = table(from, prices, &time);
            let costs = costs.into_iter().map(|row| row.into_iter().map(Some).collect()).collect();
            AssignmentEdge { from, to, costs }
        })
        .collect();
    let saved_on_edges = inside
        .iter()
        .enumerate()
        .map(|(edge, &(from, _, prices))| (edge, table(from, prices, &saved)))
        .collect();
    let by_node = |usage: Vec<Vec<u64>>| usage.into_iter().enumerate().collect();
    AssignmentIlp {
        costs: per_node(&time).into_iter().map(|c| c.into_iter().map(Some).collect()).collect(),
        edges,
        resources: vec![
            Resource { nodes: by_node(per_node(&saved)), edges: saved_on_edges, limit: u64::MAX },
            Resource {
                nodes: by_node(per_node(&|m| m.parameters)),
                edges: Vec::new(),
                limit: u64::MAX,
            },
        ],
    }
}
