//! Megatron-LM's shardings of a block: column then row, heads, vocabulary; with sequence-sharded
//! activations between them where the block's ends are sequence-sharded (Shoeybi et al. 2019, §3;
//! Korthikanti et al. 2022, §4.2.2).

use super::error::BlockError;
use super::option::BlockOption;
use super::priced_block::PricedBlock;
use super::structure::Structure;
use crate::graph::{Block, Graph, OpKind};
use crate::plan::Strategy;
use crate::sharding::{InstructionCost, Layout, ShardContext};

/// Megatron-LM's strategy of each operator of a block, and what they cost.
///
/// An operator whose dimensions do not divide by the group is left replicated.
///
/// # Errors
/// A boundary or context that the block can not have.
pub fn megatron_option(
    graph: &Graph,
    block: &Block,
    context: &ShardContext,
    boundary: Layout,
    cost: &dyn InstructionCost,
) -> Result<BlockOption, BlockError> {
    let priced = PricedBlock::new(graph, block, context, boundary, cost)?;
    let choice = choose(&priced.structure);
    Ok(priced.option(&choice))
}

/// Megatron-LM's strategy of each operator of a block, in the order of its operators.
///
/// # Errors
/// A boundary or context that the block can not have.
pub fn megatron_strategies(
    graph: &Graph,
    block: &Block,
    context: &ShardContext,
    boundary: Layout,
) -> Result<Vec<Strategy>, BlockError> {
    let structure = Structure::new(graph, block, context, boundary)?;
    let choice = choose(&structure);
    Ok(choice.iter().zip(&structure.shardings).map(|(&k, all)| all[k].strategy).collect())
}

fn choose(structure: &Structure) -> Vec<usize> {
    let mut choice: Vec<usize> = Vec::with_capacity(structure.ops.len());
    for op in 0..structure.ops.len() {
        let arriving = structure.flows_to(op).map(|(_, flow)| match flow.from {
            Some(from) => structure.shardings[from][choice[from]].output.layout,
            None => structure.boundary,
        });
        let arriving = arriving.min().unwrap_or(structure.boundary);
        let wanted = preferences(structure, op, arriving);
        let offered = &structure.shardings[op];
        let found =
            wanted.iter().find_map(|strategy| offered.iter().position(|s| s.strategy == *strategy));
        choice.push(found.unwrap_or(0));
    }
    choice
}

/// Strategies in order of preference, for an input that arrives in a layout.
fn preferences(structure: &Structure, op: usize, arriving: Layout) -> &'static [Strategy] {
    let sequence = structure.boundary == Layout::Sequence;
    match structure.kinds[op] {
        OpKind::Linear { .. } if arriving == Layout::Feature => {
            if sequence {
                &[Strategy::RowScatter, Strategy::Row]
            } else {
                &[Strategy::Row]
            }
        }
        OpKind::Linear { .. } if feeds_split(structure, op) => match arriving {
            Layout::Sequence => &[Strategy::ColumnGather, Strategy::Column],
            _ => &[Strategy::Column],
        },
        OpKind::TokenEmbedding { .. } if sequence => {
            &[Strategy::VocabularyScatter, Strategy::Vocabulary]
        }
        OpKind::TokenEmbedding { .. } => &[Strategy::Vocabulary],
        _ => match arriving {
            Layout::Feature => &[Strategy::Heads, Strategy::Feature, Strategy::Vocabulary],
            Layout::Sequence => &[Strategy::Sequence],
            Layout::Replicated | Layout::Partial => &[Strategy::Replicated],
        },
    }
}

/// Whether the output of a linear layer goes, through operators that work by width, to another
/// linear layer or to the loss. One row a sequence (a pooler) is not worth splitting.
fn feeds_split(structure: &Structure, op: usize) -> bool {
    let mut at = op;
    loop {
        let mut readers = structure.flows.iter().filter(|flow| flow.from == Some(at));
        let (Some(reader), None) = (readers.next(), readers.next()) else {
            return false;
        };
        at = reader.to;
        let has = |strategy| structure.shardings[at].iter().any(|s| s.strategy == strategy);
        match structure.kinds[at] {
            OpKind::CrossEntropy { .. } => return has(Strategy::Vocabulary),
            OpKind::Linear { .. } => return structure.outputs[op].rows > 1 && has(Strategy::Row),
            OpKind::Rotary { .. } | OpKind::Attention { .. } if has(Strategy::Heads) => {}
            OpKind::Activation(_) if has(Strategy::Feature) => {}
            _ => return false,
        }
    }
}
