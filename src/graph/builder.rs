//! Operators added one after the other, of a model whose sizes are checked.

use super::adapter::Trained;
use super::error::GraphError;
use super::op::{Edge, Op, OpKind};
use super::trained;
use crate::spec::{Family, ModelSpec, Objective, Position};
use petgraph::graph::{DiGraph, NodeIndex};

/// Layers that a model may have.
const MAX_LAYERS: u64 = 10_000;
/// Width of a projection, or number of table rows, that a model may have. Together with
/// [`MAX_LAYERS`] it keeps every count of parameters within 64 bits.
const MAX_WIDTH: u64 = 1 << 22;
/// Rows of an embedding table that a model may have.
const MAX_ROWS: u64 = 1 << 27;

/// A graph under construction, and the sizes of the model, checked.
pub(super) struct Builder<'a> {
    /// The specification.
    pub(super) model: &'a ModelSpec,
    /// Tokens of a sequence (s).
    pub(super) sequence: u64,
    /// Width of the residual stream (h).
    pub(super) hidden: u64,
    /// Query heads (a).
    pub(super) heads: u64,
    /// Key and value heads (k).
    pub(super) kv_heads: u64,
    /// Width of a head (d).
    pub(super) head_dim: u64,
    /// Inner width of the feed-forward network (f).
    pub(super) ffn: u64,
    pub(super) dag: DiGraph<Op, Edge>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(model: &'a ModelSpec) -> Result<Self, GraphError> {
        if model.moe.is_some() || model.family == Family::Moe {
            return Err(GraphError::MixtureOfExperts { model: model.name.clone() });
        }
        check_sizes(model)?;
        check_objective(model)?;
        trained::check(model, MAX_WIDTH)?;
        let nodes = (model.num_layers as usize).saturating_mul(11).saturating_add(24);
        Ok(Builder {
            model,
            sequence: model.sequence_length,
            hidden: model.hidden_size,
            heads: model.num_heads,
            kv_heads: model.kv_heads(),
            head_dim: model.head_width(),
            ffn: model.ffn(),
            dag: DiGraph::with_capacity(nodes, nodes + nodes / 4),
        })
    }

    /// Adds an operator of `rows` × `width` that reads `inputs`, by slot.
    pub(super) fn add(
        &mut self,
        name: &str,
        kind: OpKind,
        rows: u64,
        width: u64,
        inputs: &[NodeIndex],
    ) -> NodeIndex {
        let attention_core = matches!(kind, OpKind::Attention { .. });
        let node = self.dag.add_node(Op {
            name: name.to_owned(),
            kind,
            rows,
            width,
            attention_core,
            trained: Trained::All,
        });
        for (slot, &input) in (0u8..).zip(inputs) {
            let (rows, width) = (self.dag[input].rows, self.dag[input].width);
            self.dag.add_edge(input, node, Edge { slot, rows, width });
        }
        node
    }

    /// Adds an operator of the residual stream's shape with one input.
    pub(super) fn add_stream(&mut self, name: &str, kind: OpKind, input: NodeIndex) -> NodeIndex {
        self.add(name, kind, self.dag[input].rows, self.hidden, &[input])
    }

    /// The model's normalisation.
    pub(super) fn norm(&self) -> OpKind {
        OpKind::Norm { norm: self.model.norm_kind(), bias: self.model.has_norm_bias() }
    }

    /// Rows of the output of a node.
    pub(super) fn rows(&self, node: NodeIndex) -> u64 {
        self.dag[node].rows
    }

    /// Token, position and type embeddings in the order of Devlin et al. 2019 (figure 2), then the
    /// norm and the dropout that the model has.
    pub(super) fn embedding(&mut self) -> NodeIndex {
        let (sequence, hidden) = (self.sequence, self.hidden);
        let vocab = self.model.vocab_size;
        let mut node = self.add("token", OpKind::TokenEmbedding { vocab }, sequence, hidden, &[]);
        if self.model.position_kind() == Position::Learned {
            let positions = self.model.positions();
            node = self.add_stream("position", OpKind::PositionEmbedding { positions }, node);
        }
        let types = self.model.token_types();
        if types > 0 {
            node = self.add_stream("token_type", OpKind::TokenTypeEmbedding { types }, node);
        }
        if self.model.has_embedding_norm() {
            node = self.add_stream("norm", self.norm(), node);
        }
        if self.model.embedding_dropout_rate() > 0.0 {
            node = self.add_stream("dropout", OpKind::Dropout, node);
        }
        node
    }
}

