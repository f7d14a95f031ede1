//! `capacity`: arguments.

use super::search::OutputArgs;
use crate::cli::args::{DEFAULT_STACK, ModelArgs, parse_tokens};
use clap::Args;

/// Arguments of `capacity`.
#[derive(Debug, Clone, Args)]
pub struct CapacityArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Clusters to compare: names of the catalogue or paths
    #[arg(long, value_name = "CLUSTER", num_args = 1.., required = true)]
    pub cluster: Vec<String>,
    /// Software stack: a name of the catalogue or a path
    #[arg(long, value_name = "STACK", default_value = DEFAULT_STACK)]
    pub stack: String,
    /// Tokens of the training run, such as `300B`
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    pub tokens: u64,
    /// Where the report goes.
    #[command(flatten)]
    pub output: OutputArgs,
}
