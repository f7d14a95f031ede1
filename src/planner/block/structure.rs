//! A block as operators with their shardings and the tensors between them, before any price.

use super::error::BlockError;
use crate::graph::{Block, Graph, OpKind};
use crate::plan::Strategy;
use crate::sharding::{
    InputPort, Layout, Port, ShardContext, Sharding, Site, TensorShape, shardings,
};
use crate::units::Bytes;
use petgraph::Direction;
use petgraph::visit::EdgeRef;
use std::collections::BTreeMap;

/// A tensor that an operator of the block reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    /// Who makes it: an operator of the block, or nobody in it for the block's input.
    pub from: Option<usize>,
    /// Who reads it.
    pub to: usize,
    /// Which input it is there.
    pub slot: usize,
    /// Its size.
    pub shape: TensorShape,
    /// The first of the tensor's readers: what the producer keeps of it is counted there.
    pub first: bool,
}

/// Operators, shardings and tensors of a block.
#[derive(Debug)]
pub(super) struct Structure<'a> {
    pub context: &'a ShardContext<'a>,
    pub boundary: Layout,
    /// Name, and whether selective recomputation repeats it.
    pub ops: Vec<(&'a str, bool)>,
    pub kinds: Vec<&'a OpKind>,
    pub outputs: Vec<TensorShape>,
    /// Whether the block's successors read the output.
    pub leaves: Vec<bool>,
    /// How many gradients the output gets.
    pub consumers: Vec<u64>,
    pub shardings: Vec<Vec<Sharding>>,
    /// Whether full recomputation runs the operator again.
    pub repeated: Vec<bool>,
    /// By reader, then slot.
    pub flows: Vec<Flow>,
    /// The tensors that enter the block, with how many operators read each.
    pub entering: Vec<(TensorShape, u64)>,
}

/// Losses are kept in 32 bits.
fn element_bytes(kind: &OpKind, context: &ShardContext) -> u64 {
    match kind {
        OpKind::CrossEntropy { .. } | OpKind::LossSum => 4,
        _ => context.element_bytes(),
    }
}

/// Rows of a sequence that one of the context-parallel ranks holds; a sum's single row is on each.
fn local_rows(rows: u64, context: &ShardContext<'_>) -> Result<u64, BlockError> {
    match rows {
        1 => Ok(1),
        rows if rows.is_multiple_of(context.context) => Ok(rows / context.context),
        _ => Err(BlockError::Context(context.context)),
    }
}

fn check_ways(context: &ShardContext<'_>) -> Result<(), BlockError> {
    if context.tensor == 0 || context.micro_batch == 0 {
        let (tensor, micro_batch) = (context.tensor, context.micro_batch);
        return Err(BlockError::Empty { tensor, micro_batch });
    }
    if context.context == 0 {
        return Err(BlockError::Context(0));
    }
    Ok(())
}

