//! `search`: arguments.

use crate::cli::args::{Format, JobArgs, parse_seconds, parse_tokens};
use crate::cli::pins::PinArgs;
use crate::units::Seconds;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

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

/// Arguments of `search`.
#[derive(Debug, Clone, Args)]
pub struct SearchArgs {
    /// What is planned.
    #[command(flatten)]
    pub job: JobArgs,
    /// What the best plan is best at
    #[arg(long, value_enum, default_value_t)]
    pub objective: SearchObjective,
    /// Tokens of the training run, such as `300B` [default: the model's]
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    pub tokens: Option<u64>,
    /// Time for the training run, such as `30d`
    #[arg(long, value_name = "DURATION", required_if_eq("objective", "devices"))]
    pub deadline: Option<Seconds>,
    /// Plans to show, the best first
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub top: u64,
    /// Stop after this time with the best plan so far, such as `30s`
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    pub time_limit: Option<Seconds>,
    /// Threads; the plan does not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub threads: Option<u64>,
    /// Parts of the plan that are fixed.
    #[command(flatten)]
    pub pins: PinArgs,
    /// Where the report goes.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Where results go.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Folder of the report [default: reports/MODEL-on-CLUSTER]
    #[arg(short, long, value_name = "DIR", conflicts_with = "no_report")]
    pub output: Option<PathBuf>,
    /// Write no report
    #[arg(long)]
    pub no_report: bool,
    /// Write a Chrome trace of the simulated step
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

impl OutputArgs {
    /// The folder of the report, if one is wanted.
    pub fn report_folder(&self, model: &str, cluster: &str) -> Option<PathBuf> {
        if self.no_report {
            return None;
        }
        let default = || PathBuf::from("reports").join(format!("{model}-on-{cluster}"));
        Some(self.output.clone().unwrap_or_else(default))
    }
}
