//! What `verify` does.

use super::calibrate_run::uses_cuda;
use super::verify_args::{VerifyArgs, VerifyMode};
use super::verify_timing::Given;
use crate::cli::Failure;
use crate::cli::args::{Format, Verbosity};
use crate::cli::output::write_whole;
use crate::cli::plan_args::{as_planned, certificate_beside};
use crate::executor::ExecutorError;
use crate::executor::ranks::environment::environment;
use crate::executor::ranks::world::{Shared, World};
use crate::executor::verify::numerics::{self, NumericsLimits};
use crate::executor::verify::print::{Style, print};
use crate::executor::verify::report::Verified;
use crate::plan::Plan;
use crate::planner::job::Job;
use crate::planner::predict::choice::Choice;
use crate::report;
use crate::spec::{self, Cluster};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The stack that the executor is.
const EXECUTOR_STACK: &str = "lmplan";

/// The plan that is verified where none is given and none is found.
const BUILT_IN: &str = "\
model: gpt2-124m
cluster: a100x8
stack: lmplan
parallelism: {tensor: 2, pipeline: 2, data: 2, virtual_stages: 2, sequence_parallel: true}
batch: {global: 16, micro: 1}
schedule: interleaved-1f1b
optimizer_sharding: zero1
";

impl From<ExecutorError> for Failure {
    fn from(error: ExecutorError) -> Self {
        match error {
            ExecutorError::Program(what) => Failure::BadInput(what),
            ExecutorError::Unsupported(_) => Failure::Missing(error.to_string()),
            _ => Failure::Verification(error.to_string()),
        }
    }
}

pub(super) fn run(
    args: &VerifyArgs,
    verbosity: &Verbosity,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(Failure::Output)?;
    let found = environment(&|name| std::env::var(name).ok()).map_err(Failure::BadInput)?;
    let Some(environment) = found else { return lead(args, verbosity, &World::Here(program), out) };
    let shared = Shared::meet(&program, environment)?;
    if shared.rank() > 0 {
        let succeeds = shared.follow()?;
        let failure = || Failure::Verification("rank 0 failed, and says why".to_owned());
        return if succeeds { Ok(()) } else { Err(failure()) };
    }
    let world = World::Shared(shared);
    let outcome = lead(args, verbosity, &world, out);
    if let World::Shared(shared) = &world {
        shared.end(outcome.is_ok());
    }
    outcome
}

fn lead(
    args: &VerifyArgs,
    verbosity: &Verbosity,
    world: &World,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if args.trace.is_some() && args.mode == VerifyMode::Numerics {
        return Err(Failure::Usage(
            "`--mode numerics` times nothing that `--trace` could write; leave out `--mode`, or \
             take `whole` or `roles`"
                .to_owned(),
        ));
    }
    let folder = Path::new(".");
    let given = given(args.plan.as_deref(), folder)?;
    let cuda = uses_cuda(args.device)?;
    let say = |text: &str| {
        if !verbosity.quiet {
            // Nothing is left to do where standard error is closed.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    };
    let mut verified = Verified::new(&given.name, cuda);
    if given.plan.stack != EXECUTOR_STACK {
        verified.notes.push(format!(
            "executed as stack `{EXECUTOR_STACK}`, which is what the executor does; the plan was \
             made for `{}`",
            given.plan.stack
        ));
    }
    let job = Job::new(given.model.clone(), given.cluster.clone(), given.stack.clone())
        .map_err(|error| Failure::BadInput(error.to_string()))?;
    let choice = Choice::of_plan(&job, &given.plan)
        .map_err(|error| Failure::BadInput(format!("`{}`: {error}", given.name)))?;
    if matches!(args.mode, VerifyMode::Auto | VerifyMode::Numerics) {
        let ranks = world.size().map_or(args.ranks, |size| size.min(args.ranks));
        let limits = NumericsLimits { ranks, steps: args.steps, cuda };
        let (task, reduced) =
            numerics::task(&given.model, &given.stack, &given.plan, &choice.mapping, limits);
        let precisions: Vec<&str> =
            task.precisions.iter().map(|precision| precision.name()).collect();
        say(&format!("numerics: {} processes, {}", task.plan.devices(), precisions.join(" and ")));
        let found = numerics::run(world, &task, reduced)?;
        verified.numerics = found.in_32_bits;
        verified.numerics_16_bit = found.in_16_bits;
    }
    super::verify_timing::run(args, &given, (cuda, world), &say, &mut verified)?;
    print(&verified, style(args.format), out)?;
    write_files(args, &verified)?;
    match verified.failure(args.tolerance) {
        None => Ok(()),
        Some(what) => Err(Failure::Verification(what)),
    }
}

/// The comparison in its folder, and the trace.
fn write_files(args: &VerifyArgs, verified: &Verified) -> Result<(), Failure> {
    let failed =
        |error: &dyn std::error::Error| Failure::Output(std::io::Error::other(error.to_string()));
    if let Some(folder) = &args.output {
        let files = report::verified(verified).map_err(|error| failed(&error))?;
        report::write_verification(folder, &files).map_err(|error| failed(&error))?;
    }
    match (&args.trace, &verified.timelines) {
        (Some(path), Some([_, measured])) => write_whole(path, report::trace(measured).as_bytes()),
        _ => Ok(()),
    }
}

/// The plan that is named, the newest of the reports, or the built-in one.
fn given(named: Option<&str>, folder: &Path) -> Result<Given, Failure> {
    let path = match named {
        Some(path) if Path::new(path).is_dir() => Some(Path::new(path).join("plan.yaml")),
        Some(path) => Some(PathBuf::from(path)),
        None => newest(&folder.join("reports")),
    };
    let (name, plan) = match &path {
        Some(path) => {
            let name = path.display().to_string();
            let (plan, _) = spec::load::<Plan>(&name, folder)?;
            (name, plan)
        }
        None => {
            let plan = serde_saphyr::from_str(BUILT_IN)
                .map_err(|error| Failure::BadInput(format!("the built-in plan: {error}")))?;
            ("the built-in plan".to_owned(), plan)
        }
    };
    let (mut model, _) = spec::load_model(&plan.model, folder)?;
    let certificate = path.as_deref().and_then(certificate_beside);
    as_planned(&plan, certificate.as_ref(), &mut model);
    if model.training.lora.is_some() {
        return Err(Failure::Missing(format!(
            "`{name}` trains LoRA adapters beside frozen weights, which the executor does not run yet; \
             verify the same model with everything trained, by a plan without `lora`"
        )));
    }
    let cluster = match &path {
        Some(path) => Cluster::of_plan(&plan.cluster, path, folder)?,
        None => Cluster::load(&plan.cluster, folder)?.0,
    };
    let (stack, _) = spec::load_stack(EXECUTOR_STACK, folder)?;
    Ok(Given { name, plan, model, cluster, stack })
}

/// The plan that was written last.
fn newest(reports: &Path) -> Option<PathBuf> {
    let plan = |entry: std::fs::DirEntry| {
        let path = entry.path().join("plan.yaml");
        let time = std::fs::metadata(&path).and_then(|found| found.modified()).ok()?;
        Some((time, path))
    };
    let found = std::fs::read_dir(reports).ok()?.flatten().filter_map(plan);
    found.max().map(|(_, path)| path)
}

const fn style(format: Format) -> Style {
    match format {
        Format::Text => Style::Text,
        Format::Json => Style::Json,
        Format::Markdown => Style::Markdown,
        Format::Csv => Style::Csv,
    }
}
