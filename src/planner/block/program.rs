//! A block's choice of strategies, written out as the instructions of one rank.

use super::BlockError;
use super::structure::{Flow, Structure};
use crate::graph::{Block, Graph};
use crate::sharding::rules::gradient_sum;
use crate::sharding::{Instruction, Layout, Port, ShardContext, beside_next, conversion};

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
    strategies: &[&str],
) -> Result<BlockProgram, BlockError> {
    let structure = Structure::new(graph, block, context, boundary)?;
    let choice = structure.choice(strategies)?;
    let writer = Writer { structure: &structure, choice: &choice };
    let forward = writer.forward();
    Ok(BlockProgram {
        backward: writer.backward(),
        recompute: [Vec::new(), writer.selective(), forward.clone()],
        forward,
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

    fn arrive(&self, flow: &Flow) -> Vec<Instruction> {
        let to = self.structure.input(flow, self.choice[flow.to]).port.layout;
        conversion(flow.to, flow.shape, self.source(flow).layout, to, self.structure.context)
    }

    fn forward(&self) -> Vec<Instruction> {
        let mut forward = Vec::new();
        for (op, &k) in self.choice.iter().enumerate() {
            for (_, flow) in self.structure.flows_to(op) {
                forward.extend(self.arrive(flow));
            }
            let sharding = &self.structure.shardings[op][k];
            forward.extend(sharding.forward.iter().cloned());
            if self.structure.leaves[op] {
                forward.extend(self.at_end(op, sharding.output.layout, self.structure.boundary));
            }
        }
        forward
    }

    fn backward(&self) -> Vec<Instruction> {
        let structure = self.structure;
        let mut backward = Vec::new();
        for (op, &k) in self.choice.iter().enumerate().rev() {
            let sharding = &structure.shardings[op][k];
            if structure.leaves[op] {
                backward.extend(self.at_end(op, structure.boundary, sharding.output.gradient));
            }
            let mut conversions = Vec::new();
            for (_, flow) in structure.flows_to(op).rev() {
                let left = structure.input(flow, k).port.gradient;
                let wanted = self.source(flow).gradient;
                conversions.extend(conversion(op, flow.shape, left, wanted, structure.context));
            }
            let at = match sharding.early_conversion() {
                Some((at, _)) => {
                    beside_next(&mut conversions);
                    at
                }
                None => sharding.backward.len(),
            };
            backward.extend(sharding.backward[..at].iter().cloned());
            backward.extend(conversions);
            backward.extend(sharding.backward[at..].iter().cloned());
        }
        for (shape, readers) in &structure.entering {
            let port = structure.boundary_port();
            backward.extend(gradient_sum(0, *shape, port, *readers, structure.context));
        }
        backward
    }

    fn at_end(&self, op: usize, from: Layout, to: Layout) -> Vec<Instruction> {
        conversion(op, self.structure.outputs[op], from, to, self.structure.context)
    }

    /// The attention core, from the tensors that it starts from as they arrived.
    fn selective(&self) -> Vec<Instruction> {
        let in_core = |op: usize| self.structure.ops[op].1;
        let mut selective = Vec::new();
        for op in (0..self.choice.len()).filter(|op| in_core(*op)) {
            for (_, flow) in self.structure.flows_to(op) {
                if flow.from.is_some_and(in_core) {
                    selective.extend(self.arrive(flow));
                }
            }
            let sharding = &self.structure.shardings[op][self.choice[op]];
            selective.extend(sharding.forward.iter().cloned());
        }
        selective
    }
}
