//! Softmax cross-entropy, whole or over a sharded vocabulary (Shoeybi et al. 2019, §3), and the sum
//! of losses.
//!
//! Unfused, logits are widened to 32 bits and the softmax is kept in 32 bits: 4·s·b·V bytes
//! (Korthikanti et al. 2022, §4.3). Over a sharded vocabulary three numbers a row are reduced over
//! the group: the maximum, the target's logit, the sum of exponentials.

use super::instructions::memory;
use super::sharded::{InputPort, Port, Sharding, input, same};
use super::site::{Site, VOCABULARY_MULTIPLE};
use crate::graph::{Collective, OpKind, PassKind};
use crate::plan::Strategy;
use crate::sharding::{Instruction, Layout, OperatorGroup, ShardContext, local_elements};
use crate::units::Bytes;

/// Bytes of a loss.
const LOSS_BYTES: u64 = 4;

pub(super) fn shardings(site: &Site, context: &ShardContext) -> Vec<Sharding> {
    let is_sum = site.op.kind == OpKind::LossSum;
    let shard = if is_sum { loss_sum } else { cross_entropy };
    let mut all = vec![shard(site, context, Strategy::Replicated)];
    if context.tensor == 1 {
        return all;
    }
    // A sum has one row, whatever its inputs have.
    if site.inputs.iter().all(|shape| shape.rows.is_multiple_of(context.tensor)) {
        all.push(shard(site, context, Strategy::Sequence));
    }
    let t = context.tensor;
    if matches!(site.op.kind, OpKind::CrossEntropy { classes }
        if classes.is_multiple_of(t) || classes >= VOCABULARY_MULTIPLE * t)
    {
        all.push(shard(site, context, Strategy::Vocabulary));
    }
    all
}

fn cross_entropy(site: &Site, context: &ShardContext, strategy: Strategy) -> Sharding {
    let layout = match strategy {
        Strategy::Vocabulary => Layout::Feature,
        Strategy::Sequence => Layout::Sequence,
        _ => Layout::Replicated,
    };
    let op = site.index;
    let logits = site.inputs.first().map_or(0, |shape| local_elements(*shape, layout, context));
    let element = context.element_bytes();
    let narrow = logits * element;
    let wide = logits * 4;
    let pass =
        |read, written, launches| memory(op, PassKind::CrossEntropy, read, written, launches);
    let fused = context.stack.fused_cross_entropy;
    let mut forward = vec![match (fused, strategy) {
        // Statistics, then the softmax.
        (true, _) => pass(2 * narrow, narrow, 2),
        // Widen, maximum, subtract, exponentials, their sum, divide.
        (false, Strategy::Vocabulary) => pass(narrow + 5 * wide, 4 * wide, 8),
        // Widen, log-softmax (two reads), choose.
        (false, _) => pass(narrow + 2 * wide, 2 * wide, 3),
    }];
    if strategy == Strategy::Vocabulary {
        let rows = context.micro_batch * site.output.rows;
        forward.extend((0..3).map(|_| Instruction::Communicate {
            op,
            collective: Collective::AllReduce,
            group: OperatorGroup::Tensor,
            bytes: Bytes::new(rows * LOSS_BYTES),
            overlap: None,
        }));
    }
    let backward = vec![if fused {
        pass(narrow, narrow, 1)
    } else {
        // Subtract the target, scale, narrow.
        pass(2 * wide, wide + narrow, 3)
    }];
    let output = if strategy == Strategy::Sequence { Layout::Sequence } else { Layout::Replicated };
    Sharding {
        strategy,
        inputs: vec![InputPort { port: Port { layout, gradient: layout }, kept: false }],
        output: same(output),
        output_kept: false,
        forward,
        backward,
        early_input_gradient: false,
        saved: Bytes::new(if fused { narrow } else { wide }),
        parameters: 0,
        tied_parameters: 0,
        frozen_parameters: 0,
        tensor_reduced_parameters: 0,
        // The logits and either their copy or their gradient.
        workspace: Bytes::new(if fused { 2 * narrow } else { narrow + wide }),
    }
}

fn loss_sum(site: &Site, context: &ShardContext, strategy: Strategy) -> Sharding {
    let layout = if strategy == Strategy::Sequence { Layout::Sequence } else { Layout::Replicated };
    let op = site.index;
    let bytes: u64 =
        (0..site.inputs.len()).map(|slot| site.input_bytes(slot, layout, context)).sum();
    let launches = site.inputs.len() as u64;
    let mut forward = vec![memory(op, PassKind::CrossEntropy, bytes, LOSS_BYTES, launches)];
    if strategy == Strategy::Sequence {
        forward.push(Instruction::Communicate {
            op,
            collective: Collective::AllReduce,
            group: OperatorGroup::Tensor,
            bytes: Bytes::new(LOSS_BYTES),
            overlap: None,
        });
    }
    Sharding {
        strategy,
        inputs: site.inputs.iter().map(|_| input(layout, false)).collect(),
        output: same(Layout::Replicated),
        output_kept: false,
        forward,
        backward: vec![memory(op, PassKind::CrossEntropy, LOSS_BYTES, bytes, launches)],
        early_input_gradient: false,
        saved: Bytes::ZERO,
        parameters: 0,
        tied_parameters: 0,
        frozen_parameters: 0,
        tensor_reduced_parameters: 0,
        workspace: Bytes::new(bytes),
    }
}
