//! Which tensors of the forward pass the backward pass needs.
//!
//! The rule, per operator (Korthikanti et al. 2022, §4.1; the backward functions of PyTorch):
//!
//! | operator | keeps |
//! |---|---|
//! | linear, norm, activation | its input; a frozen linear layer only where it has adapters |
//! | adapter X·A·B | X·A beside the layer's input |
//! | ReLU, tanh | its output |
//! | attention, unfused | its input (Q, K, V), softmax, dropout mask, softmax after dropout |
//! | attention, fused | its input, its output, log-sum-exp of each row and head |
//! | dropout, with or without a sum | its mask |
//! | cross-entropy | the logits in 32 bits |
//! | embeddings, rotary, row selection, sums | nothing |
//!
//! A tensor that two operators keep is held once: the *input* of a linear layer is the *output*
//! of the ReLU or fused attention before it. Whoever keeps it as input is charged, and the other
//! names it in [`SavedTensor::shared_with`].
//!
//! Left out, as in the paper, because they are small: means and variances of norms (8 bytes a
//! row), token numbers, selected positions, random states.

use super::op::{Block, Graph, Op, OpKind};
use crate::spec::Activation;
use crate::units::Bytes;
use petgraph::graph::NodeIndex;
use std::collections::BTreeMap;

/// Bytes of an element of a dropout mask.
const MASK_BYTES: u64 = 1;
/// Bytes of what is always held in 32 bits.
const SINGLE_BYTES: u64 = 4;

/// What decides how large saved tensors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SavedOptions {
    /// Bytes of an element of an activation (2 in mixed precision, 4 in single).
    pub element_bytes: u64,
    /// Attention in one kernel that keeps no scores (Dao et al. 2022), instead of its products,
    /// softmax and dropout one by one.
    pub fused_attention: bool,
}

/// A tensor that an operator keeps for its backward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedTensor {
    /// What it is.
    pub what: SavedKind,
    /// The operator whose output layout decides how it is sharded: where it is an operator's
    /// output, the operator that made it (which may stand in the block before), else the keeper.
    pub producer: NodeIndex,
    /// Elements for one sequence, unsharded.
    pub elements: u64,
    /// Bytes of an element.
    pub bytes_per_element: u64,
    /// Selective recomputation does not keep it: it arises within the attention core.
    pub within_core: bool,
    /// The operator that is charged for this tensor instead of this one, where two keep it.
    pub shared_with: Option<NodeIndex>,
}

/// What a saved tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SavedKind {
    /// The operator's input in slot 0.
    Input,
    /// The operator's output.
    Output,
    /// Attention weights \[heads, rows, rows\].
    Softmax,
    /// Attention weights after dropout \[heads, rows, rows\].
    DroppedSoftmax,
    /// Mask of a dropout, of the shape of what it drops.
    DropoutMask,
    /// Logarithm of the softmax's denominator \[heads, rows\].
    LogSumExp,
    /// Logits, or their softmax \[rows, classes\].
    Logits,
    /// Products X·A of a linear layer's adapters \[rows, their ranks\].
    Adapters,
}

impl SavedTensor {
    /// Bytes for one sequence, unsharded; none where another operator is charged.
    pub const fn bytes(&self) -> Bytes {
        match self.shared_with {
            Some(_) => Bytes::ZERO,
            None => Bytes::new(self.elements.saturating_mul(self.bytes_per_element)),
        }
    }
}

impl Graph {
    /// What each operator of a block keeps, in the order of [`Block::ops`]; each tensor is charged
    /// once. Blocks share no saved tensor, so that their sums add up to the model's.
    pub fn saved(&self, block: &Block, options: SavedOptions) -> Vec<Vec<SavedTensor>> {
        let mut kept: Vec<Vec<SavedTensor>> =
            block.ops.iter().map(|&node| self.kept(node, options)).collect();
        let mut charged: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
        for kind in [SavedKind::Input, SavedKind::Output] {
            for (&keeper, tensors) in block.ops.iter().zip(&mut kept) {
                for tensor in tensors.iter_mut().filter(|tensor| tensor.what == kind) {
                    match charged.get(&tensor.producer) {
                        Some(&other) => tensor.shared_with = Some(other),
                        None => {
                            charged.insert(tensor.producer, keeper);
                        }
                    }
                }
            }
        }
        kept
    }

