//! The command line's own types: what several commands share.

use super::Failure;
use super::enumerations::named;
use super::numbers::{parse_count, parse_length};
use super::tuning_args::LoraArgs;
use crate::spec::{self, Cluster, Document, ModelSpec, Precision, Source, SpecError, StackSpec};
use clap::{Args, ValueEnum};
use std::path::Path;

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
            ("precision", self.precision.map(super::names::word)),
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
        [&self.model.model, &self.cluster, self.stack()].map(super::names::plan_name)
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
