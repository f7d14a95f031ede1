//! `simulate`: the prediction of a given plan.

use super::search::OutputArgs;
use crate::cli::Failure;
use crate::cli::args::{JobArgs, Verbosity};
use crate::cli::output::{self, Shown};
use crate::plan::Plan;
use crate::planner::choice::Choice;
use crate::planner::facade::assumptions;
use crate::planner::job::Job;
use crate::planner::predict::predict;
use crate::planner::{SearchOutcome, SearchStatus, SearchSummary};
use crate::report::Origin;
use crate::spec;
use clap::Args;
use std::io::Write;
use std::path::Path;

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
    let folder = Path::new(".");
    let (plan, _) = spec::load::<Plan>(&args.plan, folder)?;
    let mut given = args.job.load(folder)?;
    output::note_unmeasured(&given.cluster, verbosity.quiet);
    if args.job.model.global_batch.is_none() {
        given.model.training.global_batch_size = plan.batch.global;
    }
    if let (None, Some(lora)) = (args.job.model.lora.lora_rank, &plan.lora) {
        given.model.training.lora = Some(lora.clone());
        let findings = spec::Document::findings(&given.model);
        if !findings.is_empty() {
            let what = format!("`{}` with model `{}`", args.plan, given.model.name);
            return Err(Failure::Spec(spec::SpecError::unplaced(findings, &what)));
        }
    }
    let job = Job::new(given.model.clone(), given.cluster.clone(), given.stack.clone())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let bad = |what: String| Failure::BadInput(format!("`{}`: {what}", args.plan));
    let choice = Choice::of_plan(&job, &plan).map_err(|error| bad(error.to_string()))?;
    let Some(predicted) = predict(&job, &choice) else {
        return Err(bad("its schedule can not be run".to_owned()));
    };
    let names = args.job.plan_names();
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
            solver: String::new(),
        },
        alternatives: Vec::new(),
        assumptions: assumptions(&job, &choice),
        frontier: Vec::new(),
    };
    let command = format!(
        "lmplan simulate --model {} --cluster {} --stack {} --plan {}",
        outcome.plan.model, outcome.plan.cluster, outcome.plan.stack, args.plan
    );
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
            let room = job.device.memory;
            Err(Failure::Infeasible(format!(
                "the plan does not fit: stage {stage} needs {needs} of {room}, {} too much",
                needs.saturating_sub(room)
            )))
        }
    }
}
