//! `check` and `diff`: arguments.

use crate::cli::args::Format;
use clap::Args;

/// Arguments of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Path of the plan
    pub plan: String,
    /// How to print what is found
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Arguments of `diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// Path of the one plan
    pub first: String,
    /// Path of the other
    pub second: String,
    /// How to print what differs
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
