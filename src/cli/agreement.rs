//! What flags and a plan both say has to agree.

use super::Failure;
use super::args::DEFAULT_STACK;
use super::output::{shell_word, stem, word};
use super::tuning_args::LoraArgs;
use crate::plan::Plan;
use crate::planner::choice::Choice;
use crate::planner::job::Job;
use crate::spec::{Cluster, ModelSpec, Precision, ScheduleKind, StackSpec};
use serde_json::Value;
use std::path::Path;

/// What flags say of what a plan says too.
#[derive(Clone, Default)]
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
    /// Whether the plan would do for the model, cluster and stack that flags name.
    pub suits: Option<&'a dyn Fn() -> bool>,
}

impl std::fmt::Debug for Flags<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flags").field("names", &self.names).finish_non_exhaustive()
    }
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
    names_agree(flags, path, plan)?;
    let path = path.display();
    if let Some(given) = flags.global_batch.filter(|given| *given != plan.batch.global) {
        let batch = &plan.batch;
        let other = match divides(plan, given) {
            true => "change `global` under `batch` in the plan".to_owned(),
            false => format!(
                "search a plan for {given}, which this one's replicas and micro-batches do not \
                 divide: `{}`",
                search_command(flags, plan)
            ),
        };
        return Err(Failure::BadInput(format!(
            "`--global-batch {given}`, but `{path}` is for a global batch of {}: leave the flag out, \
             or {other}",
            batch.global
        )));
    }
    let differs = |flag: &str, given: String, own: String, place: &str| {
        Failure::BadInput(format!(
            "`--{flag} {given}`, but `{path}` {place} {own}: leave the flag out, or {}",
            if place == SEARCHED {
                "copy the plan alone to another folder and predict it there"
            } else {
                "change `lora` in the plan"
            }
        ))
    };
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

/// Refuses a model, cluster or stack other than the plan's.
fn names_agree(flags: &Flags<'_>, path: &Path, plan: &Plan) -> Result<(), Failure> {
    let path = path.display();
    let kinds =
        ["model", "cluster", "stack"].into_iter().zip([&plan.model, &plan.cluster, &plan.stack]);
    for ((kind, own), given) in kinds.zip(flags.names) {
        let Some((given, named)) = given else { continue };
        let same = |name: &str| stem(name) == stem(own);
        if !own.is_empty() && !same(given) && !named.is_some_and(same) {
            let other = match flags.suits.is_some_and(|suits| suits()) {
                true => format!("change `{kind}` in the plan"),
                false => format!(
                    "search a plan for `{given}`, which this one does not suit: `{}`",
                    search_command(flags, plan)
                ),
            };
            return Err(Failure::BadInput(format!(
                "`--{kind} {given}`, but `{path}` is a plan for {kind} `{own}`: give that one, or \
                 {other}"
            )));
        }
    }
    Ok(())
}

/// Whether a plan could have another global batch: whole micro-batches for each replica, and with
/// interleaving whole rounds of the stages.
fn divides(plan: &Plan, global: u64) -> bool {
    let p = &plan.parallelism;
    let interleaved = plan.schedule == ScheduleKind::Interleaved;
    let round = if interleaved { p.pipeline } else { 1 };
    global.is_multiple_of(p.data.saturating_mul(plan.batch.micro).saturating_mul(round).max(1))
}

/// Whether a plan would do for a model, cluster and stack that it was not made for.
pub fn suits(plan: &Plan, model: &ModelSpec, cluster: &Cluster, stack: &StackSpec) -> bool {
    if plan.parallelism.pipeline > 1 && !stack.schedules.contains(&plan.schedule) {
        return false;
    }
    let mut model = model.clone();
    if let Some(lora) = &plan.lora {
        model.training.lora = Some(lora.clone());
    }
    let job = Job::new(model, cluster.clone(), stack.clone());
    job.is_ok_and(|job| Choice::of_plan(&job, plan).is_ok())
}

/// The search of what flags name, and the plan where they name nothing.
fn search_command(flags: &Flags<'_>, plan: &Plan) -> String {
    let [model, cluster, stack] = [0, 1, 2].map(|at| {
        let own = [&plan.model, &plan.cluster, &plan.stack][at];
        shell_word(flags.names[at].map_or(own, |(given, _)| given))
    });
    let mut line = format!("lmplan search --model {model} --cluster {cluster}");
    if stack != DEFAULT_STACK {
        line.push_str(&format!(" --stack {stack}"));
    }
    let batch = flags.global_batch.unwrap_or(plan.batch.global);
    line.push_str(&format!(" --global-batch {batch}"));
    if let Some(tokens) = flags.sequence_length {
        line.push_str(&format!(" --sequence-length {tokens}"));
    }
    if let Some(precision) = flags.precision {
        line.push_str(&format!(" --precision {}", precision.name()));
    }
    let adapters = flags.lora.map(LoraArgs::flags).into_iter().flatten();
    for (name, value) in adapters.filter_map(|(name, value)| Some((name, value?))) {
        line.push_str(&format!(" --{name} {value}"));
    }
    line
}

/// What the certificate beside a plan says of it.
const SEARCHED: &str = "was searched for";
