//! A model before its fields are read, and after: without what its family says anyway.

use crate::spec::{Family, ModelSpec, TrainingSpec};

/// A model of a family with nothing else known; all sizes are 1.
pub(super) fn blank(name: String, family: Family, training: TrainingSpec) -> ModelSpec {
    ModelSpec {
        name,
        family,
        num_layers: 1,
        hidden_size: 1,
        num_heads: 1,
        num_kv_heads: None,
        head_dim: None,
        ffn_hidden_size: None,
        vocab_size: 1,
        sequence_length: 1,
        max_position_embeddings: None,
        type_vocab_size: None,
        norm: None,
        norm_placement: None,
        parallel_branches: None,
        embedding_norm: None,
        activation: None,
        position: None,
        tied_embeddings: None,
        bias: None,
        qkv_bias: None,
        norm_bias: None,
        attention_dropout: None,
        hidden_dropout: None,
        embedding_dropout: None,
        moe: None,
        training,
        source: None,
        published_parameters: None,
    }
}

/// Clears every optional field whose value the model would have without it.
pub(super) fn drop_defaults(model: &mut ModelSpec) {
    clear(model, |m| &mut m.num_kv_heads, ModelSpec::kv_heads);
    clear(model, |m| &mut m.head_dim, ModelSpec::head_width);
    clear(model, |m| &mut m.max_position_embeddings, ModelSpec::positions);
    clear(model, |m| &mut m.type_vocab_size, ModelSpec::token_types);
    clear(model, |m| &mut m.norm, ModelSpec::norm_kind);
    clear(model, |m| &mut m.norm_placement, ModelSpec::norm_position);
    clear(model, |m| &mut m.embedding_norm, ModelSpec::has_embedding_norm);
    clear(model, |m| &mut m.activation, ModelSpec::activation_kind);
    clear(model, |m| &mut m.position, ModelSpec::position_kind);
    clear(model, |m| &mut m.tied_embeddings, ModelSpec::has_tied_embeddings);
    clear(model, |m| &mut m.qkv_bias, ModelSpec::has_qkv_bias);
    clear(model, |m| &mut m.norm_bias, ModelSpec::has_norm_bias);
    // What follows `bias` has been cleared or stands on its own.
    clear(model, |m| &mut m.bias, |m| (m.has_bias(), m.has_qkv_bias(), m.has_norm_bias()));
    clear(model, |m| &mut m.embedding_dropout, ModelSpec::embedding_dropout_rate);
    clear(model, |m| &mut m.attention_dropout, |m| m.dropout().0);
    clear(model, |m| &mut m.hidden_dropout, |m| (m.dropout().1, m.embedding_dropout_rate()));
}

/// Clears `field` where `meaning` stays the same.
fn clear<T: Copy, M: PartialEq>(
    model: &mut ModelSpec,
    field: fn(&mut ModelSpec) -> &mut Option<T>,
    meaning: impl Fn(&ModelSpec) -> M,
) {
    let before = meaning(model);
    let value = field(model).take();
    if meaning(model) != before {
        *field(model) = value;
    }
}
