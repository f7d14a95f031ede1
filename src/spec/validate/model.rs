//! Models.

use super::{Findings, short};
use crate::spec::catalog::Kind;
use crate::spec::diagnostic::Finding;
use crate::spec::load::Document;
use crate::spec::{Family, ModelSpec, NormPlacement, Objective, Position};

/// Most parameters that are planned for; a thousand times the largest model trained.
const MAX_PARAMETERS: f64 = 1e15;
/// Most sequences of one optimizer step.
const MAX_BATCH: u64 = 1 << 20;
/// Most tokens of one optimizer step.
const MAX_STEP_TOKENS: u64 = 1_000_000_000_000;
/// Most entries of one sequence's attention scores, over all heads.
const MAX_SCORES: u128 = 100_000_000_000_000_000;

impl Document for ModelSpec {
    const KIND: Kind = Kind::Model;

    fn findings(&self) -> Vec<Finding> {
        let mut found = Findings::default();
        found.name("model::name", &self.name);
        sizes(self, &mut found);
        heads(self, &mut found);
        dropout(self, &mut found);
        objective(self, &mut found);
        experts(self, &mut found);
        branches(self, &mut found);
        super::lora::check(self, &mut found);
        magnitude(self, &mut found);
        found.into_vec()
    }
}

fn sizes(model: &ModelSpec, found: &mut Findings) {
    const SIZE: &str = "model::size";
    let training = &model.training;
    found.count(SIZE, "num_layers", model.num_layers, 1, 100_000);
    found.count(SIZE, "hidden_size", model.hidden_size, 1, 10_000_000);
    found.count(SIZE, "num_heads", model.num_heads, 1, 1_000_000);
    found.optional_count(SIZE, "num_kv_heads", model.num_kv_heads, 1, 1_000_000);
    found.optional_count(SIZE, "head_dim", model.head_dim, 1, 1_000_000);
    found.optional_count(SIZE, "ffn_hidden_size", model.ffn_hidden_size, 1, 100_000_000);
    found.count(SIZE, "vocab_size", model.vocab_size, 1, 100_000_000);
    found.count(SIZE, "sequence_length", model.sequence_length, 1, 100_000_000);
    let positions = model.max_position_embeddings;
    found.optional_count(SIZE, "max_position_embeddings", positions, 1, 100_000_000);
    found.optional_count(SIZE, "type_vocab_size", model.type_vocab_size, 0, 1_000_000);
    let published = model.published_parameters;
    found.optional_count(SIZE, "published_parameters", published, 1, MAX_PARAMETERS as u64);
    let batch = "training/global_batch_size";
    found.count(SIZE, batch, training.global_batch_size, 1, MAX_BATCH);
    found.optional_count(SIZE, "training/num_labels", training.num_labels, 1, 1_000_000);
    let tokens = training.tokens;
    found.optional_count(SIZE, "training/tokens", tokens, 1, 1_000_000_000_000_000_000);
    let learned = model.position_kind() == Position::Learned;
    if learned && model.positions() < model.sequence_length && positions != Some(0) {
        let (rows, tokens) = (model.positions(), model.sequence_length);
        let message = format!(
            "`sequence_length` is {tokens}, but the learned position table has {rows} rows"
        );
        let help = format!(
            "set `sequence_length` to at most {rows}, or `max_position_embeddings` to {tokens}"
        );
        found.add(Finding::new("model::positions", "sequence_length", message).help(help));
    }
}

fn heads(model: &ModelSpec, found: &mut Findings) {
    if !found.none_at(&["hidden_size", "num_heads", "num_kv_heads"]) {
        return;
    }
    let (hidden, heads) = (model.hidden_size, model.num_heads);
    if model.head_dim.is_none() && !hidden.is_multiple_of(heads) {
        let message = format!("{heads} heads do not divide `hidden_size` {hidden}");
        let help = match near_divisor(hidden, heads) {
            Some(near) => format!("{near} heads of width {} do; or give `head_dim`", hidden / near),
            None => "give `head_dim`".into(),
        };
        found.add(Finding::new("model::heads", "num_heads", message).help(help));
    }
    let kv_heads = model.kv_heads();
    if !heads.is_multiple_of(kv_heads) {
        let message = format!("{kv_heads} key and value heads do not divide {heads} heads");
        let finding = Finding::new("model::kv-heads", "num_kv_heads", message);
        found.add(match near_divisor(heads, kv_heads) {
            Some(near) => finding.help(format!("{near} do")),
            None => finding,
        });
    }
}

/// The divisor of `number` nearest to `wanted`, where one is near.
fn near_divisor(number: u64, wanted: u64) -> Option<u64> {
    (0..=wanted.min(4096)).find_map(|step| {
        [wanted.saturating_sub(step), wanted + step]
            .into_iter()
            .find(|near| *near > 0 && number.is_multiple_of(*near))
    })
}

fn dropout(model: &ModelSpec, found: &mut Findings) {
    let fields =
        [("attention_dropout", model.attention_dropout), ("hidden_dropout", model.hidden_dropout)];
    for (field, value) in fields {
        if let Some(value) = value.filter(|value| !(0.0..1.0).contains(value)) {
            let message =
                format!("`{field}` is {value}, not a probability of at least 0 and below 1");
            let finding = Finding::new("model::dropout", field, message);
            found.add(if value > 1.0 && value < 100.0 {
                finding.help(format!("write {value} % as `{}`", value / 100.0))
            } else {
                finding
            });
        }
    }
}

