//! The model of a row.

use super::row::Row;
use super::skip::Skip;
use crate::spec::model::{Activation, TrainingSpec};
use crate::spec::{Family, ModelSpec, Objective, Optimizer, Position, Precision};

/// Numeric recipe of a row, from its words.
pub fn precision(row: &Row) -> Result<Precision, Skip> {
    let text = row.precision.to_lowercase();
    if text.contains("nvfp4") {
        return Err(Skip::Precision(row.precision.clone()));
    }
    let has = |word: &str| text.contains(word);
    if has("fp8") || has("float8") {
        Ok(Precision::Fp8)
    } else if has("tf32") {
        Ok(Precision::Tf32)
    } else if has("fp32") && !has("bf16") && !has("fp16") {
        Ok(Precision::Fp32)
    } else if has("fp16") {
        Ok(Precision::Fp16Mixed)
    } else if has("bf16") || has("16-bit") {
        Ok(Precision::Bf16Mixed)
    } else {
        Err(Skip::NotGiven("numeric recipe"))
    }
}

/// Masked positions of a sequence: 20 of 128 and 80 of 512 in NVIDIA's BERT recipes, which follow
/// Devlin et al. 2019; 15 % and a bit of others.
const fn predictions(length: u64) -> u64 {
    match length {
        128 => 20,
        512 => 80,
        other => other.div_ceil(6),
    }
}

/// Whether the run drops out: those of Megatron-LM and its kin do, at 0.1, unless said otherwise.
fn drops_out(row: &Row, family: Family) -> bool {
    let without = ["llm-foundry", "composer", "pax", "llm.c", "torch.compile", "mlperf", "maxtext"];
    match family {
        Family::Bert => true,
        Family::Gpt => !without.iter().any(|word| row.mentions(word)),
        Family::Llama | Family::Moe => false,
    }
}

/// The model of a row, with its global batch.
///
/// # Errors
/// A kind of model that is not simulated, or a size that is not given.
pub fn model(row: &Row, global_batch: u64) -> Result<ModelSpec, Skip> {
    let family = match row.arch.as_str() {
        "gpt" => Family::Gpt,
        "bert" => Family::Bert,
        "llama" => Family::Llama,
        other => return Err(Skip::Architecture(other.to_owned())),
    };
    let need = |value: Option<u64>, what| value.ok_or(Skip::NotGiven(what));
    let hidden = need(row.hidden, "hidden size")?;
    let heads = need(row.heads, "number of heads")?;
    let length = need(row.seq_len, "sequence length")?;
    let bert = family == Family::Bert;
    let classifies = bert && row.mentions("classification head");
    let dropout = if drops_out(row, family) { 0.1 } else { 0.0 };
    let mpt = row.mentions("composer");
    Ok(ModelSpec {
        name: row.model.clone(),
        family,
        num_layers: need(row.layers, "number of layers")?,
        hidden_size: hidden,
        num_heads: heads,
        num_kv_heads: row.kv_heads,
        head_dim: None,
        ffn_hidden_size: row.ffn,
        vocab_size: need(row.vocab, "vocabulary")?,
        sequence_length: length,
        max_position_embeddings: None,
        type_vocab_size: None,
        norm: None,
        norm_placement: None,
        embedding_norm: None,
        activation: row.mentions("ReLU^2").then_some(Activation::SquaredRelu),
        position: row.model.contains("BLOOM").then_some(Position::Alibi),
        tied_embeddings: row.mentions("untied").then_some(false),
        bias: mpt.then_some(false),
        qkv_bias: None,
        norm_bias: None,
        attention_dropout: Some(dropout),
        hidden_dropout: Some(dropout),
        embedding_dropout: None,
        moe: None,
        training: TrainingSpec {
            objective: match (bert, classifies) {
                (false, _) => Objective::CausalLm,
                (true, true) => Objective::Classification,
                (true, false) => Objective::MaskedLmNsp,
            },
            global_batch_size: global_batch,
            precision: precision(row)?,
            optimizer: if row.mentions("LAMB") { Optimizer::Lamb } else { Optimizer::Adam },
            max_predictions_per_sequence: (bert && !classifies).then(|| predictions(length)),
            num_labels: None,
            tokens: None,
        },
        source: None,
        published_parameters: None,
    })
}
