//! `validate`: arguments.

use crate::cli::args::Format;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `validate`.
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    /// Measured runs
    #[arg(long, value_name = "FILE.csv")]
    pub runs: PathBuf,
    /// Measured memory
    #[arg(long, value_name = "FILE.csv")]
    pub memory: Option<PathBuf>,
    /// How to print the comparison
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