fn objective(model: &ModelSpec, found: &mut Findings) {
    const PATH: &str = "training/objective";
    const CODE: &str = "model::objective";
    let training = &model.training;
    let masked = matches!(training.objective, Objective::MaskedLm | Objective::MaskedLmNsp);
    if model.family == Family::Bert && training.objective == Objective::CausalLm {
        let message = "BERT is bidirectional: it can not learn `causal-lm`, as every position sees the token that it would predict";
        let help =
            "pre-train with `masked-lm+nsp` (Devlin et al. 2019), or choose the family `gpt`";
        found.add(Finding::new(CODE, PATH, message).help(help));
    }
    if model.family != Family::Bert && masked {
        let message =
            "a causal decoder does not learn masked tokens: a position sees only those before it";
        let help = "write `causal-lm` (Radford et al. 2018), or choose the family `bert`";
        found.add(Finding::new(CODE, PATH, message).help(help));
    }
    if let Some(predictions) = training.max_predictions_per_sequence {
        const FIELD: &str = "training/max_predictions_per_sequence";
        if !masked {
            let message = "`max_predictions_per_sequence` has a meaning for masked tokens only";
            found.add(Finding::new(CODE, FIELD, message).help("leave it out"));
        } else {
            let length = model.sequence_length;
            found.count(CODE, FIELD, predictions, 1, u64::MAX);
            if predictions > length {
                let message = format!("{predictions} masked tokens do not fit {length} tokens");
                found.add(Finding::new(CODE, FIELD, message));
            }
        }
    }
    if training.objective == Objective::MaskedLmNsp && model.type_vocab_size == Some(0) {
        let message = "next-sentence prediction needs token types to tell the two sentences apart";
        let help = "write `type_vocab_size: 2`, or the objective `masked-lm`";
        found.add(Finding::new(CODE, "type_vocab_size", message).help(help));
    }
}

fn experts(model: &ModelSpec, found: &mut Findings) {
    const CODE: &str = "model::experts";
    let Some(moe) = &model.moe else {
        if model.family == Family::Moe {
            let message = "the family `moe` needs the field `moe`, which describes the experts";
            let help = "add `moe: {num_experts: 8, experts_per_token: 2, expert_ffn_hidden_size: …}`, or choose the family `llama`";
            found.add(Finding::new(CODE, "family", message).help(help));
        }
        return;
    };
    found.count(CODE, "moe/num_experts", moe.num_experts, 1, 100_000);
    found.count(CODE, "moe/experts_per_token", moe.experts_per_token, 1, 100_000);
    let width = moe.expert_ffn_hidden_size;
    found.count(CODE, "moe/expert_ffn_hidden_size", width, 1, 100_000_000);
    found.count(CODE, "moe/num_shared_experts", moe.num_shared_experts, 0, 100_000);
    if moe.experts_per_token > moe.num_experts && moe.num_experts > 0 {
        let message = format!(
            "a token visits {} experts, but there are {}",
            moe.experts_per_token, moe.num_experts
        );
        found.add(Finding::new(CODE, "moe/experts_per_token", message));
    }
    if moe.num_dense_layers > model.num_layers {
        let message = format!(
            "`num_dense_layers` is {}, but there are {} layers",
            moe.num_dense_layers, model.num_layers
        );
        found.add(Finding::new(CODE, "moe/num_dense_layers", message));
    }
}

fn branches(model: &ModelSpec, found: &mut Findings) {
    if model.parallel_branches.is_some() && model.norm_position() == NormPlacement::Post {
        let message = "branches beside each other read the norm of the layer's input, but this model's norms stand after the branches";
        let help = "leave `parallel_branches` out, or write `norm_placement: pre`";
        found.add(Finding::new("model::branches", "parallel_branches", message).help(help));
    }
}

/// Sizes that are each possible and together absurd.
fn magnitude(model: &ModelSpec, found: &mut Findings) {
    const CODE: &str = "model::magnitude";
    let sizes = [
        "num_layers",
        "hidden_size",
        "num_heads",
        "num_kv_heads",
        "head_dim",
        "ffn_hidden_size",
        "vocab_size",
        "sequence_length",
        "training/global_batch_size",
        "moe/num_experts",
        "moe/expert_ffn_hidden_size",
        "moe/num_shared_experts",
    ];
    if !found.none_at(&sizes) {
        return;
    }
    let hidden = model.hidden_size as f64;
    let attention = 4.0 * hidden * model.num_heads as f64 * model.head_width() as f64;
    let inner = match &model.moe {
        Some(moe) => {
            (moe.num_experts + moe.num_shared_experts) as f64 * moe.expert_ffn_hidden_size as f64
        }
        None => model.ffn() as f64,
    };
    let layers = model.num_layers as f64 * (attention + 3.0 * hidden * inner);
    let parameters = layers + 2.0 * hidden * model.vocab_size as f64;
    if parameters > MAX_PARAMETERS {
        let message = format!(
            "the model would have about {parameters:.0e} parameters, beyond the 1e15 that are planned for"
        );
        let help = "is one of the sizes a slip of digits?";
        found.add(Finding::new(CODE, "hidden_size", message).help(help));
    }
    let tokens = model.training.global_batch_size.saturating_mul(model.sequence_length);
    if tokens > MAX_STEP_TOKENS {
        let message = format!(
            "one step would have {} tokens, beyond the {} that are planned for",
            short(tokens),
            short(MAX_STEP_TOKENS)
        );
        found.add(Finding::new(CODE, "training/global_batch_size", message));
    }
    let length = u128::from(model.sequence_length);
    if u128::from(model.num_heads) * length * length > MAX_SCORES {
        let message = "the attention scores of one sequence would be more than 1e17 numbers";
        found.add(Finding::new(CODE, "sequence_length", message));
    }
}
