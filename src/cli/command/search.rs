//! `search`: the best plan of a model on a cluster, its prediction and its proof.

use crate::cli::advice;
use crate::cli::args::{self, Format, JobArgs, Verbosity};
use crate::cli::folder::{AnswerKind, refuse_other};
use crate::cli::names::shell_word;
use crate::cli::numbers::{counts, parse_long, parse_seconds};
use crate::cli::output::{self, Shown};
use crate::cli::output_args::OutputArgs;
use crate::cli::pins::PinArgs;
use crate::cli::tuning_args::DatasetArgs;
use crate::cli::watch::Watch;
use crate::cli::{Failure, interrupt};
use crate::planner::answer::{Answer, Planned, plan};
use crate::planner::infeasible::Infeasibility;
use crate::planner::job::Job;
use crate::planner::objective::Objective;
use crate::planner::request::Request;
use crate::planner::space::Pins;
use crate::planner::{Engine, SearchOutcome, SearchStatus};
use crate::report::Origin;
use crate::units::{Seconds, SimTime};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::Path;

/// What the best plan is best at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SearchObjective {
    /// Iteration time
    #[default]
    Time,
    /// Money for the run
    Cost,
    /// Devices for the deadline
    Devices,
    /// Energy of the run
    Energy,
}

/// What solves the candidates that the bounds leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SearchEngine {
    /// Branch and bound over the stages
    #[default]
    Search,
    /// Integer programs, in the solver
    Ilp,
}

