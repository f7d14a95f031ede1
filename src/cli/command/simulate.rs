//! `simulate`: the prediction of a given plan.

use crate::cli::Failure;
use crate::cli::advice;
use crate::cli::agreement::{Flags, agree, suits};
use crate::cli::args::{Job as Given, JobArgs, Verbosity};
use crate::cli::folder::{AnswerKind, refuse_other};
use crate::cli::names::shell_word;
use crate::cli::output::{self, Shown};
use crate::cli::output_args::OutputArgs;
use crate::cli::plan_args::certificate_beside;
use crate::plan::Plan;
use crate::planner::answer::assumptions;
use crate::planner::job::Job;
use crate::planner::predict::choice::Choice;
use crate::planner::predict::predict;
use crate::planner::{Engine, SearchOutcome, SearchStatus, SearchSummary};
use crate::report::Origin;
use crate::spec;
use clap::Args;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `simulate`.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// What the plan is predicted for.
    #[command(flatten)]
    pub job: JobArgs,
    /// Path of the plan
    #[arg(long, value_name = "PLAN")]
    pub plan: String,
    /// Where the report goes.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Predicts a plan.
///
/// # Errors
/// Wrong input, a plan that does not suit the job or does not fit its memory (after the
/// prediction is printed), output that can not be written.
pub fn run(args: &SimulateArgs, verbosity: &Verbosity, out: &mut dyn Write) -> Result<(), Failure> {
    refuse_other(args.output.output.as_deref(), AnswerKind::Simulation)?;
    let (plan, job_args, given) = read(args)?;
    output::note_unmeasured(&given.cluster, verbosity.quiet);
    let job = Job::new(given.model.clone(), given.cluster.clone(), given.stack.clone())
        .map_err(|error| advice::no_job(&error, &given.model))?;
    let bad = |what: String| Failure::BadInput(format!("`{}`: {what}", args.plan));
    let choice = Choice::of_plan(&job, &plan).map_err(|error| bad(error.to_string()))?;
    let Some(predicted) = predict(&job, &choice) else {
        return Err(bad("its schedule can not be run".to_owned()));
    };
    let names = job_args.plan_names();
    let outcome = SearchOutcome {
        schema: "lmplan.simulate/1".to_owned(),
        plan: choice.plan(&job, names.each_ref().map(String::as_str)),
        prediction: predicted.prediction,
        search: SearchSummary {
            status: SearchStatus::Limit,
            candidates: 1,
            solved: 0,
            pruned: 0,
            lower_bound_s: 0.0,
            gap: 1.0,
            wall_time_s: None,
            engine: Engine::Search,
            solver: String::new(),
            programs_solved: 0,
            programs: Vec::new(),
        },
        alternatives: Vec::new(),
        assumptions: assumptions(&job, &choice),
        frontier: Vec::new(),
    };
    let command = command_line(args, &names);
    let shown = Shown {
        origin: Origin::Given,
        outcome: &outcome,
        timeline: &predicted.timeline,
        certificate: None,
        tokens: None,
        command: &command,
        quiet: verbosity.quiet,
    };
    output::show(&shown, &given, &args.output, out)?;
    match predicted.overflow {
        None => Ok(()),
        Some((stage, needs)) => {
            let room = job.machine.device.memory;
            Err(Failure::Infeasible(format!(
                "the plan does not fit: stage {stage} needs {needs} of {room}, {} too much\n\
                 help: smaller micro-batches, more recomputation, more stages or tensor-parallel \
                 ways need less; `lmplan search` finds the best plan that fits",
                needs.saturating_sub(room)
            )))
        }
    }
}

/// The plan, and the job that flags and plan name together.
///
/// # Errors
/// Wrong input, and flags that say otherwise than the plan.
fn read(args: &SimulateArgs) -> Result<(Plan, JobArgs, Given), Failure> {
    let folder = Path::new(".");
    let (plan, source) = spec::load::<Plan>(&args.plan, folder)?;
    let path = PathBuf::from(&source.name);
    let certificate = certificate_beside(&path);
    let job_args = as_planned(&args.job, &plan, certificate.as_ref());
    let mut given = job_args.load(folder)?;
    let names = [
        (args.job.model.model.as_str(), Some(given.model.name.as_str())),
        (args.job.cluster.as_str(), Some(given.cluster.spec.name.as_str())),
        (job_args.stack(), Some(given.stack.name.as_str())),
    ];
    let flags = Flags {
        names: names.map(Some),
        global_batch: args.job.model.global_batch,
        sequence_length: args.job.model.sequence_length,
        precision: args.job.model.precision,
        lora: Some(&args.job.model.lora),
        suits: Some(&|| suits(&plan, &given.model, &given.cluster, &given.stack)),
    };
    agree(&flags, &path, &plan, certificate.as_ref())?;
    if let (None, Some(lora)) = (args.job.model.lora.lora_rank, &plan.lora) {
        given.model.training.lora = Some(lora.clone());
        let findings = spec::Document::findings(&given.model);
        if !findings.is_empty() {
            let what = format!("`{}` with model `{}`", args.plan, given.model.name);
            return Err(Failure::Spec(spec::SpecError::unplaced(findings, &what)));
        }
    }
    Ok((plan, job_args, given))
}

/// The job that a plan is for: what flags leave open is as the plan says, or as the certificate of
/// the search that found it says.
fn as_planned(given: &JobArgs, plan: &Plan, certificate: Option<&Value>) -> JobArgs {
    let mut job = given.clone();
    job.stack.get_or_insert_with(|| plan.stack.clone());
    job.model.global_batch.get_or_insert(plan.batch.global);
    if let Some(space) = certificate.map(|certificate| &certificate["space"]) {
        job.model.sequence_length = job.model.sequence_length.or(space["sequence_length"].as_u64());
        let own = serde_json::from_value(space["precision"].clone()).ok();
        job.model.precision = job.model.precision.or(own);
    }
    job
}

/// The command that gives this result again.
fn command_line(args: &SimulateArgs, names: &[String; 3]) -> String {
    let [model, cluster, stack] = names.each_ref().map(|name| shell_word(name));
    let plan = shell_word(&args.plan);
    let mut line = format!(
        "lmplan simulate --model {model} --cluster {cluster} --stack {stack} --plan {plan}"
    );
    for (name, value) in args.job.model.flags() {
        if let Some(value) = value {
            line.push_str(&format!(" --{name} {value}"));
        }
    }
    line
}