fn check_sizes(model: &ModelSpec) -> Result<(), GraphError> {
    let within = |field, value, limit| {
        if (1..=limit).contains(&value) {
            Ok(())
        } else {
            Err(GraphError::Size { model: model.name.clone(), field, value, limit })
        }
    };
    let multiple = |field, value: u64, divisor_field, divisor: u64| {
        if value.is_multiple_of(divisor) {
            return Ok(());
        }
        let model = model.name.clone();
        Err(GraphError::Multiple { model, field, value, divisor_field, divisor })
    };
    within("num_layers", model.num_layers, MAX_LAYERS)?;
    within("hidden_size", model.hidden_size, MAX_WIDTH)?;
    within("num_heads", model.num_heads, MAX_WIDTH)?;
    within("num_kv_heads", model.kv_heads(), model.num_heads)?;
    multiple("num_heads", model.num_heads, "num_kv_heads", model.kv_heads())?;
    if model.head_dim.is_none() {
        multiple("hidden_size", model.hidden_size, "num_heads", model.num_heads)?;
    }
    within("head_dim", model.head_width(), MAX_WIDTH)?;
    let projected = (model.num_heads + 2 * model.kv_heads()).saturating_mul(model.head_width());
    within("(num_heads + 2 num_kv_heads) head_dim", projected, MAX_WIDTH)?;
    if model.ffn_hidden_size.is_some() {
        within("ffn_hidden_size", model.ffn(), MAX_WIDTH)?;
    }
    within("vocab_size", model.vocab_size, MAX_ROWS)?;
    within("sequence_length", model.sequence_length, MAX_ROWS)?;
    if model.position_kind() == Position::Learned {
        within("max_position_embeddings", model.positions(), MAX_ROWS)?;
        within("sequence_length", model.sequence_length, model.positions())?;
    }
    if model.token_types() > 0 {
        within("type_vocab_size", model.token_types(), MAX_ROWS)?;
    }
    within("num_labels", model.training.num_labels.unwrap_or(2), MAX_WIDTH)?;
    if let Some(predictions) = model.training.max_predictions_per_sequence {
        within("max_predictions_per_sequence", predictions, model.sequence_length)?;
    }
    let (attention, hidden) = model.dropout();
    for (field, value) in [
        ("attention_dropout", attention),
        ("hidden_dropout", hidden),
        ("embedding_dropout", model.embedding_dropout_rate()),
    ] {
        if !(0.0..1.0).contains(&value) {
            return Err(GraphError::Probability { model: model.name.clone(), field, value });
        }
    }
    Ok(())
}

fn check_objective(model: &ModelSpec) -> Result<(), GraphError> {
    let refuse = |objective, reason| {
        Err(GraphError::Objective { model: model.name.clone(), objective, reason })
    };
    match (model.training.objective, model.is_causal()) {
        (Objective::CausalLm, false) => refuse(
            "causal-lm",
            "an encoder sees the tokens that it would have to predict; a bert model is \
             pre-trained with `masked-lm+nsp` or `masked-lm`",
        ),
        (Objective::MaskedLmNsp, true) => refuse(
            "masked-lm+nsp",
            "a causal decoder does not see what follows a masked token; use `causal-lm`",
        ),
        (Objective::MaskedLm, true) => refuse(
            "masked-lm",
            "a causal decoder does not see what follows a masked token; use `causal-lm`",
        ),
        _ => Ok(()),
    }
}
