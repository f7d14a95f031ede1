//! Logical operators, before any sharding. All sizes are for one sequence: a micro-batch of b
//! sequences multiplies rows by b.

use super::adapter::{Adapter, Trained};
use crate::spec::{Activation, Norm};
use petgraph::graph::{DiGraph, NodeIndex};

/// The operator graph of one training step (forward; each operator carries its backward).
#[derive(Debug, Clone)]
pub struct Graph {
    /// Operators and the tensors between them.
    pub dag: DiGraph<Op, Edge>,
    /// The distinct blocks.
    pub blocks: Vec<Block>,
    /// The model as a run-length sequence of blocks: (index into `blocks`, repetitions).
    pub sequence: Vec<(usize, u64)>,
}

/// A stretch of the graph between two single-tensor cuts, with all its repetitions.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its role, found from its position.
    pub kind: BlockKind,
    /// Operators of its first occurrence, in topological order.
    pub ops: Vec<NodeIndex>,
    /// How often it occurs.
    pub multiplicity: u64,
}

/// The role of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {
    /// Before the first repeated block.
    Embedding,
    /// Repeated.
    Layer,
    /// After the last repeated block, with the loss.
    Head,
}

/// A tensor that flows from one operator to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Edge {
    /// Which input of the target it is (0 is the branch, 1 the residual of a sum).
    pub slot: u8,
    /// Rows per sequence.
    pub rows: u64,
    /// Elements of a row.
    pub width: u64,
}

/// One operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Name within its block, such as `attention.qkv`; unique there.
    pub name: String,
    /// What it does.
    pub kind: OpKind,
    /// Rows per sequence of its output.
    pub rows: u64,
    /// Elements of a row of its output.
    pub width: u64,
    /// Part of what selective recomputation repeats (the attention core, between the query-key
    /// product and the product with the values; Korthikanti et al. 2022, §5).
    pub attention_core: bool,
    /// Which of its parameters are trained.
    pub trained: Trained,
}

/// What an operator does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// Rows of a table \[vocab, width\] chosen by token.
    TokenEmbedding {
        /// Rows of the table.
        vocab: u64,
    },
    /// A learned row per position, added to its input.
    PositionEmbedding {
        /// Rows of the table.
        positions: u64,
    },
    /// A learned row per token type, added to its input.
    TokenTypeEmbedding {
        /// Rows of the table.
        types: u64,
    },
    /// Normalisation of each row.
    Norm {
        /// Kind.
        norm: Norm,
        /// Whether it has a bias beside its scale.
        bias: bool,
    },
    /// Y = X·W (+ bias), W \[input, output\].
    Linear {
        /// Width of the input.
        input: u64,
        /// Width of the output; the same as the operator's width.
        output: u64,
        /// Whether it has a bias.
        bias: bool,
        /// Whose weights.
        weight: Weight,
    },
    /// Rotation of queries and keys by position; input and output \[rows, (heads + 2 kv_heads) head_dim\].
    Rotary {
        /// Query heads.
        heads: u64,
        /// Key (and value) heads.
        kv_heads: u64,
        /// Width of a head.
        head_dim: u64,
    },
    /// softmax(QKᵀ/√d)·V; input \[rows, (heads + 2 kv_heads) head_dim\], output \[rows, heads head_dim\].
    Attention {
        /// Query heads.
        heads: u64,
        /// Key and value heads.
        kv_heads: u64,
        /// Width of a head.
        head_dim: u64,
        /// Whether a position sees only those before it.
        causal: bool,
        /// Whether attention weights are dropped out.
        dropout: bool,
        /// Whether scores are lowered by distance, each head at its own slope (Press, Smith and
        /// Lewis 2022). Fused kernels do that as they go; its time is not counted.
        alibi: bool,
    },
    /// An activation; a gated one has twice its width as input.
    Activation(Activation),
    /// Dropout of input 0 where `dropout`, then the sum with input 1 (the residual stream).
    DropoutAdd {
        /// Whether there is dropout.
        dropout: bool,
    },
    /// Dropout alone.
    Dropout,
    /// Some rows of each sequence: masked positions, or the first token. The operator's `rows`
    /// says how many.
    SelectRows,
    /// Softmax cross-entropy over `classes` logits a row; the output is one number a row. For
    /// spans (question answering) the input \[positions, 2\] is read as 2 rows of `positions`.
    CrossEntropy {
        /// Logits a row; the vocabulary's cross-entropy may be sharded.
        classes: u64,
    },
    /// The sum of losses.
    LossSum,
}

/// Whose weights a linear operator multiplies by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weight {
    /// Its own.
    Own,
    /// The token embedding's, transposed; counted there, but held again where the head stands on
    /// another stage than the embedding, and their gradients are summed.
    TokenEmbedding,
}

/// A parameter tensor of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Name within the operator: `weight`, `bias`; those of an adapter after its target,
    /// `query.lora_a`.
    pub name: &'static str,
    /// Dimensions.
    pub shape: Vec<u64>,
    /// Shared with the token embedding: not counted again in the model's size.
    pub tied: bool,
    /// Whether it has a gradient and optimizer states.
    pub trained: bool,
}

impl Parameter {
    /// Elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }
}

impl Op {
    /// The parameters of the operator, unsharded, those of adapters last.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = self.own_parameters();
        parameters.extend(self.trained.adapters().iter().flat_map(Adapter::parameters));
        parameters
    }

    /// The parameters without those of adapters.
    fn own_parameters(&self) -> Vec<Parameter> {
        let trained = !self.trained.is_frozen();
        let own =
            |name, shape: &[u64]| Parameter { name, shape: shape.to_vec(), tied: false, trained };
        match self.kind {
            OpKind::TokenEmbedding { vocab } => vec![own("weight", &[vocab, self.width])],
            OpKind::PositionEmbedding { positions } => {
                vec![own("weight", &[positions, self.width])]
            }
            OpKind::TokenTypeEmbedding { types } => vec![own("weight", &[types, self.width])],
            OpKind::Norm { bias, .. } => {
                let mut parameters = vec![own("weight", &[self.width])];
                if bias {
                    parameters.push(own("bias", &[self.width]));
                }
                parameters
            }
            OpKind::Linear { input, output, bias, weight } => {
                let mut parameters = vec![Parameter {
                    name: "weight",
                    shape: vec![input, output],
                    tied: weight == Weight::TokenEmbedding,
                    trained,
                }];
                if bias {
                    parameters.push(own("bias", &[output]));
                }
                parameters
            }
            _ => Vec::new(),
        }
    }
}
