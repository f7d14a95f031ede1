//! `calibrate`: a device measured, and its file written.

use super::calibrate_args::CalibrateArgs;
use crate::cli::Failure;
use crate::cli::args::Verbosity;
use std::io::Write;

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
