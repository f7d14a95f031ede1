//! `capacity`: numbers of devices and clusters side by side for one training run.

use super::capacity_args::CapacityArgs;
use super::capacity_grid::{Sources, grid, objective};
use super::capacity_words::{beyond_limits, nowhere};
use crate::capacity::{CellOutcome, Grid, Review, ReviewLimits, run as search_all};
use crate::cli::advice::out_of_time;
use crate::cli::args::{self, Format, Verbosity};
use crate::cli::command::search::in_threads;
use crate::cli::folder::{AnswerKind, Folder, choose, refuse_other};
use crate::cli::names::shell_word;
use crate::cli::watch::Watch;
use crate::cli::{Failure, interrupt, output};
use crate::planner::SearchStatus;
use crate::planner::predict::INTERVAL_SOURCE;
use crate::report::capacity::{self as report, CapacityInput};
use crate::units::Seconds;
use clap::ValueEnum;
use std::io::{self, Write};
use std::path::PathBuf;

/// Searches all cells.
///
/// # Errors
/// Wrong input, no plan that fits anywhere or keeps the limits, a limit or the user before any
/// cell, output that can not be written. After an interruption what is done is written first.
pub fn run(args: &CapacityArgs, verbosity: &Verbosity, out: &mut dyn Write) -> Result<(), Failure> {
    refuse_other(args.output.as_deref(), AnswerKind::Capacity)?;
    let (grid, sources) = grid(args, verbosity)?;
    interrupt::install();
    let watch = Watch::new(args.time_limit, verbosity.quiet);
    let limits = ReviewLimits { deadline: args.deadline, budget: args.budget };
    let stop = || watch.stop();
    let review = in_threads(args.threads, || {
        let outcomes = search_all(&grid, &stop, &|progress| watch.show_cells(&progress));
        Review::of(&grid, outcomes, objective(args.objective), limits, &stop)
    })?;
    watch.finish();
    let stopped =
        review.clusters.iter().flat_map(|cluster| &cluster.outcomes).find_map(|outcome| {
            match outcome {
                CellOutcome::Stopped(status) => Some(*status),
                _ => None,
            }
        });
    let interrupted =
        stopped == Some(SearchStatus::Interrupted) || (!review.complete && interrupt::asked());
    if review.cells().next().is_none() {
        return Err(match stopped {
            Some(SearchStatus::Interrupted) => Failure::Interrupted,
            Some(_) => out_of_time(args.time_limit, "the plan for any number of devices was found"),
            None => Failure::Infeasible(nowhere(args, &grid)),
        });
    }
    let command = command_line(args, &grid);
    show(args, &review, &sources, &command, verbosity, out)?;
    if interrupted {
        return Err(Failure::Interrupted);
    }
    if review.complete && review.recommended().is_none() {
        return Err(Failure::Infeasible(beyond_limits(args, &review, &grid)));
    }
    Ok(())
}

fn show(
    args: &CapacityArgs,
    review: &Review,
    sources: &Sources,
    command: &str,
    verbosity: &Verbosity,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let interval = format!("{INTERVAL_SOURCE}.");
    let mut inputs = vec![("Model".to_owned(), sources.model.text.clone())];
    for (name, text) in &sources.clusters {
        inputs.push((format!("Cluster {name}"), text.clone()));
    }
    inputs.push(("Software stack".to_owned(), sources.stack.text.clone()));
    let input = CapacityInput { review, interval_source: &interval, inputs: &inputs, command };
    let fail = |error: &dyn std::error::Error| Failure::Output(io::Error::other(error.to_string()));
    let default = || PathBuf::from("reports").join(format!("{}-capacity", review.model));
    let folder = (!args.no_report).then(|| match &args.output {
        Some(given) => Folder { path: given.clone(), taken: None },
        None => choose(default(), AnswerKind::Capacity, command),
    });
    if let Some(Folder { path: folder, .. }) = &folder {
        let files = report::render(&input).map_err(|error| fail(&error))?;
        crate::report::write(folder, &files).map_err(|error| fail(&error))?;
    }
    match args.format {
        Format::Text => {
            write!(out, "{}", report::text(&input, output::text_options(), output::table_room()))?;
        }
        Format::Json => {
            out.write_all(&report::json(&input).map_err(|error| fail(&error))?)?;
        }
        Format::Markdown => write!(out, "{}", report::markdown(&input))?,
        Format::Csv => write!(out, "{}", report::csv(&input))?,
    }
    if let (Some(folder), false) = (&folder, verbosity.quiet) {
        // Nothing is left to do where standard error is closed.
        let _ = io::stderr().write_all(folder.words("review").as_bytes());
    }
    Ok(())
}

/// The command that gives this result again.
fn command_line(args: &CapacityArgs, grid: &Grid) -> String {
    let mut line = format!("lmplan capacity --model {}", shell_word(&grid.names[0]));
    for cluster in &args.cluster {
        line.push_str(&format!(
            " --cluster {}",
            shell_word(&crate::cli::names::plan_name(cluster))
        ));
    }
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line.push_str(&format!(" --{name} {value}"));
        }
    };
    flag("stack", (args.stack != args::DEFAULT_STACK).then(|| shell_word(&grid.names[1])));
    for (name, value) in args.model.flags().into_iter().chain(args.dataset.flags()) {
        flag(name, value);
    }
    let plain = |time: Seconds| format!("{}s", time.get());
    flag("deadline", args.deadline.map(plain));
    flag("budget", args.budget.map(|budget| budget.get().to_string()));
    flag("devices", args.devices.as_ref().map(ToString::to_string));
    let word = args.objective.to_possible_value().map(|value| value.get_name().to_owned());
    flag("objective", word.filter(|word| word != "cost"));
    for (name, price) in &args.price {
        let name = name.as_ref().map_or(String::new(), |name| format!("{name}="));
        flag("price", Some(format!("{name}{}", price.get())));
    }
    flag("failures-per-device", args.failures_per_device.map(|rate| format!("{}/d", rate.get())));
    flag(
        "checkpoint-bandwidth",
        args.checkpoint_bandwidth.map(|rate| format!("{}B/s", rate.get())),
    );
    flag("restart-time", args.restart_time.map(plain));
    flag("repair-time", args.repair_time.map(plain));
    for (name, value) in args.pins.flags() {
        flag(name, value);
    }
    line
}