/// Arguments of `search`.
#[derive(Debug, Clone, Args)]
pub struct SearchArgs {
    /// What is planned.
    #[command(flatten)]
    pub job: JobArgs,
    /// What the best plan is best at
    #[arg(long, value_enum, default_value_t)]
    pub objective: SearchObjective,
    /// What solves the candidates that the bounds leave; the plan does not depend on it
    #[arg(long, value_enum, default_value_t)]
    pub engine: SearchEngine,
    /// How much is trained on.
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Time for the training run, such as `30d`
    #[arg(long, value_name = "DURATION", value_parser = parse_long)]
    pub deadline: Option<Seconds>,
    /// Plans to show, the best first; the others are the best that were met with other splits
    #[arg(long, value_name = "K", default_value_t = 3, allow_negative_numbers = true, value_parser = counts(1..=100))]
    pub top: u64,
    /// Stop after this time with the best plan so far, such as `30s`
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    pub time_limit: Option<Seconds>,
    /// Threads; the plan does not depend on it [default: all cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = counts(1..=1024))]
    pub threads: Option<u64>,
    /// Parts of the plan that are fixed.
    #[command(flatten)]
    pub pins: PinArgs,
    /// Where the report goes.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Searches.
///
/// # Errors
/// Wrong input, no plan that fits, a limit or the user before any plan, output that can not be
/// written. After an interruption with a plan the plan is written first.
pub fn run(args: &SearchArgs, verbosity: &Verbosity, out: &mut dyn Write) -> Result<(), Failure> {
    refuse_other(args.output.output.as_deref(), AnswerKind::Search)?;
    let given = args.job.load(Path::new("."))?;
    args.dataset.tokens(&given.model)?;
    output::note_unmeasured(&given.cluster, verbosity.quiet);
    let names = args.job.plan_names();
    let job = Job::new(given.model.clone(), given.cluster.clone(), given.stack.clone())
        .map_err(|error| advice::no_job(&error, &given.model))?;
    let request = Request {
        objective: objective(args, &job)?,
        top: usize::try_from(args.top).unwrap_or(1),
        engine: match args.engine {
            SearchEngine::Search => Engine::Search,
            SearchEngine::Ilp => Engine::Ilp,
        },
        pins: pins(args, &job),
        names,
    };
    interrupt::install();
    let watch = Watch::new(args.time_limit, verbosity.quiet);
    let answer = in_threads(args.threads, || {
        plan(&job, &request, &|| watch.stop(), &mut |progress| watch.show(progress))
    })?;
    let seconds = watch.finish();
    match answer {
        Answer::Planned(planned) => {
            let mut planned = *planned;
            planned.outcome.search.wall_time_s = Some(seconds);
            show(args, &given, &planned, verbosity, out)?;
            match planned.outcome.search.status {
                SearchStatus::Interrupted => Err(Failure::Interrupted),
                _ => Ok(()),
            }
        }
        Answer::Infeasible(why) => {
            if args.output.format == Format::Json {
                writeln!(out, "{}", infeasible_json(&why))?;
            }
            Err(Failure::Infeasible(infeasible_words(args, &job, &why)?))
        }
        Answer::Disagreement(what) => Err(Failure::Verification(what.to_string())),
        Answer::Nothing(SearchStatus::Interrupted) => Err(Failure::Interrupted),
        Answer::Nothing(_) => Err(advice::out_of_time(args.time_limit, "any plan was found")),
    }
}

/// The parts of the plan that are fixed.
fn pins(args: &SearchArgs, job: &Job) -> Pins {
    args.pins.pins(
        job.machine.devices,
        job.workload.model.training.global_batch_size,
        job.workload.model.num_layers,
    )
}

fn show(
    args: &SearchArgs,
    given: &args::Job,
    planned: &Planned,
    verbosity: &Verbosity,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let command = command_line(args, &planned.outcome);
    let shown = Shown {
        origin: Origin::Searched,
        outcome: &planned.outcome,
        timeline: &planned.timeline,
        certificate: Some((&planned.certificate, &planned.certificate_summary)),
        tokens: args.dataset.tokens(&given.model)?,
        command: &command,
        quiet: verbosity.quiet,
    };
    output::show(&shown, given, &args.output, out)
}

/// What is minimised, from the flags.
fn objective(args: &SearchArgs, job: &Job) -> Result<Objective, Failure> {
    let deadline = match args.deadline {
        None => None,
        Some(deadline) => Some(SimTime::from_seconds(deadline / steps(args, job)? as f64)),
    };
    Ok(match (args.objective, deadline) {
        (SearchObjective::Time, None) => Objective::Time,
        (SearchObjective::Time, Some(_)) => {
            return Err(Failure::Usage(
                "`--deadline` goes with `--objective cost`, `devices` or `energy`: add one of them, \
                 or leave it out; the plan of least time needs no deadline"
                    .to_owned(),
            ));
        }
        // All devices of a cluster draw the same power for as long as they run, so the plan of
        // least energy is that of least device time.
        (SearchObjective::Cost | SearchObjective::Energy, deadline) => Objective::Cost { deadline },
        (SearchObjective::Devices, Some(deadline)) => Objective::Devices { deadline },
        (SearchObjective::Devices, None) => {
            return Err(Failure::Usage(NO_DEADLINE.to_owned()));
        }
    })
}

/// Why nothing is the fewest devices.
pub(super) const NO_DEADLINE: &str = "`--objective devices` needs `--deadline`: how few devices do \
     depends on the time that there is; add it, in the form `--deadline 30d`";

/// Iterations of the run.
fn steps(args: &SearchArgs, job: &Job) -> Result<u64, Failure> {
    let Some(tokens) = args.dataset.tokens_or_own(&job.workload.model)? else {
        return Err(Failure::Usage(
            "`--deadline` needs the tokens of the run: add `--tokens 300B`".to_owned(),
        ));
    };
    let step = job.workload.model.training.global_batch_size * job.workload.model.sequence_length;
    Ok(tokens.div_ceil(step.max(1)).max(1))
}

/// Why there is no plan, and what would help; deadlines as those of the run.
fn infeasible_words(args: &SearchArgs, job: &Job, why: &Infeasibility) -> Result<String, Failure> {
    let (Some(missed), Some(deadline)) = (&why.missed, args.deadline) else {
        return Ok(format!("{}{}", why.to_string().trim_end(), other_names(args, job, why)));
    };
    let run = missed.time.seconds() * steps(args, job)? as f64;
    let factor = run / deadline;
    let mut text = format!(
        "no plan meets the deadline of {deadline}: the fastest, {}, takes {} an iteration and {run} \
         for the run\nhelp: `--deadline {}`\nhelp: {factor:.1} times as many devices, if speed grew \
         with their number",
        missed.candidate.label(),
        missed.time.seconds(),
        rounded_up(run.get() / 86_400.0),
    );
    let [_, cluster, _] = args.job.plan_names();
    if let Some(range) =
        advice::more_devices(&job.machine.cluster, &cluster, job.machine.devices, factor)
    {
        let command = review_command(args, &range, deadline);
        text.push_str(&format!("; `{command}` searches whether any number does"));
    }
    Ok(text)
}

/// What of the catalogue would do where something else of it does not: a larger cluster, a stack
/// with the schedule.
fn other_names(args: &SearchArgs, job: &Job, why: &Infeasibility) -> String {
    let larger = why.devices.and_then(|devices| {
        let name = advice::of_size(&job.machine.cluster, devices)?;
        Some(format!("\nhelp: `--cluster {name}` has enough"))
    });
    let stacks = why.conflict.as_ref();
    let stacks =
        stacks.and_then(|_| advice::stacks_with(&args.pins.schedule, job, &pins(args, job)));
    let stacks = stacks.map(|stacks| format!("\nhelp: {stacks}"));
    let roomier = why.devices.and(why.closest.as_ref()).and_then(|closest| {
        let need = closest.memory.total();
        advice::roomier(job, &pins(args, job), need)
    });
    let roomier = roomier.map(|roomier| format!("\nhelp: {roomier}"));
    larger.into_iter().chain(roomier).chain(stacks).collect()
}

/// The review of more devices that a deadline asks for. What fixes the replicas fixes the devices
/// with the other ways, and is left out.
fn review_command(args: &SearchArgs, range: &str, deadline: Seconds) -> String {
    let [model, _, stack] = args.job.plan_names().map(|name| shell_word(&name));
    let mut line = format!("lmplan capacity --model {model} {range}");
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line.push_str(&format!(" --{name} {value}"));
        }
    };
    flag("stack", (args.job.stack() != args::DEFAULT_STACK).then_some(stack));
    for (name, value) in args.job.model.flags().into_iter().chain(args.dataset.flags()) {
        flag(name, value);
    }
    for (name, value) in args.pins.flags().into_iter().filter(|(name, _)| *name != "dp") {
        flag(name, value);
    }
    flag("deadline", Some(format!("{}d", rounded(deadline.get() / 86_400.0))));
    let objective = args.objective.to_possible_value().map(|value| value.get_name().to_owned());
    flag("objective", objective.filter(|name| name != "cost"));
    line
}

