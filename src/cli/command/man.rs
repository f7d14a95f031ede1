//! `man`.

use crate::cli::Failure;
use clap::Command;
use std::io::Write;

/// Prints the manual page: the command, then each of its commands.
///
/// # Errors
/// Output that can not be written.
pub fn run(mut command: Command, out: &mut dyn Write) -> Result<(), Failure> {
    command.build();
    clap_mangen::Man::new(command.clone()).render(out)?;
    pages(&command, "LMPLAN", out)
}

/// The commands of a command, each with its own.
fn pages(command: &Command, name: &str, out: &mut dyn Write) -> Result<(), Failure> {
    let shown = |sub: &&Command| sub.get_name() != "help" && !sub.is_hide_set();
    for subcommand in command.get_subcommands().filter(shown) {
        let name = format!("{name} {}", subcommand.get_name().to_uppercase());
        let man = clap_mangen::Man::new(subcommand.clone());
        writeln!(out, ".SH \"{name}\"")?;
        man.render_synopsis_section(out)?;
        man.render_description_section(out)?;
        man.render_options_section(out)?;
        pages(subcommand, &name, out)?;
    }
    Ok(())
}
