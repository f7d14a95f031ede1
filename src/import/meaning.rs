//! What several kinds of models share: sizes, activation, training, name.

use super::field::Fields;
use crate::spec::{Activation, ModelSpec, Objective, Precision};
use serde_json::Value;

impl Fields<'_> {
    /// The sizes that every model has.
    pub(super) fn sizes(
        &mut self,
        model: &mut ModelSpec,
        layers: &[&'static str],
        hidden: &[&'static str],
        heads: &[&'static str],
    ) {
        model.num_layers = self.count(layers, "num_layers");
        model.hidden_size = self.count(hidden, "hidden_size");
        model.num_heads = self.count(heads, "num_heads");
        model.vocab_size = self.count(&["vocab_size"], "vocab_size");
        model.source = Some(format!("Hugging Face config.json, model_type {}", self.model_type));
    }

    /// The inner width of the feed-forward network; four times the hidden size where not given.
    pub(super) fn inner(&mut self, names: &[&'static str], hidden: u64) -> u64 {
        let given = self.optional_count(names, "ffn_hidden_size");
        given.unwrap_or_else(|| hidden.saturating_mul(4))
    }

    /// Tokens of a training sequence: the caller's, else as many as the model is made for.
    pub(super) fn sequence(&mut self, most: u64) -> u64 {
        self.options.sequence_length.unwrap_or_else(|| {
            self.assume(format!(
                "sequences of {most} tokens, as many as the model is made for: \
                 `--sequence-length` gives another length"
            ));
            most
        })
    }

    /// The activation, gated where the model's feed-forward network is.
    pub(super) fn activation(
        &mut self,
        names: &[&'static str],
        gated: bool,
        default: &'static str,
    ) -> Activation {
        let found = match self.text(names, "activation") {
            Some(found) => found,
            None => {
                self.defaults.push(format!("`{}` {default}", names[0]));
                default.to_owned()
            }
        };
        let known: &[(&str, Activation)] = if gated {
            &[
                ("silu", Activation::Swiglu),
                ("swish", Activation::Swiglu),
                ("gelu", Activation::Geglu),
                ("gelu_new", Activation::Geglu),
                ("gelu_pytorch_tanh", Activation::Geglu),
            ]
        } else {
            &[
                ("gelu", Activation::Gelu),
                ("gelu_new", Activation::Gelu),
                ("gelu_fast", Activation::Gelu),
                ("gelu_pytorch_tanh", Activation::Gelu),
                ("quick_gelu", Activation::Gelu),
                ("relu", Activation::Relu),
                ("relu2", Activation::SquaredRelu),
            ]
        };
        if let Some((_, activation)) = known.iter().find(|(word, _)| *word == found) {
            return *activation;
        }
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        self.wrong(names, &format!("one of `{}`", words.join("`, `")));
        known[0].1
    }

    /// What is learnt: the caller's word, else that of the architecture's name.
    pub(super) fn objective(&mut self, pretraining: Objective) -> Objective {
        let value = self.value(&["architectures"], "training objective").cloned();
        if let Some(objective) = self.options.objective {
            return objective;
        }
        let name = match &value {
            Some(Value::Array(names)) => names.first().and_then(Value::as_str).unwrap_or_default(),
            _ => "",
        };
        for (ending, objective) in [
            ("ForSequenceClassification", Objective::Classification),
            ("ForTokenClassification", Objective::TokenClassification),
            ("ForQuestionAnswering", Objective::QuestionAnswering),
            ("ForMaskedLM", Objective::MaskedLm),
        ] {
            if name.ends_with(ending) {
                return objective;
            }
        }
        pretraining
    }

    /// Labels of a fine-tuning head.
    pub(super) fn labels(&mut self) -> Option<u64> {
        let named = self.value(&["id2label"], "training labels").cloned();
        let listed = named.as_ref().and_then(Value::as_object).map(|labels| labels.len() as u64);
        listed.or_else(|| self.optional_count(&["num_labels"], "training labels"))
    }

    /// The numeric recipe: the caller's, else the one that the type of the weights suggests.
    pub(super) fn precision(&mut self) -> Precision {
        let stored = self.text(&["torch_dtype", "dtype"], "training precision");
        match (self.options.precision, stored.as_deref()) {
            (Some(precision), _) => precision,
            (None, Some("float16")) => Precision::Fp16Mixed,
            (None, Some("bfloat16")) => Precision::Bf16Mixed,
            (None, _) => {
                self.assume("training in bf16-mixed: `--precision` gives another recipe");
                Precision::Bf16Mixed
            }
        }
    }

    /// The model's name: the caller's, else the one it was loaded under.
    pub(super) fn name(&mut self) -> String {
        let path = self.text(&["_name_or_path"], "name").unwrap_or_default();
        if let Some(name) = &self.options.name {
            return name.clone();
        }
        let fallback = self.options.fallback_name.clone().unwrap_or_default();
        let found = [path, fallback].into_iter().map(|text| tame(&text)).find(|t| !t.is_empty());
        found.unwrap_or_else(|| tame(&self.model_type))
    }
}

/// A name that can also name a file: lower case, the last part of a path.
fn tame(text: &str) -> String {
    let last = text.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default();
    let good = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let plain: String = last.to_ascii_lowercase().chars().map(good).take(64).collect();
    plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}
