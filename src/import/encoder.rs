//! BERT and RoBERTa.

use super::field::Fields;
use super::training::training;
use crate::spec::{Family, ModelSpec, Objective, Position};
use serde_json::json;

/// BERT (Devlin et al. 2019).
pub(super) fn bert(fields: &mut Fields<'_>) -> Option<ModelSpec> {
    Some(encoder(fields, Objective::MaskedLmNsp, 0, 2))
}

/// RoBERTa (Liu et al. 2019), whose position table begins with two rows for padding.
pub(super) fn roberta(fields: &mut Fields<'_>) -> Option<ModelSpec> {
    Some(encoder(fields, Objective::MaskedLm, 2, 1))
}

fn encoder(
    fields: &mut Fields<'_>,
    pretraining: Objective,
    padding_rows: u64,
    types: u64,
) -> ModelSpec {
    let name = fields.name();
    let mut model = super::tidy::blank(name, Family::Bert, training(fields, pretraining));
    fields.sizes(&mut model, &["num_hidden_layers"], &["hidden_size"], &["num_attention_heads"]);
    model.ffn_hidden_size = Some(fields.count(&["intermediate_size"], "ffn_hidden_size"));
    let rows = fields.count(&["max_position_embeddings"], "max_position_embeddings");
    model.sequence_length = fields.sequence(rows.saturating_sub(padding_rows));
    model.max_position_embeddings = Some(rows);
    model.type_vocab_size = Some(fields.count_or(&["type_vocab_size"], "type_vocab_size", types));
    model.activation = Some(fields.activation(&["hidden_act"], false, "gelu"));
    model.position = Some(Position::Learned);
    model.tied_embeddings = Some(fields.flag("tie_word_embeddings", "tied_embeddings", true));
    let attention = ["attention_probs_dropout_prob"];
    model.attention_dropout = Some(fields.probability(&attention, "attention_dropout", 0.1));
    let hidden = ["hidden_dropout_prob"];
    model.hidden_dropout = Some(fields.probability(&hidden, "hidden_dropout", 0.1));
    let said = "positions are planned as one learned table; its tables of distances are left out";
    fields.not_expressed("position_embedding_type", &[json!("absolute")], said);
    let said = "a decoder of this kind is planned as an encoder";
    fields.not_expressed("is_decoder", &[json!(false)], said);
    let said = "attention on another model's output is left out";
    fields.not_expressed("add_cross_attention", &[json!(false)], said);
    model
}
