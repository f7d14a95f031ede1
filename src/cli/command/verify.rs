//! `verify`: a plan executed on libtorch, held against its predictions.

use super::verify_args::VerifyArgs;
use crate::cli::Failure;
use crate::cli::args::Verbosity;
use std::io::Write;

/// Verifies a plan.
///
/// # Errors
/// Wrong input, a rank that fails, errors beyond the tolerance (after the result is printed).
#[cfg(feature = "torch")]
pub fn run(args: &VerifyArgs, verbosity: &Verbosity, out: &mut dyn Write) -> Result<(), Failure> {
    super::verify_run::run(args, verbosity, out)
}

/// Verifies a plan.
///
/// # Errors
/// Always: this build has no libtorch.
#[cfg(not(feature = "torch"))]
pub fn run(_: &VerifyArgs, _: &Verbosity, _: &mut dyn Write) -> Result<(), Failure> {
    Err(super::without_torch("verify"))
}
