//! Falcon (Almazrouei et al. 2023).

use super::field::Fields;
use super::training::training;
use crate::spec::{Family, ModelSpec, Objective, ParallelBranches, Position};
use serde_json::json;

/// Positions that the rotation of Falcon is made for, where the file does not say.
const POSITIONS: u64 = 2048;

/// Falcon: branches beside each other, one or few key and value heads, no biases but the norms'.
pub(super) fn falcon(fields: &mut Fields<'_>) -> Option<ModelSpec> {
    let name = fields.name();
    let training = training(fields, Objective::CausalLm);
    let mut model = super::tidy::blank(name, Family::Gpt, training);
    fields.sizes(
        &mut model,
        &["num_hidden_layers", "n_layer"],
        &["hidden_size"],
        &["num_attention_heads", "n_head"],
    );
    model.ffn_hidden_size = Some(fields.inner(&["ffn_hidden_size"], model.hidden_size));
    let positions = fields.count_or(&["max_position_embeddings"], "sequence_length", POSITIONS);
    model.sequence_length = fields.sequence(positions);
    let alibi = fields.flag("alibi", "position", false);
    model.position = Some(if alibi { Position::Alibi } else { Position::Rope });
    model.activation = Some(fields.activation(&["activation"], false, "gelu"));
    model.tied_embeddings = Some(fields.flag("tie_word_embeddings", "tied_embeddings", true));
    model.bias = Some(fields.flag("bias", "bias", false));
    model.norm_bias = Some(true);
    model.attention_dropout =
        Some(fields.probability(&["attention_dropout"], "attention_dropout", 0.0));
    model.hidden_dropout = Some(fields.probability(&["hidden_dropout"], "hidden_dropout", 0.0));
    model.embedding_dropout = Some(0.0);
    let grouped = fields.flag("new_decoder_architecture", "num_kv_heads, parallel_branches", false);
    let multi_query = fields.flag("multi_query", "num_kv_heads", true);
    let parallel = fields.flag("parallel_attn", "parallel_branches", true);
    let given = fields.optional_count(&["num_kv_heads", "n_head_kv"], "num_kv_heads");
    let several = grouped || !multi_query;
    model.num_kv_heads = Some(if several { given.unwrap_or(model.num_heads) } else { 1 });
    let norms = fields.optional_count(&["num_ln_in_parallel_attn"], "parallel_branches");
    model.parallel_branches = match (grouped, parallel) {
        (true, _) if norms == Some(1) => Some(ParallelBranches::OneNorm),
        (true, _) => Some(ParallelBranches::TwoNorms),
        (false, true) => Some(ParallelBranches::OneNorm),
        (false, false) => None,
    };
    fields.not_expressed(
        "rope_scaling",
        &[json!(null)],
        "angles of the rotation; their cost is the same",
    );
    Some(model)
}
