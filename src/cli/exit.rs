//! How the command ends.

use crate::spec::SpecError;
use std::fmt;
use std::io;

/// Exit codes. They stay as they are: scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done; also where the reader of standard output has closed it.
    Done = 0,
    /// The command line is wrong.
    Usage = 2,
    /// An input file is wrong, or there is none of that name.
    BadInput = 3,
    /// No plan fits.
    Infeasible = 4,
    /// A limit was reached before any plan was found.
    Limit = 5,
    /// A check or a verification did not hold.
    VerificationFailed = 6,
    /// Something that the command needs is missing: libtorch, a device, a solver.
    Missing = 7,
    /// Output could not be written.
    NotWritten = 8,
    /// Stopped by the user; the best plan so far, if any, was written.
    Interrupted = 130,
}

/// Why a command did not succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The command line is wrong in a way that only its values show.
    Usage(String),
    /// An input file is wrong.
    Spec(SpecError),
    /// An input file is right in itself and wrong for this job.
    BadInput(String),
    /// No plan fits; says what is short and what would help.
    Infeasible(String),
    /// A limit was reached before any plan was found.
    Limit(String),
    /// A check or a verification did not hold.
    Verification(String),
    /// Something that the command needs is missing.
    Missing(String),
    /// Output could not be written.
    Output(io::Error),
    /// Stopped by the user.
    Interrupted,
}

impl Failure {
    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Usage(_) => ExitCode::Usage,
            Failure::Spec(_) | Failure::BadInput(_) => ExitCode::BadInput,
            Failure::Infeasible(_) => ExitCode::Infeasible,
            Failure::Limit(_) => ExitCode::Limit,
            Failure::Verification(_) => ExitCode::VerificationFailed,
            Failure::Missing(_) => ExitCode::Missing,
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Done,
            Failure::Output(_) => ExitCode::NotWritten,
            Failure::Interrupted => ExitCode::Interrupted,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Spec(error) => error.fmt(f),
            Failure::Usage(message)
            | Failure::BadInput(message)
            | Failure::Infeasible(message)
            | Failure::Limit(message)
            | Failure::Verification(message)
            | Failure::Missing(message) => write!(f, "error: {message}"),
            Failure::Output(error) => write!(f, "error: output could not be written: {error}"),
            Failure::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        Failure::Spec(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}
