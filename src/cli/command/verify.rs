//! `verify` and `calibrate`: arguments.

use crate::cli::args::Format;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Where to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DeviceChoice {
    /// The best device at hand
    #[default]
    Auto,
    /// The processor
    Cpu,
    /// A GPU
    Cuda,
}

/// Arguments of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Path of the plan [default: that of the last search here, else a small one]
    pub plan: Option<String>,
    /// Where to run
    #[arg(long, value_enum, default_value_t)]
    pub device: DeviceChoice,
    /// How to print the comparison
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `calibrate`.
#[derive(Debug, Clone, Args)]
pub struct CalibrateArgs {
    /// What to measure
    #[arg(long, value_enum, default_value_t)]
    pub device: DeviceChoice,
    /// The device file to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Measure less, in a minute
    #[arg(long)]
    pub quick: bool,
}
