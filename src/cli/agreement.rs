//! What flags and a plan both say has to agree.

use super::Failure;
use super::output::{stem, word};
use super::tuning_args::LoraArgs;
use crate::plan::Plan;
use crate::spec::Precision;
use serde_json::Value;
use std::path::Path;

/// What flags say of what a plan says too.
#[derive(Debug, Clone, Default)]
pub struct Flags<'a> {
    /// `--model`, `--cluster`, `--stack`, each with the name in the file that it stands for, where
    /// that has been read.
    pub names: [Option<(&'a str, Option<&'a str>)>; 3],
    /// `--global-batch`.
    pub global_batch: Option<u64>,
    /// `--sequence-length`.
    pub sequence_length: Option<u64>,
    /// `--precision`.
    pub precision: Option<Precision>,
    /// `--lora-rank` and `--lora-targets`.
    pub lora: Option<&'a LoraArgs>,
}

/// Refuses flags that say otherwise than the plan, or than the certificate beside it.
///
/// # Errors
/// The first disagreement, with both values.
pub fn agree(
    flags: &Flags<'_>,
    path: &Path,
    plan: &Plan,
    certificate: Option<&Value>,
) -> Result<(), Failure> {
    let path = path.display();
    let kinds =
        ["model", "cluster", "stack"].into_iter().zip([&plan.model, &plan.cluster, &plan.stack]);
    for ((kind, own), given) in kinds.zip(flags.names) {
        let Some((given, named)) = given else { continue };
        let same = |name: &str| stem(name) == stem(own);
        if !own.is_empty() && !same(given) && !named.is_some_and(same) {
            return Err(Failure::BadInput(format!(
                "`--{kind} {given}`, but `{path}` is a plan for {kind} `{own}`: give that one, or \
                 change `{kind}` in the plan"
            )));
        }
    }
    let differs = |flag: &str, given: String, own: String, place: &str| {
        Failure::BadInput(format!(
            "`--{flag} {given}`, but `{path}` {place} {own}: leave the flag out, or {}",
            if place == SEARCHED {
                "copy the plan alone to another folder and predict it there"
            } else {
                "change the plan"
            }
        ))
    };
    if let Some(given) = flags.global_batch.filter(|given| *given != plan.batch.global) {
        let own = plan.batch.global.to_string();
        return Err(differs("global-batch", given.to_string(), own, "is for a global batch of"));
    }
    // A plan that says nothing of adapters is one for either.
    if let (Some(given), Some(own)) = (flags.lora.and_then(LoraArgs::lora), &plan.lora)
        && *own != given
    {
        let own = format!("adapters of {}", own.words());
        return Err(differs("lora-rank", given.rank.to_string(), own, "trains"));
    }
    let Some(space) = certificate.map(|certificate| &certificate["space"]) else { return Ok(()) };
    if let (Some(given), Some(own)) = (flags.sequence_length, space["sequence_length"].as_u64())
        && given != own
    {
        let own = format!("{own} tokens a sequence");
        return Err(differs("sequence-length", given.to_string(), own, SEARCHED));
    }
    if let (Some(given), Some(own)) = (flags.precision.map(word), space["precision"].as_str())
        && given != own
    {
        return Err(differs("precision", given, own.to_owned(), SEARCHED));
    }
    Ok(())
}

/// What the certificate beside a plan says of it.
const SEARCHED: &str = "was searched for";
