//! Models from the files of other programs: Hugging Face's `config.json`.
//!
//! Every field of the file ends in one of three lists: what was read and what it became, what the
//! model file has no need of, and what it can not say though it changes the model. What the file
//! leaves open and the model file needs is a fourth list, of assumptions.

mod decoder;
mod encoder;
mod falcon;
mod field;
mod ignored;
mod llama;
mod meaning;
mod tidy;
mod top_level;

use crate::spec::{Document, ModelSpec, Objective, Precision, Source, SpecError, TrainingSpec};
use field::Fields;

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

/// The reader of one kind of model.
type Reader = fn(&mut Fields<'_>) -> Option<ModelSpec>;

/// The kinds of models that are read, by `model_type`.
const READERS: [(&str, Reader); 12] = [
    ("bert", encoder::bert),
    ("bloom", decoder::bloom),
    ("falcon", falcon::falcon),
    ("gpt2", decoder::gpt2),
    ("gpt_neox", decoder::gpt_neox),
    ("llama", llama::llama),
    ("mistral", llama::mistral),
    ("mixtral", llama::mixtral),
    ("opt", decoder::opt),
    ("qwen2", llama::qwen2),
    ("qwen3", llama::qwen3),
    ("roberta", encoder::roberta),
];

/// Sequences of an optimizer step where the caller gives none: the file never does.
const ASSUMED_BATCH: u64 = 256;

/// Reads a Hugging Face `config.json`.
///
/// # Errors
/// Everything that is wrong with the file: no JSON, an unknown kind of model, fields that are
/// missing or of the wrong kind, sizes that make no model.
pub fn hugging_face(source: &Source, options: &Options) -> Result<Imported, SpecError> {
    let entries = top_level::parse(source)?;
    let mut fields = Fields::new(source, entries, options);
    let model = read(&mut fields);
    let finished = fields.finish()?;
    // Without findings there is a model; the readers give none only with one.
    let Some(mut model) = model else {
        return Err(SpecError::unplaced(Vec::new(), &source.name));
    };
    tidy::drop_defaults(&mut model);
    let findings = model.findings();
    if !findings.is_empty() {
        return Err(fields.placed(findings));
    }
    let field::Finished { read, ignored, not_expressed, assumed } = finished;
    Ok(Imported { model, read, ignored, not_expressed, assumed })
}

fn read(fields: &mut Fields<'_>) -> Option<ModelSpec> {
    let known: Vec<&str> = READERS.iter().map(|(name, _)| *name).collect();
    let kind = fields.kind("model_type", &known)?;
    let (_, reader) = READERS.iter().find(|(name, _)| *name == kind)?;
    reader(fields)
}

/// How the model is trained, as far as the file says.
fn training(fields: &mut Fields<'_>, pretraining: Objective) -> TrainingSpec {
    let objective = fields.objective(pretraining);
    let labels = matches!(objective, Objective::Classification | Objective::TokenClassification)
        .then(|| fields.labels())
        .flatten();
    TrainingSpec {
        objective,
        global_batch_size: fields.options.global_batch.unwrap_or_else(|| {
            fields.assume(format!(
                "a global batch of {ASSUMED_BATCH} sequences: `--global-batch` gives another"
            ));
            ASSUMED_BATCH
        }),
        precision: fields.precision(),
        optimizer: crate::spec::Optimizer::Adam,
        max_predictions_per_sequence: None,
        num_labels: labels,
        tokens: fields.options.tokens,
        lora: None,
    }
}
