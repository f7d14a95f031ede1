//! `graph`: the operator graph of a model.

use crate::cli::Failure;
use crate::cli::advice::no_job;
use crate::cli::args::ModelArgs;
use crate::graph::{Detail, build, to_dot, to_json};
use crate::lower::WorkloadError;
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::Path;

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

/// Prints the graph.
///
/// # Errors
/// Wrong input, a model without a graph, output that can not be written.
pub fn run(args: &GraphArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (model, _) = args.model.load(Path::new("."))?;
    let graph =
        build(&model).map_err(|error| no_job(&WorkloadError::from(error).into(), &model))?;
    match args.format {
        GraphFormat::Dot => writeln!(out, "{}", to_dot(&graph, Detail::DistinctBlocks).trim_end())?,
        GraphFormat::Json => writeln!(out, "{:#}", to_json(&graph))?,
    }
    Ok(())
}
