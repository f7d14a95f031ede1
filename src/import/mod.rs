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
mod imported;
mod llama;
mod meaning;
mod options;
mod tidy;
mod top_level;
mod training;

pub use imported::{IgnoredField, Imported, ReadField};
pub use options::Options;

use crate::spec::{Document, ModelSpec, Source, SpecError};
use field::Fields;

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
