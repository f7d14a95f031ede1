//! `calibrate`: a device measured, and its file written.

use crate::cli::Failure;
use crate::cli::args::Verbosity;
use crate::cli::command::verify::DeviceChoice;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `calibrate`.
#[derive(Debug, Clone, Args)]
pub struct CalibrateArgs {
    /// What is measured
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceChoice,
    /// The device file to write [default: that of this machine in the user's cache folder, which
    /// `verify` and `--cluster localhost` read]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Fewer shapes and repetitions: half a minute instead of several
    #[arg(long)]
    pub quick: bool,
}

/// Measures a device and writes its file.
///
/// # Errors
/// A device that is not there, output that can not be written.
#[cfg(feature = "torch")]
pub fn run(
    args: &CalibrateArgs,
    verbosity: &Verbosity,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    super::calibrate_run::run(args, verbosity, out)
}

/// Measures a device and writes its file.
///
/// # Errors
/// Always: this build has no libtorch.
#[cfg(not(feature = "torch"))]
pub fn run(_: &CalibrateArgs, _: &Verbosity, _: &mut dyn Write) -> Result<(), Failure> {
    Err(super::without_torch("calibrate"))
}
