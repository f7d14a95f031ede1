//! The command line's own types: what several commands share.

use super::Failure;
use super::command::{
    calibrate, capacity, check, completions, diff, explain, export, graph, import, list, rank,
    schema, search, simulate, validate, verify,
};
use super::numbers::{parse_count, parse_length};
use super::tuning_args::LoraArgs;
use crate::spec::{self, Cluster, Document, ModelSpec, Precision, Source, SpecError, StackSpec};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::path::Path;

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
    Capacity(Box<capacity::CapacityArgs>),
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
    Verify(Box<verify::VerifyArgs>),
    /// Measure a device and write its file
    #[command(
        after_help = "Example:\n  lmplan calibrate --device cpu -o hardware/devices/cpu-core.yaml"
    )]
    Calibrate(calibrate::CalibrateArgs),
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

/// How much is said on standard error.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Verbosity {
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For reading in a terminal
    #[default]
    Text,
    /// For programs: plain numbers, units in the keys
    Json,
    /// For documents
    Markdown,
    /// For spreadsheets
    Csv,
}

/// The model and what overrides its training.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// Model: a name of the catalogue or a path
    #[arg(long, value_name = "MODEL")]
    pub model: String,
    /// Sequences of one optimizer step [default: the model's]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_count)]
    pub global_batch: Option<u64>,
    /// Tokens of one sequence [default: the model's]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_length)]
    pub sequence_length: Option<u64>,
    /// Numeric recipe [default: the model's]
    #[arg(long, value_name = "RECIPE", value_parser = named::<Precision>())]
    pub precision: Option<Precision>,
    /// Adapters.
    #[command(flatten)]
    pub lora: LoraArgs,
}

impl ModelArgs {
    /// The flags that say the same beside the model, by name and value.
    pub fn flags(&self) -> Vec<(&'static str, Option<String>)> {
        let mut flags = vec![
            ("global-batch", self.global_batch.map(|n| n.to_string())),
            ("sequence-length", self.sequence_length.map(|n| n.to_string())),
            ("precision", self.precision.map(super::output::word)),
        ];
        flags.extend(self.lora.flags());
        flags
    }

    /// Reads the model and applies the flags.
    ///
    /// # Errors
    /// An unknown or invalid model, or flags that do not fit it.
    pub fn load(&self, folder: &Path) -> Result<(ModelSpec, Source), SpecError> {
        let (mut model, source) = spec::load_model(&self.model, folder)?;
        if let Some(sequences) = self.global_batch {
            model.training.global_batch_size = sequences;
        }
        if let Some(tokens) = self.sequence_length {
            model.sequence_length = tokens;
        }
        if let Some(precision) = self.precision {
            model.training.precision = precision;
        }
        if let Some(lora) = self.lora.lora() {
            model.training.lora = Some(lora);
        }
        let findings = model.findings();
        if findings.is_empty() {
            Ok((model, source))
        } else {
            let flags = self.flags().into_iter();
            let flags: Vec<String> =
                flags.filter_map(|(name, value)| Some(format!("--{name} {}", value?))).collect();
            let what = format!("model `{}` with `{}`", model.name, flags.join(" "));
            Err(SpecError::unplaced(findings, &what))
        }
    }
}

/// Model, cluster and stack: what a prediction is about.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Cluster: a name of the catalogue or a path
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: String,
    /// Software stack: a name of the catalogue or a path [default: megatron-core, of a given plan
    /// its own]
    #[arg(long, value_name = "STACK")]
    pub stack: Option<String>,
}

/// The stack that is assumed where none is named.
pub const DEFAULT_STACK: &str = "megatron-core";

/// What [`JobArgs`] name, read and validated together.
#[derive(Debug, Clone)]
pub struct Job {
    /// The model with the flags applied.
    pub model: ModelSpec,
    /// The model's file.
    pub model_source: Source,
    /// The cluster with its devices.
    pub cluster: Cluster,
    /// The cluster's file.
    pub cluster_source: Source,
    /// The software stack.
    pub stack: StackSpec,
    /// The stack's file.
    pub stack_source: Source,
}

impl JobArgs {
    /// Name of the software stack.
    pub fn stack(&self) -> &str {
        self.stack.as_deref().unwrap_or(DEFAULT_STACK)
    }

    /// Model, cluster and stack as a plan names them.
    pub fn plan_names(&self) -> [String; 3] {
        [&self.model.model, &self.cluster, self.stack()].map(super::output::plan_name)
    }

    /// Reads all three.
    ///
    /// # Errors
    /// Unknown names, invalid files, or a precision that a device has no peak for.
    pub fn load(&self, folder: &Path) -> Result<Job, Failure> {
        let (model, model_source) = self.model.load(folder)?;
        let (cluster, cluster_source) = Cluster::load(&self.cluster, folder)?;
        let (stack, stack_source) = spec::load_stack(self.stack(), folder)?;
        let findings = super::advice::job_findings(&model, &cluster);
        if !findings.is_empty() {
            // A recipe from the command line stands nowhere in the model's file.
            return Err(Failure::Spec(if self.model.precision.is_some() {
                SpecError::unplaced(findings, "`--precision`")
            } else {
                spec::placed(findings, &model_source)
            }));
        }
        Ok(Job { model, model_source, cluster, cluster_source, stack, stack_source })
    }
}

/// Parses the words of an enumeration, as files write them.
pub fn named<T>() -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + JsonSchema + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words::<T>())
        .try_map(|word| serde_json::from_value::<T>(serde_json::Value::String(word)))
}

/// The words of an enumeration, as files write them.
pub fn words<T: JsonSchema>() -> Vec<String> {
    let schema = spec::schema::schema::<T>();
    let cases = schema["oneOf"].as_array().into_iter().flatten();
    cases.filter_map(|case| case["const"].as_str().map(String::from)).collect()
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