    /// Bytes that one occurrence of a block keeps for one sequence, unsharded; without what arises
    /// in the attention core if that is recomputed.
    pub fn saved_bytes(&self, block: &Block, options: SavedOptions, recompute_core: bool) -> Bytes {
        let tensors = self.saved(block, options).into_iter().flatten();
        let kept = tensors.filter(|tensor| !(recompute_core && tensor.within_core));
        kept.map(|tensor| tensor.bytes()).sum()
    }

    /// The rule of the module, for one operator.
    fn kept(&self, node: NodeIndex, options: SavedOptions) -> Vec<SavedTensor> {
        let op = &self.dag[node];
        let tensor = |what, producer, elements, bytes_per_element| SavedTensor {
            what,
            producer,
            elements,
            bytes_per_element,
            within_core: op.attention_core && what != SavedKind::Input,
            shared_with: None,
        };
        let element = options.element_bytes;
        let input = || {
            let from = self.inputs(node).first().map(|&(from, _)| from)?;
            let elements = self.dag[from].output_elements();
            Some(tensor(SavedKind::Input, from, elements, element))
        };
        let output = || tensor(SavedKind::Output, node, op.output_elements(), element);
        let mask = |elements| tensor(SavedKind::DropoutMask, node, elements, MASK_BYTES);
        match op.kind {
            OpKind::Activation(Activation::Relu | Activation::Tanh) => vec![output()],
            OpKind::Linear { .. } if op.trained.is_frozen() => {
                let ranks = op.trained.total_rank();
                if ranks == 0 {
                    return Vec::new();
                }
                let products = op.rows.saturating_mul(ranks);
                let products = tensor(SavedKind::Adapters, node, products, element);
                input().into_iter().chain([products]).collect()
            }
            OpKind::Linear { .. } | OpKind::Norm { .. } | OpKind::Activation(_) => {
                input().into_iter().collect()
            }
            OpKind::Attention { heads, .. } if options.fused_attention => {
                let rows = heads.saturating_mul(op.rows);
                let denominators = tensor(SavedKind::LogSumExp, node, rows, SINGLE_BYTES);
                input().into_iter().chain([output(), denominators]).collect()
            }
            OpKind::Attention { heads, dropout, .. } => {
                let scores = score_elements(op, heads);
                let mut kept: Vec<_> = input().into_iter().collect();
                kept.push(tensor(SavedKind::Softmax, node, scores, element));
                if dropout {
                    kept.push(mask(scores));
                    kept.push(tensor(SavedKind::DroppedSoftmax, node, scores, element));
                }
                kept
            }
            OpKind::Dropout | OpKind::DropoutAdd { dropout: true } => {
                vec![mask(op.output_elements())]
            }
            OpKind::CrossEntropy { classes } => {
                let elements = op.rows.saturating_mul(classes);
                vec![tensor(SavedKind::Logits, node, elements, SINGLE_BYTES)]
            }
            OpKind::TokenEmbedding { .. }
            | OpKind::PositionEmbedding { .. }
            | OpKind::TokenTypeEmbedding { .. }
            | OpKind::Rotary { .. }
            | OpKind::DropoutAdd { dropout: false }
            | OpKind::SelectRows
            | OpKind::LossSum => Vec::new(),
        }
    }
}

/// Attention weights for one sequence: one for every head, query and key.
fn score_elements(op: &Op, heads: u64) -> u64 {
    heads.saturating_mul(op.rows).saturating_mul(op.rows)
}
