//! Why a program could not be executed.

use thiserror::Error;

/// Why a program could not be executed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExecutorError {
    /// libtorch or a process group failed.
    #[error("libtorch: {0}")]
    Torch(#[from] lmplan_c10d::Error),
    /// What is executed is not what was priced.
    #[error("operator `{operator}`: {what}")]
    Mismatch {
        /// The operator.
        operator: String,
        /// What differs.
        what: String,
    },
    /// Something that the executor does not do.
    #[error("not executed yet: {0}")]
    Unsupported(String),
    /// The plan or model does not give a program.
    #[error("{0}")]
    Program(String),
    /// A rank failed, died or hung.
    #[error("{0}")]
    Rank(String),
    /// A rank that others did not answer.
    #[error("{0}")]
    Unanswered(String),
    /// A file or process of the run.
    #[error("{what}: {error}")]
    Io {
        /// What was done.
        what: String,
        /// What the system says.
        error: std::io::Error,
    },
}

/// What most functions here give.
pub type Result<T> = std::result::Result<T, ExecutorError>;

impl ExecutorError {
    /// An error of the file system or of a process.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> ExecutorError {
        let what = what.into();
        move |error| ExecutorError::Io { what, error }
    }
}
