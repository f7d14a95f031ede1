//! What follows the last layer: output heads and losses, by objective.

use super::builder::Builder;
use super::op::{OpKind, Weight};
use crate::spec::{Activation, Family, NormPlacement, Objective};
use petgraph::graph::NodeIndex;

/// Adds the final norm of a pre-norm model, then the heads and the loss of its objective.
pub(super) fn add(builder: &mut Builder<'_>, stream: NodeIndex) {
    let stream = match builder.model.norm_position() {
        NormPlacement::Pre => builder.add_stream("norm", builder.norm(), stream),
        NormPlacement::Post => stream,
    };
    match builder.model.training.objective {
        Objective::CausalLm => causal_lm(builder, stream),
        Objective::MaskedLm => {
            masked_lm(builder, stream);
        }
        Objective::MaskedLmNsp => {
            let masked = masked_lm(builder, stream);
            let next = next_sentence(builder, stream);
            builder.add("loss", OpKind::LossSum, 1, 1, &[masked, next]);
        }
        Objective::Classification => classification(builder, stream),
        Objective::TokenClassification => token_classification(builder, stream),
        Objective::QuestionAnswering => question_answering(builder, stream),
    }
}

/// Logits over the vocabulary at every position, and their cross-entropy.
fn causal_lm(builder: &mut Builder<'_>, stream: NodeIndex) {
    let logits = decoder(builder, "lm_head", false, stream);
    let classes = builder.model.vocab_size;
    let rows = builder.sequence;
    builder.add("loss", OpKind::CrossEntropy { classes }, rows, 1, &[logits]);
}

/// BERT's masked-language-model head over the masked positions, or over all of them where their
/// number is not given: dense, GELU, LayerNorm, and the decoder with a bias of its own
/// (Devlin et al. 2019; google-research/bert, `get_masked_lm_output`).
fn masked_lm(builder: &mut Builder<'_>, stream: NodeIndex) -> NodeIndex {
    let mut node = stream;
    if let Some(rows) = builder.model.training.max_predictions_per_sequence {
        node = builder.add("mlm.select", OpKind::SelectRows, rows, builder.hidden, &[node]);
    }
    node = linear(builder, "mlm.dense", builder.hidden, true, node);
    node = builder.add_stream("mlm.act", OpKind::Activation(Activation::Gelu), node);
    node = builder.add_stream("mlm.norm", builder.norm(), node);
    node = decoder(builder, "mlm.decoder", true, node);
    let classes = builder.model.vocab_size;
    let rows = builder.rows(node);
    builder.add("mlm.loss", OpKind::CrossEntropy { classes }, rows, 1, &[node])
}

/// BERT's next-sentence head: pooler, two classes.
fn next_sentence(builder: &mut Builder<'_>, stream: NodeIndex) -> NodeIndex {
    let pooled = pooler(builder, stream);
    let logits = linear(builder, "nsp.classifier", 2, true, pooled);
    builder.add("nsp.loss", OpKind::CrossEntropy { classes: 2 }, 1, 1, &[logits])
}

/// The first token through a dense layer and tanh.
fn pooler(builder: &mut Builder<'_>, stream: NodeIndex) -> NodeIndex {
    let hidden = builder.hidden;
    let first = builder.add("pooler.select", OpKind::SelectRows, 1, hidden, &[stream]);
    let dense = linear(builder, "pooler.dense", hidden, true, first);
    builder.add_stream("pooler.act", OpKind::Activation(Activation::Tanh), dense)
}

/// One label a sequence: from the pooled first token for BERT, from the last token without pooler
/// or bias for decoders (Radford et al. 2018, eq. 3).
fn classification(builder: &mut Builder<'_>, stream: NodeIndex) {
    let is_bert = builder.model.family == Family::Bert;
    let mut node = if is_bert {
        pooler(builder, stream)
    } else {
        builder.add("classifier.select", OpKind::SelectRows, 1, builder.hidden, &[stream])
    };
    node = dropout(builder, node);
    let classes = labels(builder);
    let logits = linear(builder, "classifier", classes, is_bert, node);
    builder.add("loss", OpKind::CrossEntropy { classes }, 1, 1, &[logits]);
}

/// One label a token.
fn token_classification(builder: &mut Builder<'_>, stream: NodeIndex) {
    let node = dropout(builder, stream);
    let classes = labels(builder);
    let logits = linear(builder, "classifier", classes, true, node);
    let rows = builder.sequence;
    builder.add("loss", OpKind::CrossEntropy { classes }, rows, 1, &[logits]);
}

/// Start and end of a span: two scores a token, and for each the cross-entropy over positions
/// (Devlin et al. 2019, §4.2).
fn question_answering(builder: &mut Builder<'_>, stream: NodeIndex) {
    let scores = linear(builder, "span", 2, true, stream);
    let classes = builder.sequence;
    builder.add("loss", OpKind::CrossEntropy { classes }, 2, 1, &[scores]);
}

fn labels(builder: &Builder<'_>) -> u64 {
    builder.model.training.num_labels.unwrap_or(2)
}

fn dropout(builder: &mut Builder<'_>, input: NodeIndex) -> NodeIndex {
    if builder.model.dropout().1 > 0.0 {
        builder.add_stream("classifier.dropout", OpKind::Dropout, input)
    } else {
        input
    }
}

/// Logits over the vocabulary.
fn decoder(builder: &mut Builder<'_>, name: &str, bias: bool, from: NodeIndex) -> NodeIndex {
    let weight =
        if builder.model.has_tied_embeddings() { Weight::TokenEmbedding } else { Weight::Own };
    let (input, output) = (builder.hidden, builder.model.vocab_size);
    let rows = builder.rows(from);
    builder.add(name, OpKind::Linear { input, output, bias, weight }, rows, output, &[from])
}

fn linear(
    builder: &mut Builder<'_>,
    name: &str,
    output: u64,
    bias: bool,
    from: NodeIndex,
) -> NodeIndex {
    let kind = OpKind::Linear { input: builder.hidden, output, bias, weight: Weight::Own };
    let rows = builder.rows(from);
    builder.add(name, kind, rows, output, &[from])
}
