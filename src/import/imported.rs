//! What was read, with what became of every field.

use crate::spec::ModelSpec;

/// A model that was read, and what became of every field of its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The model.
    pub model: ModelSpec,
    /// Fields that were read, in the order of the file.
    pub read: Vec<ReadField>,
    /// Fields that change nothing that is planned, in the order of the file.
    pub ignored: Vec<IgnoredField>,
    /// What the configuration says and a model file can not.
    pub not_expressed: Vec<String>,
    /// What the configuration leaves open, and what is taken instead.
    pub assumed: Vec<String>,
}

/// A field that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadField {
    /// Its name.
    pub field: String,
    /// Its value as it stands in the file.
    pub value: String,
    /// What it became.
    pub becomes: String,
}

/// A field that was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoredField {
    /// Its name.
    pub field: String,
    /// Why it changes nothing that is planned.
    pub reason: &'static str,
}
