//! The command line as a whole: which commands there are.

use super::args::Verbosity;
use super::command::{
    calibrate_args, capacity_args, check, completions, diff, explain, export, graph, import, list,
    rank, schema, search, simulate, validate, verify_args,
};
use clap::{Parser, Subcommand};

/// Examples shown under the list of commands.
const EXAMPLES: &str = "\
Examples:
  lmplan search --model gpt3-175b --cluster a100x64
  lmplan capacity --model gpt3-175b --cluster a100x64 --cluster h100x64 --deadline 60d
  lmplan import hf config.json -o models/my-model.yaml
  lmplan explain reports/gpt3-175b-on-a100x64 --why-not tp=8,pp=8
  lmplan export megatron reports/gpt3-175b-on-a100x64 -o launch
  lmplan list clusters --format csv
  lmplan schema model > model.schema.json
  lmplan completions bash > lmplan.bash
  lmplan man > lmplan.1

Exit codes:
  0 done                    5 limit before any plan
  2 wrong command line      6 verification failed
  3 bad input file          7 something is missing
  4 no plan fits            8 output not written
  130 interrupted";

/// Plans the parallel training of large transformers.
#[derive(Debug, Parser)]
#[command(name = "lmplan", version, about, after_help = EXAMPLES, max_term_width = 100)]
#[command(arg_required_else_help = true, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How much is said on standard error.
    #[command(flatten)]
    pub verbosity: Verbosity,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find the best plan of a model on a cluster, with its proof
    #[command(after_help = "Example:\n  lmplan search --model gpt3-175b --cluster a100x64")]
    Search(Box<search::SearchArgs>),
    /// Compare numbers of devices and clusters for a training run: days, money, energy, goodput
    #[command(
        after_help = "Example:\n  lmplan capacity --model gpt3-175b --cluster a100x64 --cluster h100x64 \\\n      --tokens 300B --devices 64..1024 --deadline 60d"
    )]
    Capacity(Box<capacity_args::CapacityArgs>),
    /// Predict a given plan
    #[command(
        after_help = "Example:\n  lmplan simulate --model gpt3-175b --cluster a100x64 --plan plan.yaml"
    )]
    Simulate(Box<simulate::SimulateArgs>),
    /// Check a plan and its certificate, independently of the planner
    #[command(after_help = "Example:\n  lmplan check reports/gpt3-175b-on-a100x64")]
    Check(check::CheckArgs),
    /// Execute a plan on libtorch and hold its predictions against what is measured
    #[command(after_help = "Example:\n  lmplan verify reports/gpt3-175b-on-a100x64/plan.yaml")]
    Verify(Box<verify_args::VerifyArgs>),
    /// Measure a device and write its file
    #[command(
        after_help = "Example:\n  lmplan calibrate --device cpu -o hardware/devices/cpu-core.yaml"
    )]
    Calibrate(calibrate_args::CalibrateArgs),
    /// One rank of a run, started by `verify`
    #[command(hide = true)]
    Rank(rank::RankArgs),
    /// Predict measured runs and compare
    #[command(after_help = "Example:\n  lmplan validate --runs runs.csv --format json")]
    Validate(validate::ValidateArgs),
    /// Read a model from another program's file
    #[command(after_help = "Example:\n  lmplan import hf config.json -o models/my-model.yaml")]
    Import(import::ImportArgs),
    /// Say why a plan is as it is, and why another is not better
    #[command(
        after_help = "Example:\n  lmplan explain reports/gpt3-175b-on-a100x64 --why-not tp=8,pp=8"
    )]
    Explain(explain::ExplainArgs),
    /// Say what differs between two plans or two reports
    #[command(after_help = "Example:\n  lmplan diff reports/gpt3-175b-on-a100x64 my-plan.yaml")]
    Diff(diff::DiffArgs),
    /// Write a plan as the configuration of the program that will train
    #[command(
        after_help = "Example:\n  lmplan export megatron reports/gpt3-175b-on-a100x64 -o launch"
    )]
    Export(export::ExportArgs),
    /// Print the operator graph of a model
    #[command(after_help = "Example:\n  lmplan graph --model bert-base | dot -Tsvg > graph.svg")]
    Graph(graph::GraphArgs),
    /// Name the models, clusters, devices or stacks that there are
    #[command(after_help = "Example:\n  lmplan list models --format csv")]
    List(list::ListArgs),
    /// Print the JSON Schema of a kind of file
    #[command(after_help = "Example:\n  lmplan schema cluster > cluster.schema.json")]
    Schema(schema::SchemaArgs),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  lmplan completions zsh > _lmplan")]
    Completions(completions::CompletionsArgs),
    /// Print the manual page
    #[command(after_help = "Example:\n  lmplan man > lmplan.1")]
    Man,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
