//! Parameters, operations and tensors of a graph, read off its operators.

use super::adapter::Adapter;
use super::op::{Block, Edge, Graph, Op, OpKind};
use crate::units::Flops;
use petgraph::Direction;
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;

/// Matrix work of a training step over that of its forward pass: the backward pass computes two
/// products, the gradients of both operands, for each one of the forward pass.
const STEP_OVER_FORWARD: f64 = 3.0;

impl Op {
    /// Operations of the forward pass over one sequence, matrix products only: 2·rows·in·out for a
    /// linear layer, 2·rows·r·(in + out) for each of its adapters; 4·s²·a·d for attention, which is
    /// counted in full also where it is causal (Chowdhery et al. 2022, appendix B; Narayanan et al.
    /// 2021, appendix). Nothing else counts.
    pub fn forward_flops(&self) -> Flops {
        match self.kind {
            OpKind::Linear { input, output, .. } => {
                let adapters: f64 = self.trained.adapters().iter().map(Adapter::elements_f64).sum();
                self.weight_flops(input, output) + Flops::new(2.0 * self.rows as f64 * adapters)
            }
            OpKind::Attention { heads, head_dim, .. } => {
                let rows = self.rows as f64;
                Flops::new(4.0 * rows * rows * heads as f64 * head_dim as f64)
            }
            _ => Flops::ZERO,
        }
    }

    /// Operations of the backward pass over one sequence that frozen weights save: the product that
    /// would give their gradient, as large as that of the forward pass.
    pub fn frozen_flops(&self) -> Flops {
        match self.kind {
            OpKind::Linear { input, output, .. } if self.trained.is_frozen() => {
                self.weight_flops(input, output)
            }
            _ => Flops::ZERO,
        }
    }

    /// Operations of one product of a linear layer's rows with its weights.
    fn weight_flops(&self, input: u64, output: u64) -> Flops {
        Flops::new(2.0 * self.rows as f64 * input as f64 * output as f64)
    }

    /// Elements of its output for one sequence.
    pub const fn output_elements(&self) -> u64 {
        self.rows.saturating_mul(self.width)
    }

    /// Elements of its own parameters; those tied to the token embedding are counted there.
    pub fn parameter_elements(&self) -> u64 {
        let own = self.parameters().into_iter().filter(|parameter| !parameter.tied);
        own.fold(0, |sum, parameter| sum.saturating_add(parameter.elements()))
    }

    /// Those of them that are trained.
    pub fn trained_elements(&self) -> u64 {
        let own = self.parameters().into_iter().filter(|p| p.trained && !p.tied);
        own.fold(0, |sum, parameter| sum.saturating_add(parameter.elements()))
    }
}

impl Graph {
    /// Parameters of the model, those of adapters included; tied ones count once.
    pub fn parameters(&self) -> u64 {
        let blocks = self
            .blocks
            .iter()
            .map(|block| self.block_parameters(block).saturating_mul(block.multiplicity));
        blocks.fold(0, u64::saturating_add)
    }

    /// Parameters of the model that have gradients and optimizer states: all, but under LoRA.
    pub fn trained_parameters(&self) -> u64 {
        let blocks = self.blocks.iter().map(|block| {
            let ops = block.ops.iter().map(|&node| self.dag[node].trained_elements());
            ops.fold(0, u64::saturating_add).saturating_mul(block.multiplicity)
        });
        blocks.fold(0, u64::saturating_add)
    }

    /// Parameters of the model that stay as they are.
    pub fn frozen_parameters(&self) -> u64 {
        self.parameters().saturating_sub(self.trained_parameters())
    }

    /// Parameters of one occurrence of a block; those tied to the token embedding count there.
    pub fn block_parameters(&self, block: &Block) -> u64 {
        let ops = block.ops.iter().map(|&node| self.dag[node].parameter_elements());
        ops.fold(0, u64::saturating_add)
    }

    /// Operations of the forward pass of one occurrence of a block over one sequence.
    pub fn block_forward_flops(&self, block: &Block) -> Flops {
        block.ops.iter().map(|&node| self.dag[node].forward_flops()).sum()
    }

    /// Operations that a training step over `batch` sequences needs: forward and backward pass,
    /// matrix products only, nothing recomputed. For a GPT this is
    /// 72·B·s·L·h²·(1 + s/(6h) + V/(12·L·h)) (Narayanan et al. 2021, eq. 3, without its factor
    /// 4/3 for recomputation). Frozen weights need no gradient, so that their part is two thirds of
    /// that (Hu et al. 2021, §4.2).
    pub fn model_flops(&self, batch: u64) -> Flops {
        let forward: Flops = self
            .blocks
            .iter()
            .map(|block| self.block_forward_flops(block) * block.multiplicity as f64)
            .sum();
        let frozen = self.blocks.iter().map(|block| {
            let ops = block.ops.iter().map(|&node| self.dag[node].frozen_flops());
            ops.sum::<Flops>() * block.multiplicity as f64
        });
        forward * (STEP_OVER_FORWARD * batch as f64) - frozen.sum::<Flops>() * batch as f64
    }

    /// The operators whose outputs an operator reads, with the tensors, by slot.
    pub fn inputs(&self, op: NodeIndex) -> Vec<(NodeIndex, &Edge)> {
        let edges = self.dag.edges_directed(op, Direction::Incoming);
        let mut inputs: Vec<_> = edges.map(|edge| (edge.source(), edge.weight())).collect();
        inputs.sort_by_key(|(_, edge)| edge.slot);
        inputs
    }

    /// The operator before the first occurrence of a block, whose output is the block's only
    /// input; nothing for the first block of a graph.
    pub fn block_entry(&self, block: &Block) -> Option<NodeIndex> {
        let inputs = block.ops.iter().flat_map(|&node| self.inputs(node));
        inputs.map(|(from, _)| from).find(|from| !block.ops.contains(from))
    }

    /// Elements for one sequence of the tensor that enters a block: what full recomputation keeps
    /// of it. Zero for the first block of a graph.
    pub fn block_input_elements(&self, block: &Block) -> u64 {
        self.block_entry(block).map_or(0, |entry| self.dag[entry].output_elements())
    }
}
