//! `capacity`: numbers of devices and clusters side by side for one training run.

use super::capacity_grid::{Sources, grid, objective};
use super::capacity_words::{beyond_limits, nowhere};
use crate::capacity::{CellOutcome, DeviceCounts, Grid, Review, ReviewLimits, run as search_all};
use crate::cli::advice::out_of_time;
use crate::cli::args::{self, Format, ModelArgs, Verbosity};
use crate::cli::command::search::{SearchObjective, in_threads};
use crate::cli::folder::{AnswerKind, Folder, choose, refuse_other};
use crate::cli::numbers::{counts, parse_long, parse_seconds};
use crate::cli::output::shell_word;
use crate::cli::pins::PinArgs;
use crate::cli::tuning_args::DatasetArgs;
use crate::cli::watch::Watch;
use crate::cli::{Failure, interrupt, output};
use crate::planner::SearchStatus;
use crate::planner::predict::INTERVAL_SOURCE;
use crate::report::capacity::{self as report, CapacityInput};
use crate::units::{BytesPerSecond, PerDay, Seconds, UsDollars};
use clap::{Args, ValueEnum};
use std::io::{self, Write};
use std::path::PathBuf;

/// Arguments of `capacity`.
#[derive(Debug, Clone, Args)]
pub struct CapacityArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Cluster, by name or path: its nodes are multiplied to every number of devices; may be repeated
    #[arg(long, value_name = "CLUSTER", required = true, value_delimiter = ',')]
    pub cluster: Vec<String>,
    /// Software stack: a name of the catalogue or a path
    #[arg(long, value_name = "STACK", default_value = args::DEFAULT_STACK)]
    pub stack: String,
    /// How much is trained on.
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Longest run, failures counted, such as `30d`
    #[arg(long, value_name = "DURATION", value_parser = parse_long)]
    pub deadline: Option<Seconds>,
    /// Most money for the run, such as `5M`
    #[arg(long, value_name = "USD", allow_negative_numbers = true, value_parser = parse_money)]
    pub budget: Option<UsDollars>,
    /// Numbers of devices: `64..4096` (powers of two and half as much again) or `64,80,96`
    /// [default: an eighth to eight times the first cluster, one node where there is no network]
    #[arg(long, value_name = "COUNTS")]
    pub devices: Option<DeviceCounts>,
    /// What the recommendation is best at
    #[arg(long, value_enum, default_value = "cost")]
    pub objective: SearchObjective,
    /// Price of a device-hour, for all clusters or as `CLUSTER=USD` [default: the clusters']
    #[arg(long, value_name = "USD", allow_negative_numbers = true, value_parser = parse_price)]
    pub price: Vec<(Option<String>, UsDollars)>,
    /// Failures that stop the job, such as `0.0005/d` [default: the clusters']
    #[arg(long, value_name = "RATE")]
    pub failures_per_device: Option<PerDay>,
    /// Rate at which a node writes its part of a checkpoint [default: the clusters']
    #[arg(long, value_name = "BANDWIDTH")]
    pub checkpoint_bandwidth: Option<BytesPerSecond>,
    /// From a failure to the start on other nodes [default: the clusters']
    #[arg(long, value_name = "DURATION", value_parser = parse_long)]
    pub restart_time: Option<Seconds>,
    /// From a failure to the return of a node [default: the clusters']
    #[arg(long, value_name = "DURATION", value_parser = parse_long)]
    pub repair_time: Option<Seconds>,
    /// Stop after this time with the cells that are done, such as `30s`
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    pub time_limit: Option<Seconds>,
    /// Threads; the result does not depend on it [default: all cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = counts(1..=1024))]
    pub threads: Option<u64>,
    /// Parts of the plan that are fixed.
    #[command(flatten)]
    pub pins: PinArgs,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Folder of the review [default: reports/MODEL-capacity, with a number where that holds another
    /// job's]
    #[arg(short, long, value_name = "DIR", conflicts_with = "no_report")]
    pub output: Option<PathBuf>,
    /// Write no review
    #[arg(long)]
    pub no_report: bool,
}

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
        line.push_str(&format!(" --cluster {}", shell_word(&output::plan_name(cluster))));
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

/// Reads an amount of money: `5M`, `750k`, `1_200_000`, with or without `USD`.
fn parse_money(text: &str) -> Result<UsDollars, String> {
    let wrong = || "write an amount of US dollars, such as `5M`, `750k` or `2.50`".to_owned();
    let plain = text.trim().trim_end_matches("USD").trim_end().replace('_', "");
    let (number, factor) = match plain.chars().last() {
        Some('K' | 'k') => (&plain[..plain.len() - 1], 1e3),
        Some('M' | 'm') => (&plain[..plain.len() - 1], 1e6),
        Some('B' | 'b') => (&plain[..plain.len() - 1], 1e9),
        _ => (plain.as_str(), 1.0),
    };
    if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(wrong());
    }
    let amount = number.parse::<f64>().map_err(|_| wrong())? * factor;
    if amount > 0.0 && amount <= 1e15 {
        Ok(UsDollars::new(amount))
    } else {
        Err(format!("{amount} USD is not between nothing and 1e15"))
    }
}

/// Reads `2.50` or `h100=2.50`.
fn parse_price(text: &str) -> Result<(Option<String>, UsDollars), String> {
    match text.split_once('=') {
        Some((name, price)) => Ok((Some(name.to_owned()), parse_money(price)?)),
        None => Ok((None, parse_money(text)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read() {
        for (text, amount) in [("5M", 5e6), ("750k", 7.5e5), ("2.50 USD", 2.5), ("1_000", 1000.0)] {
            assert_eq!(parse_money(text), Ok(UsDollars::new(amount)), "{text}");
        }
        for wrong in ["", "M", "-1", "0", "1e400", "5 M EUR", "nan", "é", "5€"] {
            assert!(parse_money(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_price("h100=2.5"), Ok((Some("h100".to_owned()), UsDollars::new(2.5))));
    }
}