impl<'a> Structure<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        block: &Block,
        context: &'a ShardContext<'a>,
        boundary: Layout,
    ) -> Result<Self, BlockError> {
        check_ways(context)?;
        let mut structure = Structure {
            context,
            boundary,
            ops: Vec::new(),
            kinds: Vec::new(),
            outputs: Vec::new(),
            leaves: Vec::new(),
            consumers: Vec::new(),
            shardings: Vec::new(),
            repeated: Vec::new(),
            flows: Vec::new(),
            entering: Vec::new(),
        };
        let index: BTreeMap<_, _> = block.ops.iter().enumerate().map(|(i, &n)| (n, i)).collect();
        let mut entering: BTreeMap<_, (TensorShape, u64)> = BTreeMap::new();
        let mut seen = vec![false; block.ops.len()];
        for (i, &node) in block.ops.iter().enumerate() {
            let op = &graph.dag[node];
            let mut incoming: Vec<_> =
                graph.dag.edges_directed(node, Direction::Incoming).collect();
            incoming.sort_by_key(|edge| (edge.weight().slot, edge.source()));
            let mut inputs = Vec::with_capacity(incoming.len());
            for (slot, edge) in incoming.iter().enumerate() {
                let element_bytes = element_bytes(&graph.dag[edge.source()].kind, context);
                let (rows, width) = (local_rows(edge.weight().rows, context)?, edge.weight().width);
                let shape = TensorShape { rows, width, element_bytes };
                let from = index.get(&edge.source()).copied();
                let first = match from {
                    Some(producer) => !std::mem::replace(&mut seen[producer], true),
                    None => {
                        entering.entry(edge.source()).or_insert((shape, 0)).1 += 1;
                        false
                    }
                };
                inputs.push(shape);
                structure.flows.push(Flow { from, to: i, slot, shape, first });
            }
            let readers: Vec<_> = graph
                .dag
                .neighbors_directed(node, Direction::Outgoing)
                .map(|reader| index.contains_key(&reader).then(|| &graph.dag[reader].kind))
                .collect();
            let inside = readers.iter().flatten().count() as u64;
            let leaves = inside < readers.len() as u64;
            let output = TensorShape {
                rows: local_rows(op.rows, context)?,
                width: op.width,
                element_bytes: element_bytes(&op.kind, context),
            };
            let consumer = if inside == 1 && !leaves { readers[0] } else { None };
            let consumers = inside + leaves as u64;
            let site = Site { op, index: i, inputs, output, consumers, consumer };
            structure.shardings.push(shardings(&site, context));
            structure.ops.push((&op.name, op.attention_core));
            structure.kinds.push(&op.kind);
            structure.outputs.push(output);
            structure.leaves.push(leaves);
            structure.consumers.push(consumers);
        }
        structure.entering = entering.into_values().collect();
        structure.repeated = structure.repeated_operators();
        structure.check_boundary().map(|()| structure)
    }

    /// Operators that full recomputation runs again: all, or, where it stops early, those that keep
    /// something for their backward pass or come before one that does.
    fn repeated_operators(&self) -> Vec<bool> {
        let mut repeated = vec![!self.context.stack.recompute_stops_early; self.ops.len()];
        for op in (0..self.ops.len()).rev() {
            let keeps = |sharding: &Sharding| sharding.saved > Bytes::ZERO || sharding.output_kept;
            let is_needed = |flow: &Flow| {
                let kept = self.shardings[flow.to].iter().any(|s| s.inputs[flow.slot].kept);
                kept || repeated[flow.to]
            };
            let mut readers = self.flows.iter().filter(|flow| flow.from == Some(op));
            repeated[op] =
                repeated[op] || self.shardings[op].iter().any(keeps) || readers.any(is_needed);
        }
        repeated
    }

    fn check_boundary(&self) -> Result<(), BlockError> {
        let (layout, tensor) = (self.boundary, self.context.tensor);
        let entering = self.entering.iter().map(|(shape, _)| shape.rows);
        let leaving =
            self.outputs.iter().zip(&self.leaves).filter(|(_, l)| **l).map(|(o, _)| o.rows);
        for rows in entering.chain(leaving) {
            let possible = match layout {
                Layout::Replicated => true,
                Layout::Sequence => rows.is_multiple_of(tensor),
                Layout::Feature | Layout::Partial => false,
            };
            if !possible {
                return Err(BlockError::Boundary { layout, rows, tensor });
            }
        }
        Ok(())
    }

    /// The block's ends: both activation and gradient in the boundary layout.
    pub(super) const fn boundary_port(&self) -> Port {
        Port { layout: self.boundary, gradient: self.boundary }
    }

    /// What a reader asks of a flow under one of its shardings.
    pub(super) fn input(&self, flow: &Flow, choice: usize) -> InputPort {
        self.shardings[flow.to][choice].inputs[flow.slot]
    }

    /// The flows of one reader, by slot.
    pub(super) fn flows_to(&self, op: usize) -> impl DoubleEndedIterator<Item = (usize, &Flow)> {
        self.flows.iter().enumerate().filter(move |(_, flow)| flow.to == op)
    }

    /// Indices of the shardings of these names. With one rank all names mean the same.
    pub(super) fn choice(&self, strategies: &[Strategy]) -> Result<Vec<usize>, BlockError> {
        let (expected, found) = (self.ops.len(), strategies.len());
        if expected != found {
            return Err(BlockError::Count { expected, found });
        }
        let find = |(op, strategy): (usize, &Strategy)| {
            let offered = &self.shardings[op];
            if self.context.tensor == 1 {
                return Ok(0);
            }
            offered.iter().position(|s| s.strategy == *strategy).ok_or_else(|| {
                BlockError::Strategy {
                    operator: self.ops[op].0.to_owned(),
                    strategy: *strategy,
                    offered: offered.iter().map(|s| s.strategy).collect(),
                }
            })
        };
        strategies.iter().enumerate().map(find).collect()
    }
}
