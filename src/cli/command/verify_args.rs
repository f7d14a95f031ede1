//! Arguments of `verify`.

use crate::cli::args::Format;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VerifyMode {
    /// What the devices at hand allow
    Auto,
    /// The plan's topology on a narrowed model against one device
    Numerics,
    /// Each role's instructions at their true shapes, one device
    Roles,
    /// The whole plan on as many ranks as it names
    Whole,
}

/// Where it is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// On a GPU where there is one
    Auto,
    /// On the cores of this machine
    Cpu,
    /// On GPUs
    Cuda,
}

/// Arguments of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Path of the plan, or of the folder of its report [default: the newest of `reports/`, else a
    /// small one]
    pub plan: Option<String>,
    /// What is verified
    #[arg(long, value_enum, default_value = "auto")]
    pub mode: VerifyMode,
    /// Where it is executed
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceChoice,
    /// Device file to predict with: a name of the catalogue or a path [default: what was measured on
    /// this machine; where nothing was, that is done first, and kept in the user's cache folder]
    #[arg(long, value_name = "DEVICE")]
    pub device_file: Option<String>,
    /// Measure this machine again
    #[arg(long, conflicts_with = "device_file")]
    pub recalibrate: bool,
    /// Processes at most; a plan for more is run with its ways reduced
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub ranks: u64,
    /// Optimizer steps that are compared, or repetitions that are timed
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub steps: u64,
    /// Error of the iteration time beyond which the verification fails, as a part
    #[arg(long, value_name = "PART", default_value_t = 0.2)]
    pub tolerance: f64,
    /// Folder for the comparison: `verify.md`, `verify.json` and charts of both timelines, classes
    /// of instructions and memory
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Write a Chrome trace of the measured step
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
