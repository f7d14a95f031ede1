//! What flags and a plan both say has to agree.

use super::Failure;
use super::args::DEFAULT_STACK;
use super::names::{shell_word, stem, word};
use super::tuning_args::LoraArgs;
use crate::plan::Plan;
use crate::planner::job::Job;
use crate::planner::predict::choice::Choice;
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
    /// Whether the plan would do for the model, cluster and stack that flags name: as [`suits`].
    pub suits: Option<&'a dyn Fn() -> Result<u64, String>>,
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
    let in_report = certificate.is_some();
    names_agree(flags, path, plan, in_report)?;
    let path = path.display();
    if let Some(given) = flags.global_batch.filter(|given| *given != plan.batch.global) {
        let batch = &plan.batch;
        let other = match divides(plan, given) {
            true => change("`global` under `batch`", in_report),
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
                format!("search a plan with it: `{}`", search_command(flags, plan))
            } else {
                change("`lora`", in_report)
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

/// How something in a plan is changed: what stands beside it in a report is true of it as it is.
fn change(what: &str, in_report: bool) -> String {
    match in_report {
        true => format!("copy the plan alone to another folder and change {what} in the copy"),
        false => format!("change {what} in the plan"),
    }
}

/// Refuses a model, cluster or stack other than the plan's.
fn names_agree(
    flags: &Flags<'_>,
    path: &Path,
    plan: &Plan,
    in_report: bool,
) -> Result<(), Failure> {
    let path = path.display();
    let kinds =
        ["model", "cluster", "stack"].into_iter().zip([&plan.model, &plan.cluster, &plan.stack]);
    for ((kind, own), given) in kinds.zip(flags.names) {
        let Some((given, named)) = given else { continue };
        let same = |name: &str| stem(name) == stem(own);
        if own.is_empty() || same(given) || named.is_some_and(same) {
            continue;
        }
        let command = search_command(flags, plan);
        let instead = match flags.suits.map(|suits| suits()) {
            Some(Ok(0)) => change(&format!("`{kind}`"), in_report),
            Some(Ok(idle)) => format!(
                "search a plan for all its devices: `{command}`; or {}, and {idle} of them stand idle",
                change(&format!("`{kind}`"), in_report),
            ),
            Some(Err(why)) => format!(
                "search a plan for `{given}`, which this one does not suit ({why}): `{command}`"
            ),
            None => format!("search a plan for `{given}`: `{command}`"),
        };
        return Err(Failure::BadInput(format!(
            "`--{kind} {given}`, but `{path}` is a plan for {kind} `{own}`: give that one, or {instead}"
        )));
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

/// Whether a plan would do for a model, cluster and stack that it was not made for: how many devices
/// of the cluster it leaves idle.
///
/// # Errors
/// Why it would not.
pub fn suits(
    plan: &Plan,
    model: &ModelSpec,
    cluster: &Cluster,
    stack: &StackSpec,
) -> Result<u64, String> {
    if plan.parallelism.pipeline > 1 && !stack.schedules.contains(&plan.schedule) {
        let (schedule, stack) = (word(plan.schedule), &stack.name);
        return Err(format!("its schedule is `{schedule}`, which the stack `{stack}` lacks"));
    }
    let mut model = model.clone();
    if let Some(lora) = &plan.lora {
        model.training.lora = Some(lora.clone());
    }
    let devices = cluster.num_devices();
    let job = Job::new(model, cluster.clone(), stack.clone()).map_err(|error| error.to_string())?;
    Choice::of_plan(&job, plan).map_err(|error| error.to_string())?;
    Ok(devices.saturating_sub(plan.devices()))
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
