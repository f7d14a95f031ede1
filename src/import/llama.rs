//! Llama and what is built like it: Mistral, Mixtral, Qwen 2 and 3.

use super::field::Fields;
use super::training::training;
use crate::spec::{Family, ModelSpec, MoeSpec, Objective};
use serde_json::{Value, json};

/// What all of them share.
fn base(fields: &mut Fields<'_>, family: Family, kv_heads: Option<u64>) -> ModelSpec {
    let name = fields.name();
    let mut model = super::tidy::blank(name, family, training(fields, Objective::CausalLm));
    fields.sizes(&mut model, &["num_hidden_layers"], &["hidden_size"], &["num_attention_heads"]);
    let key = ["num_key_value_heads"];
    model.num_kv_heads = match kv_heads {
        Some(default) => Some(fields.count_or(&key, "num_kv_heads", default)),
        None => fields.optional_count(&key, "num_kv_heads"),
    };
    model.head_dim = fields.optional_count(&["head_dim"], "head_dim");
    model.ffn_hidden_size = Some(fields.count(&["intermediate_size"], "ffn_hidden_size"));
    let most = fields.count(&["max_position_embeddings"], "sequence_length");
    let trained = original_positions(fields);
    model.sequence_length = fields.sequence(trained.unwrap_or(most));
    model.activation = Some(fields.activation(&["hidden_act"], true, "silu"));
    model.tied_embeddings = Some(fields.flag("tie_word_embeddings", "tied_embeddings", false));
    model.attention_dropout =
        Some(fields.probability(&["attention_dropout"], "attention_dropout", 0.0));
    model
}

/// Positions before the rotation was stretched to more, where it was.
fn original_positions(fields: &mut Fields<'_>) -> Option<u64> {
    let names = ["rope_scaling", "rope_parameters"];
    let scaling = fields.value(&names, "sequence_length, where it was stretched")?;
    scaling.get("original_max_position_embeddings").and_then(Value::as_u64).filter(|n| *n > 0)
}

/// A window of attention: planned as none.
fn window(fields: &mut Fields<'_>, off: bool) {
    let said = "attention is planned over the whole sequence, which costs more where it is longer \
                than the window";
    if off {
        fields.value(&["sliding_window"], "not used by this model");
    } else {
        fields.not_expressed("sliding_window", &[], said);
    }
}

/// Llama 1 to 3 (Touvron et al. 2023; Grattafiori et al. 2024).
pub(super) fn llama(fields: &mut Fields<'_>) -> Option<ModelSpec> {
    let mut model = base(fields, Family::Llama, None);
    let attention = fields.flag("attention_bias", "qkv_bias", false);
    let inner = fields.flag("mlp_bias", "bias", false);
    biases(fields, &mut model, attention, inner);
    Some(model)
}

/// Biases of both projections around attention, and of the feed-forward network.
fn biases(fields: &mut Fields<'_>, model: &mut ModelSpec, attention: bool, inner: bool) {
    model.bias = Some(attention && inner);
    model.qkv_bias = Some(attention);
    let layers = model.num_layers;
    if attention && !inner {
        let lost = model.hidden_size.saturating_mul(layers);
        fields.cannot(format!(
            "the bias of the projection after attention, {lost} parameters, is left out"
        ));
    }
    if inner && !attention {
        let widths = model.ffn().saturating_mul(2).saturating_add(model.hidden_size);
        let lost = widths.saturating_mul(layers);
        fields.cannot(format!(
            "the biases of the feed-forward network, {lost} parameters, are left out"
        ));
    }
}

/// Mistral (Jiang et al. 2023).
pub(super) fn mistral(fields: &mut Fields<'_>) -> Option<ModelSpec> {
    let model = base(fields, Family::Llama, Some(8));
    window(fields, false);
    Some(model)
}

/// Mixtral (Jiang et al. 2024).
pub(super) fn mixtral(fields: &mut Fields<'_>) -> Option<ModelSpec> {
    let mut model = base(fields, Family::Moe, Some(8));
    window(fields, false);
    let width = model.ffn_hidden_size.unwrap_or(1);
    model.moe = Some(MoeSpec {
        num_experts: fields.count(&["num_local_experts"], "moe/num_experts"),
        experts_per_token: fields.count(&["num_experts_per_tok"], "moe/experts_per_token"),
        expert_ffn_hidden_size: width,
        num_shared_experts: 0,
        num_dense_layers: 0,
    });
    fields.cannot(
        "mixtures of experts can be described and not planned yet: `search` refuses this model"
            .to_owned(),
    );
    Some(model)
}

/// Qwen 2 and 2.5 (Yang et al. 2024): query, key and value projections have a bias.
pub(super) fn qwen2(fields: &mut Fields<'_>) -> Option<ModelSpec> {
    let mut model = base(fields, Family::Llama, Some(32));
    model.bias = Some(false);
    model.qkv_bias = Some(true);
    let off = !fields.flag("use_sliding_window", "as models are planned", false);
    window(fields, off);
    Some(model)
}

/// Qwen 3 (Yang et al. 2025): queries and keys of each head are normalised.
pub(super) fn qwen3(fields: &mut Fields<'_>) -> Option<ModelSpec> {
    let mut model = base(fields, Family::Llama, Some(32));
    model.head_dim = Some(model.head_dim.unwrap_or(128));
    let attention = fields.flag("attention_bias", "qkv_bias", false);
    biases(fields, &mut model, attention, false);
    let off = !fields.flag("use_sliding_window", "as models are planned", false);
    window(fields, off);
    let lost = model.head_width().saturating_mul(2).saturating_mul(model.num_layers);
    fields.cannot(format!(
        "norms of queries and keys, {lost} parameters, are left out of the plan and of the count"
    ));
    fields.not_expressed(
        "layer_types",
        &full_attention(model.num_layers),
        "kinds of attention by layer are planned as full attention",
    );
    Some(model)
}

/// The list that says of every layer that its attention is full.
fn full_attention(layers: u64) -> [Value; 1] {
    let layers = usize::try_from(layers.min(100_000)).unwrap_or(0);
    [json!(vec!["full_attention"; layers])]
}
