//! `completions SHELL`.

use crate::cli::Failure;
use clap::{Args, Command};
use clap_complete::Shell;
use std::io::Write;

/// Arguments of `completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Prints completions of `command`.
///
/// # Errors
/// Output that can not be written.
pub fn run(
    args: &CompletionsArgs,
    mut command: Command,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    // Into memory first: the generator panics where it can not write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "lmplan", &mut script);
    Ok(out.write_all(&script)?)
}
