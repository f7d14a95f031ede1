//! Look-ups in learned tables: by token (which may be split by vocabulary, Shoeybi et al. 2019,
//! §3), by position and by token type.
//!
//! Backward, a dense gradient of the table is filled with zeros, the rows are added to it, and it
//! is added to the step's gradient, as in PyTorch. A frozen table has no backward pass.

use super::instructions::{accumulate, memory};
use super::sharded::{Sharding, input, same};
use super::site::Site;
use crate::graph::{Collective, OpKind, PassKind};
use crate::plan::Strategy;
use crate::sharding::{Instruction, Layout, OperatorGroup, ShardContext};
use crate::units::Bytes;

pub(super) fn shardings(site: &Site, context: &ShardContext) -> Vec<Sharding> {
    let mut all = vec![shard(site, context, Strategy::Replicated)];
    if context.tensor == 1 {
        return all;
    }
    let rows = site.rows_divide(context);
    if rows {
        all.push(shard(site, context, Strategy::Sequence));
    }
    if matches!(site.op.kind, OpKind::TokenEmbedding { vocab } if vocab >= context.tensor) {
        all.push(shard(site, context, Strategy::Vocabulary));
        if rows {
            all.push(shard(site, context, Strategy::VocabularyScatter));
        }
    }
    all
}

fn shard(site: &Site, context: &ShardContext, strategy: Strategy) -> Sharding {
    let split = strategy.splits_vocabulary();
    let table_rows = match site.op.kind {
        OpKind::TokenEmbedding { vocab } if split => vocab.div_ceil(context.tensor),
        OpKind::TokenEmbedding { vocab: rows }
        | OpKind::PositionEmbedding { positions: rows }
        | OpKind::TokenTypeEmbedding { types: rows } => rows,
        _ => 0,
    };
    let table = table_rows * site.output.width;
    let layout = match strategy {
        Strategy::Sequence | Strategy::VocabularyScatter => Layout::Sequence,
        _ => Layout::Replicated,
    };
    let table_bytes = table * context.element_bytes();
    let frozen = site.op.trained.is_frozen();
    // Each rank looks all rows up in its part of the table.
    let looked_up = if split { Layout::Replicated } else { layout };
    let rows_bytes = site.output_bytes(looked_up, context);
    Sharding {
        strategy,
        inputs: site.inputs.iter().map(|_| input(layout, false)).collect(),
        output: same(layout),
        output_kept: false,
        forward: forward(site, context, strategy, rows_bytes),
        backward: if frozen {
            Vec::new()
        } else {
            backward(site, context, strategy, rows_bytes, table)
        },
        early_input_gradient: false,
        saved: Bytes::ZERO,
        parameters: table,
        tied_parameters: 0,
        frozen_parameters: if frozen { table } else { 0 },
        tensor_reduced_parameters: if strategy == Strategy::Sequence && !frozen {
            table
        } else {
            0
        },
        workspace: Bytes::new(2 * rows_bytes + if frozen { 0 } else { table_bytes }),
    }
}

fn communicate(site: &Site, collective: Collective, bytes: u64) -> Instruction {
    Instruction::Communicate {
        op: site.index,
        collective,
        group: OperatorGroup::Tensor,
        bytes: Bytes::new(bytes),
        overlap: None,
    }
}

fn forward(
    site: &Site,
    context: &ShardContext,
    strategy: Strategy,
    rows_bytes: u64,
) -> Vec<Instruction> {
    let op = site.index;
    let whole = site.output_bytes(Layout::Replicated, context);
    match strategy {
        // Mask of the tokens that are elsewhere, look-up, zeros for those.
        Strategy::Vocabulary => vec![
            memory(op, PassKind::Embedding, rows_bytes, 2 * rows_bytes, 3),
            communicate(site, Collective::AllReduce, whole),
        ],
        Strategy::VocabularyScatter => vec![
            memory(op, PassKind::Embedding, rows_bytes, 2 * rows_bytes, 3),
            communicate(site, Collective::ReduceScatter, whole),
        ],
        _ => {
            let mut forward = vec![memory(op, PassKind::Embedding, rows_bytes, rows_bytes, 1)];
            if !site.inputs.is_empty() {
                forward.push(memory(op, PassKind::DropoutAdd, 2 * rows_bytes, rows_bytes, 1));
            }
            forward
        }
    }
}

fn backward(
    site: &Site,
    context: &ShardContext,
    strategy: Strategy,
    rows_bytes: u64,
    table: u64,
) -> Vec<Instruction> {
    let op = site.index;
    let table_bytes = table * context.element_bytes();
    let mut backward = Vec::new();
    if strategy == Strategy::VocabularyScatter {
        let whole = site.output_bytes(Layout::Replicated, context);
        backward.push(communicate(site, Collective::AllGather, whole));
    }
    backward.push(memory(op, PassKind::Embedding, rows_bytes, table_bytes + rows_bytes, 2));
    backward.push(accumulate(op, table, 1, context));
    backward
}
