//! What `calibrate` does.

use super::calibrate::CalibrateArgs;
use crate::cli::Failure;
use crate::cli::args::Verbosity;
use std::io::Write;

pub(super) fn run(
    _args: &CalibrateArgs,
    _verbosity: &Verbosity,
    _out: &mut dyn Write,
) -> Result<(), Failure> {
    Err(Failure::Missing("calibration".to_owned()))
}
