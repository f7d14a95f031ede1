//! Options of an import.

use crate::spec::{Objective, Precision};

/// What the caller decides instead of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Name of the model.
    pub name: Option<String>,
    /// Name where neither the caller nor the file gives one.
    pub fallback_name: Option<String>,
    /// Tokens of a training sequence.
    pub sequence_length: Option<u64>,
    /// Sequences of an optimizer step.
    pub global_batch: Option<u64>,
    /// Numeric recipe.
    pub precision: Option<Precision>,
    /// What is learnt.
    pub objective: Option<Objective>,
    /// Tokens of the training run.
    pub tokens: Option<u64>,
}
