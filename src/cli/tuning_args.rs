//! Arguments of fine-tuning: adapters, and training sets in examples and epochs.

use super::Failure;
use super::enumerations::named;
use super::numbers::{counts, parse_count, parse_tokens};
use crate::spec::{LoraSpec, LoraTarget, ModelSpec};
use clap::Args;

/// Most tokens of a run.
const MAX_TOKENS: u128 = 1_000_000_000_000_000_000;

/// Low-rank adapters in place of full training.
#[derive(Debug, Clone, Default, Args)]
pub struct LoraArgs {
    /// Train low-rank adapters of this rank and freeze everything else [default: as the model says]
    #[arg(long, value_name = "R", allow_negative_numbers = true, value_parser = parse_count)]
    pub lora_rank: Option<u64>,
    /// Projections that have an adapter [default: query,value]
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "lora_rank",
        value_parser = named::<LoraTarget>()
    )]
    pub lora_targets: Vec<LoraTarget>,
}

impl LoraArgs {
    /// The adapters, where flags name them.
    pub fn lora(&self) -> Option<LoraSpec> {
        let rank = self.lora_rank?;
        let targets = if self.lora_targets.is_empty() {
            LoraSpec::default_targets()
        } else {
            self.lora_targets.clone()
        };
        Some(LoraSpec { rank, targets })
    }

    /// The flags that say the same, by name and value.
    pub fn flags(&self) -> Vec<(&'static str, Option<String>)> {
        let names: Vec<&str> = self.lora_targets.iter().map(|target| target.name()).collect();
        let targets = (!names.is_empty()).then(|| names.join(","));
        vec![("lora-rank", self.lora_rank.map(|n| n.to_string())), ("lora-targets", targets)]
    }
}

/// How much is trained on.
#[derive(Debug, Clone, Default, Args)]
pub struct DatasetArgs {
    /// Tokens of the training run, such as `300B`; with `--epochs`, of the training set
    /// [default: the model's]
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true, value_parser = parse_tokens)]
    pub tokens: Option<u64>,
    /// Examples of the training set, such as `52K`, each padded or packed to a whole sequence
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_examples)]
    pub examples: Option<u64>,
    /// Passes over the training set that `--examples` or `--tokens` gives [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = counts(1..=1_000_000))]
    pub epochs: Option<u64>,
}

impl DatasetArgs {
    /// Tokens of the whole run, where flags say: examples x sequence length x epochs.
    ///
    /// # Errors
    /// Both tokens and examples, epochs of nothing, and more than 1e18 tokens.
    pub fn tokens(&self, model: &ModelSpec) -> Result<Option<u64>, Failure> {
        let length = u128::from(model.sequence_length);
        let set = match (self.tokens, self.examples) {
            (Some(tokens), Some(examples)) => {
                return Err(Failure::Usage(format!(
                    "`--tokens {tokens}` and `--examples {examples}` both say how much is trained \
                     on: give one; an example is a sequence of {length} tokens here"
                )));
            }
            (Some(tokens), None) => u128::from(tokens),
            (None, Some(examples)) => u128::from(examples) * length,
            (None, None) if self.epochs.is_some() => {
                return Err(Failure::Usage(
                    "`--epochs` needs the size of the training set: add it, such as `--examples 52K` or \
                     `--tokens 10M`"
                        .to_owned(),
                ));
            }
            (None, None) => return Ok(None),
        };
        let all = set * u128::from(self.epochs.unwrap_or(1));
        match u64::try_from(all) {
            Ok(tokens) if all <= MAX_TOKENS => Ok(Some(tokens)),
            _ => Err(Failure::Usage(format!(
                "{:e} tokens in all epochs is more than 1e18",
                all as f64
            ))),
        }
    }

    /// Tokens of the whole run: by flags, else by the model.
    ///
    /// # Errors
    /// As [`DatasetArgs::tokens`].
    pub fn tokens_or_own(&self, model: &ModelSpec) -> Result<Option<u64>, Failure> {
        Ok(self.tokens(model)?.or(model.training.tokens))
    }

    /// The flags that say the same, by name and value.
    pub fn flags(&self) -> Vec<(&'static str, Option<String>)> {
        let word = |value: Option<u64>| value.map(|n| n.to_string());
        vec![
            ("tokens", word(self.tokens)),
            ("examples", word(self.examples)),
            ("epochs", word(self.epochs)),
        ]
    }
}

/// Reads a count of examples, as tokens are read.
fn parse_examples(text: &str) -> Result<u64, String> {
    parse_tokens(text).map_err(|_| {
        format!(
            "`{text}` is no number from 1 to 1e18: write a number of examples, such as `52K`, `1.2M` \
             or `52_002`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ModelSpec {
        serde_saphyr::from_str(include_str!("../../models/llama3-8b.yaml")).unwrap()
    }

    fn set(tokens: Option<u64>, examples: Option<u64>, epochs: Option<u64>) -> DatasetArgs {
        DatasetArgs { tokens, examples, epochs }
    }

    #[test]
    fn tokens_are_examples_times_length_times_epochs() {
        let model = model();
        let length = model.sequence_length;
        let of = |set: DatasetArgs| set.tokens(&model).unwrap();
        assert_eq!(of(set(None, None, None)), None);
        assert_eq!(of(set(Some(1000), None, None)), Some(1000));
        assert_eq!(of(set(Some(1000), None, Some(3))), Some(3000));
        assert_eq!(of(set(None, Some(52_002), Some(3))), Some(52_002 * length * 3));
        assert_eq!(of(set(None, Some(7), None)), Some(7 * length));
        let own = set(None, None, None).tokens_or_own(&model).unwrap();
        assert_eq!(own, model.training.tokens);
    }

    #[test]
    fn epochs_of_nothing_and_of_too_much_are_refused() {
        assert!(set(None, None, Some(3)).tokens(&model()).is_err());
        assert!(set(Some(5), Some(5), None).tokens(&model()).is_err());
        let most = 1_000_000_000_000_000_000;
        assert!(set(Some(most), None, Some(2)).tokens(&model()).is_err());
        assert!(set(None, Some(most), Some(1_000_000)).tokens(&model()).is_err());
        assert!(set(Some(most), None, Some(1)).tokens(&model()).is_ok());
    }

    #[test]
    fn flags_name_adapters() {
        assert_eq!(LoraArgs::default().lora(), None);
        let args = LoraArgs { lora_rank: Some(8), lora_targets: Vec::new() };
        assert_eq!(args.lora().unwrap().words(), "rank 8 on query, value");
        let lora_targets = vec![LoraTarget::Down, LoraTarget::Query];
        let args = LoraArgs { lora_rank: Some(8), lora_targets };
        assert_eq!(args.lora().unwrap().words(), "rank 8 on query, down");
        assert_eq!(args.flags()[1].1.as_deref(), Some("down,query"));
    }
}
