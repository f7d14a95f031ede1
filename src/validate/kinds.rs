//! What the computation of a plan consists of, by kind of kernel.

use crate::graph::{BlockKind, Kernel, PassKind};
use crate::lower::blocks::instructions;
use crate::planner::block::BlockOption;
use crate::planner::job::Job;
use crate::planner::predict::choice::Choice;
use crate::sharding::{Instruction, InstructionCost};

/// Seconds of an iteration on one rank of an average stage, each micro-batch counted, by kind of
/// kernel, without waiting for the host.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Kinds {
    /// Products of linear layers.
    pub linear: f64,
    /// Attention: fused, or its products.
    pub attention: f64,
    /// Passes over attention scores.
    pub scores: f64,
    /// Passes over activations.
    pub passes: f64,
    /// Logits and their loss: the passes.
    pub loss: f64,
    /// Kernels that the host launches.
    pub launches: f64,
}

/// Splits the computation of a plan by kind.
pub fn kinds(job: &Job, choice: &Choice) -> Kinds {
    let c = &choice.mapping.candidate;
    let mut kinds = Kinds::default();
    let mut add = |kind: BlockKind, option: &BlockOption, counts: [u64; 3]| {
        let context = job.workload.shard_context(c.tensor, c.context, c.micro_batch);
        let prices = job.block_prices(c.tensor, c.context);
        let block = job.workload.block(kind);
        let boundary = c.boundary();
        let strategies = &option.strategies;
        let Ok(program) = instructions(&job.workload.graph, block, &context, boundary, strategies)
        else {
            return;
        };
        let all: u64 = counts.iter().sum();
        let share = c.micro_batches as f64 / c.pipeline as f64;
        let mut lists = vec![(&program.forward, all), (&program.backward, all)];
        lists.push((&program.recompute[1], counts[1]));
        lists.push((&program.recompute[2], counts[2]));
        for (list, count) in lists {
            for instruction in list {
                let Instruction::Compute { op, kernel } = instruction else { continue };
                let core = job.workload.graph.dag[block.ops[*op]].attention_core;
                let weight = share * count as f64;
                let time = prices.kernel(kernel).seconds().get() * weight;
                kinds.launches += kernel.launches() as f64 * weight;
                match kernel {
                    Kernel::FlashAttention { .. } => kinds.attention += time,
                    Kernel::Gemm { .. } if core => kinds.attention += time,
                    Kernel::Gemm { .. } => kinds.linear += time,
                    Kernel::Memory { pass: PassKind::CrossEntropy, .. } => kinds.loss += time,
                    Kernel::Memory { .. } if core => kinds.scores += time,
                    Kernel::Memory { .. } => kinds.passes += time,
                }
            }
        }
    };
    add(BlockKind::Embedding, &choice.embedding, [1, 0, 0]);
    add(BlockKind::Head, &choice.head, [1, 0, 0]);
    let mut counts = [0u64; 3];
    for stage in choice.stage_plans(job) {
        let r = stage.recompute;
        counts = [counts[0] + r.none, counts[1] + r.selective, counts[2] + r.full];
    }
    add(BlockKind::Layer, &choice.layer, counts);
    kinds
}
