//! `graph`: arguments.

use crate::cli::args::ModelArgs;
use clap::{Args, ValueEnum};

/// How a graph is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum GraphFormat {
    /// For Graphviz
    #[default]
    Dot,
    /// For programs
    Json,
}

/// Arguments of `graph`.
#[derive(Debug, Clone, Args)]
pub struct GraphArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: GraphFormat,
}
