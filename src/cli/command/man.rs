//! `man`.

use crate::cli::Failure;
use crate::cli::args::Cli;
use clap::CommandFactory;
use std::io::Write;

/// Prints the manual page: the command, then each of its commands.
///
/// # Errors
/// Output that can not be written.
pub fn run(out: &mut dyn Write) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(out)?;
    for subcommand in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let man = clap_mangen::Man::new(subcommand.clone());
        writeln!(out, ".SH \"LMPLAN {}\"", subcommand.get_name().to_uppercase())?;
        man.render_synopsis_section(out)?;
        man.render_description_section(out)?;
        man.render_options_section(out)?;
    }
    Ok(())
}