/// A duration that keeps `days`, with its unit: three digits of days, hours or seconds.
pub(super) fn rounded_up(days: f64) -> String {
    let three = |value: f64| {
        let unit = 10_f64.powf(value.log10().floor() - 2.0).min(1.0);
        let text = format!("{:.6}", (value / unit).ceil() * unit);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match days {
        days if days >= 2.0 => format!("{}d", three(days)),
        days if days >= 1.0 / 12.0 => format!("{}h", three(days * 24.0)),
        days => format!("{}s", three(days * 86_400.0)),
    }
}

/// Days as they were given, without a binary fraction's digits.
pub(super) fn rounded(days: f64) -> f64 {
    (days * 1e6).round() / 1e6
}

pub(super) fn in_threads<T: Send>(
    threads: Option<u64>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, Failure> {
    let Some(threads) = threads else { return Ok(work()) };
    let threads = usize::try_from(threads).unwrap_or(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| Failure::Missing(format!("threads: {error}")))?;
    Ok(pool.install(work))
}

/// The command that gives this result again.
fn command_line(args: &SearchArgs, outcome: &SearchOutcome) -> String {
    let plan = &outcome.plan;
    let [model, cluster] = [&plan.model, &plan.cluster].map(|name| shell_word(name));
    let mut line = format!("lmplan search --model {model} --cluster {cluster}");
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line.push_str(&format!(" --{name} {value}"));
        }
    };
    flag("stack", (args.job.stack() != args::DEFAULT_STACK).then(|| shell_word(&plan.stack)));
    for (name, value) in args.job.model.flags().into_iter().chain(args.pins.flags()) {
        flag(name, value);
    }
    let objective = args.objective.to_possible_value().map(|value| value.get_name().to_owned());
    flag("objective", objective.filter(|name| name != "time"));
    flag("engine", (args.engine == SearchEngine::Ilp).then(|| "ilp".to_owned()));
    for (name, value) in args.dataset.flags() {
        flag(name, value);
    }
    flag("deadline", args.deadline.map(|d| format!("{}s", d.get())));
    flag("top", (args.top != 3).then(|| args.top.to_string()));
    line
}

fn infeasible_json(why: &Infeasibility) -> serde_json::Value {
    let closest = why.closest.as_ref().map(|closest| {
        serde_json::json!({
            "candidate": closest.candidate.label(),
            "stage": closest.stage,
            "needs_bytes": closest.memory.total().get(),
        })
    });
    serde_json::json!({
        "schema": "lmplan.search/1",
        "search": {"status": "infeasible"},
        "memory_capacity_bytes": why.capacity.get(),
        "closest": closest,
        "conflict": why.conflict,
        "fastest_iteration_time_s": why.missed.map(|missed| missed.time.seconds().get()),
        "remedies": why.remedies,
    })
}
