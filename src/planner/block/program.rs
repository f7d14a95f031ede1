//! A block's choice of strategies, written out as the instructions of one rank.

use super::error::BlockError;
use super::structure::{Flow, Structure};
use crate::graph::{Block, Graph};
use crate::lower::{BlockCode, Conversion, Input, Operator};
use crate::plan::Strategy;
use crate::sharding::rules::gradient_sum;
use crate::sharding::{
    Instruction, Layout, Port, ShardContext, TensorShape, beside_next, conversion,
};

/// The instructions of one rank for one micro-batch of a block.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BlockProgram {
    /// Forward pass.
    pub forward: Vec<Instruction>,
    /// Backward pass, without recomputation.
    pub backward: Vec<Instruction>,
    /// Forward work repeated before the backward pass: none, selective, full.
    pub recompute: [Vec<Instruction>; 3],
}

/// Writes a choice of strategies out, conversions between layouts included.
///
/// Conversions of an operator's inputs come right before it and bear its index; those of the
/// block's output and the sum of its input's gradients bear the index of the operator that makes
/// or first reads it.
///
/// # Errors
/// As [`evaluate`](super::evaluate).
pub fn instructions(
    graph: &Graph,
    block: &Block,
    context: &ShardContext,
    boundary: Layout,
    strategies: &[Strategy],
) -> Result<BlockProgram, BlockError> {
    let code = block_code(graph, block, context, boundary, strategies)?;
    Ok(BlockProgram {
        backward: code.backward(),
        recompute: [Vec::new(), code.selective(), code.again()],
        forward: code.forward(),
    })
}

/// The operators of a block under a choice of strategies, with everything that runs between them.
///
/// # Errors
/// As [`evaluate`](super::evaluate).
pub fn block_code(
    graph: &Graph,
    block: &Block,
    context: &ShardContext,
    boundary: Layout,
    strategies: &[Strategy],
) -> Result<BlockCode, BlockError> {
    let structure = Structure::new(graph, block, context, boundary)?;
    let choice = structure.choice(strategies)?;
    let writer = Writer { structure: &structure, choice: &choice };
    let operator = |(index, node): (usize, &petgraph::graph::NodeIndex)| Operator {
        op: graph.dag[*node].clone(),
        sharding: structure.shardings[index][choice[index]].clone(),
        inputs: structure.flows_to(index).map(|(_, flow)| writer.input(flow)).collect(),
        output: structure.outputs[index],
        consumers: structure.consumers[index],
        repeated: structure.repeated[index],
        end: structure.leaves[index].then(|| writer.end(index)),
    };
    let entering = structure.entering.first();
    let port = structure.boundary_port();
    Ok(BlockCode {
        kind: block.kind,
        operators: block.ops.iter().enumerate().map(operator).collect(),
        boundary,
        input: entering.map(|(shape, _)| *shape),
        input_sum: entering.and_then(|(shape, readers)| {
            gradient_sum(0, *shape, port, *readers, structure.context)
        }),
    })
}

struct Writer<'a> {
    structure: &'a Structure<'a>,
    choice: &'a [usize],
}

impl Writer<'_> {
    /// The port at which a flow starts.
    fn source(&self, flow: &Flow) -> Port {
        flow.from.map_or(self.structure.boundary_port(), |from| {
            self.structure.shardings[from][self.choice[from]].output
        })
    }

    fn convert(&self, op: usize, shape: TensorShape, from: Layout, to: Layout) -> Conversion {
        let instructions = conversion(op, shape, from, to, self.structure.context);
        Conversion { from, to, instructions }
    }

    fn input(&self, flow: &Flow) -> Input {
        let source = self.source(flow);
        let read = self.structure.input(flow, self.choice[flow.to]).port;
        let mut leave = self.convert(flow.to, flow.shape, read.gradient, source.gradient);
        if self.structure.shardings[flow.to][self.choice[flow.to]].early_conversion().is_some() {
            beside_next(&mut leave.instructions);
        }
        Input {
            from: flow.from,
            shape: flow.shape,
            arrive: self.convert(flow.to, flow.shape, source.layout, read.layout),
            leave,
        }
    }

    fn end(&self, op: usize) -> [Conversion; 2] {
        let (shape, boundary) = (self.structure.outputs[op], self.structure.boundary);
        let output = self.structure.shardings[op][self.choice[op]].output;
        [
            self.convert(op, shape, output.layout, boundary),
            self.convert(op, shape, boundary, output.gradient),
        ]
    }
}
