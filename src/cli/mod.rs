//! The command line: parses, calls, prints. Data goes to standard output, the rest to standard
//! error.

pub mod advice;
pub mod agreement;
pub mod args;
pub mod command;
pub mod enumerations;
pub mod exit;
pub mod folder;
pub mod interrupt;
pub mod names;
pub mod numbers;
pub mod output;
pub mod output_args;
pub mod pins;
pub mod plan_args;
pub mod root;
pub mod table;
pub mod tuning_args;
pub mod watch;

pub use exit::{ExitCode, Failure};

use clap::{CommandFactory, Parser};
use root::{Cli, Command};
use std::io::{self, BufWriter, Write};

/// Runs the command of this process and gives its exit code.
pub fn main() -> std::process::ExitCode {
    let code = match Cli::try_parse() {
        Ok(cli) => run(&cli),
        Err(error) => {
            // Help and version end here too, on standard output; a closed pipe is no failure.
            let _ = error.print();
            if error.use_stderr() { ExitCode::Usage } else { ExitCode::Done }
        }
    };
    std::process::ExitCode::from(code as u8)
}

fn run(cli: &Cli) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let outcome = dispatch(cli, &mut out).and_then(|()| Ok(out.flush()?));
    let Err(failure) = outcome else { return ExitCode::Done };
    let code = failure.exit_code();
    if code != ExitCode::Done {
        // Nothing is left to do where standard error is closed as well.
        let _ = writeln!(io::stderr(), "{failure}");
    }
    code
}

fn dispatch(cli: &Cli, out: &mut dyn Write) -> Result<(), Failure> {
    match &cli.command {
        Command::Search(args) => command::search::run(args, &cli.verbosity, out),
        Command::Capacity(args) => command::capacity::run(args, &cli.verbosity, out),
        Command::Simulate(args) => command::simulate::run(args, &cli.verbosity, out),
        Command::Check(args) => command::check::run(args, out),
        Command::Verify(args) => command::verify::run(args, &cli.verbosity, out),
        Command::Calibrate(args) => command::calibrate::run(args, &cli.verbosity, out),
        Command::Rank(args) => command::rank::run(args),
        Command::Validate(args) => command::validate::run(args, out),
        Command::Import(args) => command::import::run(args, &cli.verbosity, out),
        Command::Explain(args) => command::explain::run(args, out),
        Command::Diff(args) => command::diff::run(args, out),
        Command::Export(args) => command::export::run(args, &cli.verbosity, out),
        Command::Graph(args) => command::graph::run(args, out),
        Command::List(args) => command::list::run(args, &cli.verbosity, out),
        Command::Schema(args) => command::schema::run(args, out),
        Command::Completions(args) => command::completions::run(args, Cli::command(), out),
        Command::Man => command::man::run(Cli::command(), out),
    }
}
