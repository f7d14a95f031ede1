//! The model of a row.

use super::row::MeasuredRun;
use super::skip::Skip;
use crate::spec::model::{Activation, TrainingSpec};
use crate::spec::{Family, ModelSpec, NormPlacement, Objective, Optimizer, Position, Precision};

/// Numeric recipe of a row, from its words.
pub fn precision(row: &MeasuredRun) -> Result<Precision, Skip> {
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
fn drops_out(row: &MeasuredRun, family: Family) -> bool {
    if row.model.contains("nemotron") {
        return false;
    }
    let without = ["llm-foundry", "composer", "pax", "llm.c", "torch.compile", "mlperf", "maxtext"];
    match family {
        Family::Bert => true,
        Family::Gpt => !without.iter().any(|word| row.mentions(word)),
        Family::Llama | Family::Moe => false,
    }
}

/// Whether the head shares the embedding's weights, where the row says.
fn tied(row: &MeasuredRun, nemotron: bool) -> Option<bool> {
    if nemotron || row.mentions("untied") || row.model.contains("untied") {
        Some(false)
    } else {
        row.mentions("tied embedding").then_some(true)
    }
}

fn family(row: &MeasuredRun) -> Result<Family, Skip> {
    match row.arch.as_str() {
        "gpt" => Ok(Family::Gpt),
        "bert" => Ok(Family::Bert),
        "llama" => Ok(Family::Llama),
        other => Err(Skip::Architecture(other.to_owned())),
    }
}

/// How a row trains, the objective left open.
fn training(row: &MeasuredRun, global_batch: u64) -> Result<TrainingSpec, Skip> {
    Ok(TrainingSpec {
        objective: Objective::CausalLm,
        global_batch_size: global_batch,
        precision: precision(row)?,
        optimizer: if row.mentions("LAMB") { Optimizer::Lamb } else { Optimizer::Adam },
        max_predictions_per_sequence: None,
        num_labels: None,
        tokens: None,
        lora: None,
    })
}

/// The model of a row, with its global batch.
///
/// # Errors
/// A kind of model that is not simulated, or a size that is not given.
pub fn model(row: &MeasuredRun, global_batch: u64) -> Result<ModelSpec, Skip> {
    let family = family(row)?;
    if row.mentions("real tokens per sequence") {
        return Err(Skip::Binned);
    }
    let need = |value: Option<u64>, what| value.ok_or(Skip::NotGiven(what));
    let hidden = need(row.hidden, "hidden size")?;
    let heads = need(row.heads, "number of heads")?;
    let length = need(row.seq_len, "sequence length")?;
    let bert = family == Family::Bert;
    let classifies = bert && row.mentions("classification head");
    let dropout = if drops_out(row, family) { 0.1 } else { 0.0 };
    let mpt = row.mentions("composer");
    // Nemotron-4: rotary positions, squared ReLU, no biases but those of its norms, an own head
    // (Parmar et al. 2024, section 2.1).
    let nemotron = row.model.contains("nemotron");
    // Megatron's BERT normalises before its branches and not after the embeddings, and its
    // masked-word head runs over all positions (Shoeybi et al. 2019, section 5.3).
    let megatron_bert = bert && !classifies && !row.mentions("LAMB");
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
        norm_placement: megatron_bert.then_some(NormPlacement::Pre),
        parallel_branches: None,
        embedding_norm: match () {
            () if megatron_bert => Some(false),
            // "StableEmbedding" (Scao et al. 2022, section 3.1).
            () if row.model.contains("BLOOM") => Some(true),
            () => None,
        },
        activation: (nemotron || row.model.contains("ReLU^2")).then_some(Activation::SquaredRelu),
        position: match () {
            () if row.model.contains("BLOOM") => Some(Position::Alibi),
            () if nemotron => Some(Position::Rope),
            () => None,
        },
        tied_embeddings: tied(row, nemotron),
        bias: (mpt || nemotron).then_some(false),
        qkv_bias: None,
        norm_bias: nemotron.then_some(true),
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
            max_predictions_per_sequence: (bert && !classifies && !megatron_bert)
                .then(|| predictions(length)),
            ..training(row, global_batch)?
        },
        source: None,
        published_parameters: None,
    })
}
