//! `simulate`: arguments.

use super::search::OutputArgs;
use crate::cli::args::JobArgs;
use clap::Args;

/// Arguments of `simulate`.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// What the plan is predicted for.
    #[command(flatten)]
    pub job: JobArgs,
    /// Path of the plan
    #[arg(long, value_name = "PLAN")]
    pub plan: String,
    /// Where the report goes.
    #[command(flatten)]
    pub output: OutputArgs,
}
