//! GPT-2, GPT-NeoX, OPT and BLOOM: decoders with layer norms and biases.

use super::field::Fields;
use super::training::training;
use crate::spec::{Family, ModelSpec, NormPlacement, Objective, ParallelBranches, Position};
use serde_json::json;

/// What cross-attention costs is not planned.
const CROSS_ATTENTION: &str = "attention on another model's output is left out";

fn decoder(fields: &mut Fields<'_>) -> ModelSpec {
    let name = fields.name();
    super::tidy::blank(name, Family::Gpt, training(fields, Objective::CausalLm))
}

/// GPT-2 (Radford et al. 2019).
pub(super) fn gpt2(fields: &mut Fields<'_>) -> Option<ModelSpec> {
    let mut model = decoder(fields);
    fields.sizes(
        &mut model,
        &["n_layer", "num_hidden_layers"],
        &["n_embd", "hidden_size"],
        &["n_head", "num_attention_heads"],
    );
    model.ffn_hidden_size = Some(fields.inner(&["n_inner"], model.hidden_size));
    let rows = fields.count(&["n_positions", "max_position_embeddings"], "max_position_embeddings");
    model.sequence_length = fields.sequence(rows);
    model.max_position_embeddings = Some(rows);
    let activation = ["activation_function", "hidden_act"];
    model.activation = Some(fields.activation(&activation, false, "gelu_new"));
    model.tied_embeddings = Some(fields.flag("tie_word_embeddings", "tied_embeddings", true));
    model.attention_dropout = Some(fields.probability(&["attn_pdrop"], "attention_dropout", 0.1));
    model.hidden_dropout = Some(fields.probability(&["resid_pdrop"], "hidden_dropout", 0.1));
    model.embedding_dropout = Some(fields.probability(&["embd_pdrop"], "embedding_dropout", 0.1));
    fields.not_expressed("add_cross_attention", &[json!(false)], CROSS_ATTENTION);
    Some(model)
}

/// GPT-NeoX (Black et al. 2022).
pub(super) fn gpt_neox(fields: &mut Fields<'_>) -> Option<ModelSpec> {
    let mut model = decoder(fields);
    fields.sizes(&mut model, &["num_hidden_layers"], &["hidden_size"], &["num_attention_heads"]);
    model.ffn_hidden_size = Some(fields.count(&["intermediate_size"], "ffn_hidden_size"));
    let most = fields.count(&["max_position_embeddings"], "sequence_length");
    model.sequence_length = fields.sequence(most);
    model.position = Some(Position::Rope);
    model.activation = Some(fields.activation(&["hidden_act"], false, "gelu"));
    model.tied_embeddings = Some(fields.flag("tie_word_embeddings", "tied_embeddings", false));
    let parallel = fields.flag("use_parallel_residual", "parallel_branches", true);
    model.parallel_branches = parallel.then_some(ParallelBranches::TwoNorms);
    model.qkv_bias = Some(fields.flag("attention_bias", "qkv_bias", true));
    if model.qkv_bias == Some(false) {
        fields.cannot("the projection after attention is planned with a bias".to_owned());
    }
    model.attention_dropout =
        Some(fields.probability(&["attention_dropout"], "attention_dropout", 0.0));
    model.hidden_dropout = Some(fields.probability(&["hidden_dropout"], "hidden_dropout", 0.0));
    let said = "the rotation is planned over the whole width of a head";
    fields.not_expressed("rotary_pct", &[json!(1), json!(1.0)], said);
    fields.not_expressed("partial_rotary_factor", &[json!(1), json!(1.0)], said);
    Some(model)
}

/// OPT (Zhang et al. 2022), whose position table begins with two rows that stand for nothing.
pub(super) fn opt(fields: &mut Fields<'_>) -> Option<ModelSpec> {
    let mut model = decoder(fields);
    fields.sizes(&mut model, &["num_hidden_layers"], &["hidden_size"], &["num_attention_heads"]);
    model.ffn_hidden_size = Some(fields.count(&["ffn_dim"], "ffn_hidden_size"));
    let most = fields.count(&["max_position_embeddings"], "max_position_embeddings");
    model.sequence_length = fields.sequence(most);
    model.max_position_embeddings = Some(most.saturating_add(2));
    model.activation = Some(fields.activation(&["activation_function"], false, "relu"));
    model.tied_embeddings = Some(fields.flag("tie_word_embeddings", "tied_embeddings", true));
    model.bias = Some(fields.flag("enable_bias", "bias", true));
    model.norm_bias = Some(true);
    let pre = fields.flag("do_layer_norm_before", "norm_placement", true);
    model.norm_placement = Some(if pre { NormPlacement::Pre } else { NormPlacement::Post });
    model.attention_dropout =
        Some(fields.probability(&["attention_dropout"], "attention_dropout", 0.0));
    model.hidden_dropout = Some(fields.probability(&["dropout"], "hidden_dropout", 0.1));
    model.embedding_dropout = Some(0.0);
    let same = json!(model.hidden_size);
    let said = "the projections between token embedding and layers are left out";
    fields.not_expressed("word_embed_proj_dim", &[same], said);
    let said = "norms are planned with scale and bias";
    fields.not_expressed("layer_norm_elementwise_affine", &[json!(true)], said);
    let said = "dropout after the activation is left out";
    fields.not_expressed("activation_dropout", &[json!(0), json!(0.0)], said);
    Some(model)
}

/// BLOOM (Scao et al. 2022).
pub(super) fn bloom(fields: &mut Fields<'_>) -> Option<ModelSpec> {
    let mut model = decoder(fields);
    fields.sizes(
        &mut model,
        &["n_layer", "num_hidden_layers"],
        &["hidden_size", "n_embed"],
        &["n_head", "num_attention_heads"],
    );
    model.ffn_hidden_size = Some(fields.inner(&["n_inner"], model.hidden_size));
    let most = fields.count_or(&["seq_length"], "sequence_length", 2048);
    model.sequence_length = fields.sequence(most);
    model.position = Some(Position::Alibi);
    model.embedding_norm = Some(true);
    model.tied_embeddings = Some(fields.flag("tie_word_embeddings", "tied_embeddings", true));
    model.attention_dropout =
        Some(fields.probability(&["attention_dropout"], "attention_dropout", 0.0));
    model.hidden_dropout = Some(fields.probability(&["hidden_dropout"], "hidden_dropout", 0.0));
    model.embedding_dropout = Some(0.0);
    let said = "residual branches are planned from before the norm";
    fields.not_expressed("apply_residual_connection_post_layernorm", &[json!(false)], said);
    Some(model)
}
