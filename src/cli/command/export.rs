//! `export` and `import`: arguments.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Software that a plan is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportTarget {
    /// Megatron-LM flags
    Megatron,
    /// A DeepSpeed configuration
    Deepspeed,
    /// A torchtitan configuration
    Torchtitan,
    /// A Megatron Bridge recipe
    Bridge,
}

/// Arguments of `export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The software
    pub target: ExportTarget,
    /// Path of the plan
    pub plan: String,
}

/// Where a model comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportOrigin {
    /// A `config.json` of Hugging Face Transformers
    Hf,
}

/// Arguments of `import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// Where the model comes from
    pub origin: ImportOrigin,
    /// The file
    pub file: PathBuf,
}
