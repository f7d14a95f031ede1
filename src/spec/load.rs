//! From text to validated types.

use super::catalog::{Kind, find};
use super::cluster::ClusterSpec;
use super::device::DeviceSpec;
use super::diagnostic::{Diagnostic, Finding, Mark, Source, SpecError};
use super::model::ModelSpec;
use super::nearest::nearest;
use super::read::read;
use super::schema::schema;
use super::stack::StackSpec;
use super::structure::{self, listed};
use super::tree::{self, Node, SyntaxError};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::path::Path;

/// What a YAML file can hold.
pub trait Document: DeserializeOwned + JsonSchema {
    /// What it describes.
    const KIND: Kind;

    /// What is wrong with its values though each is of the right kind.
    fn findings(&self) -> Vec<Finding>;
}

/// Reads and validates one document.
///
/// # Errors
/// Every finding of the first stage that has any: syntax, fields and kinds, values.
pub fn parse<T: Document>(source: &Source) -> Result<T, SpecError> {
    let tree = tree::parse(&source.text).map_err(|error| syntax(error, source))?;
    let diagnostics = structure::check(&tree, &schema::<T>(), source);
    if !diagnostics.is_empty() {
        return Err(SpecError { diagnostics });
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: 40, max_nodes: 50_000, max_anchors: 0 },
        strict_booleans: true,
        with_snippet: false,
    };
    let document: T = serde_saphyr::from_str_with_options(&source.text, options)
        .map_err(|error| typed(&error, source))?;
    let findings = document.findings();
    if findings.is_empty() { Ok(document) } else { Err(place(findings, &tree, source)) }
}

/// Reads a document by name; see [`find`].
///
/// # Errors
/// No such name, an unreadable file, or what is wrong with its text.
pub fn load<T: Document>(name: &str, folder: &Path) -> Result<(T, Source), SpecError> {
    let source = find(T::KIND, name, folder)?;
    Ok((parse(&source)?, source))
}

/// Reads a model by name or path.
///
/// # Errors
/// As [`load`].
pub fn load_model(name: &str, folder: &Path) -> Result<(ModelSpec, Source), SpecError> {
    load(name, folder)
}

/// Reads a cluster by name or path. [`super::Cluster::load`] reads its devices too.
///
/// # Errors
/// As [`load`].
pub fn load_cluster(name: &str, folder: &Path) -> Result<(ClusterSpec, Source), SpecError> {
    load(name, folder)
}

/// Reads a device by name or path.
///
/// # Errors
/// As [`load`].
pub fn load_device(name: &str, folder: &Path) -> Result<(DeviceSpec, Source), SpecError> {
    load(name, folder)
}

/// Reads a measured device file.
///
/// # Errors
/// A file that can not be read or is no device file.
pub fn read_measured(path: &Path) -> Result<DeviceSpec, SpecError> {
    let source = read(path, path.display().to_string())?;
    parse(&source)
}

/// Reads a software stack by name or path.
///
/// # Errors
/// As [`load`].
pub fn load_stack(name: &str, folder: &Path) -> Result<(StackSpec, Source), SpecError> {
    load(name, folder)
}

/// Findings with their places in the text that they are about.
///
/// # Errors
/// Always: that is what it makes. Falls back to the beginning of the file where the text is not
/// YAML any more.
pub fn placed(findings: Vec<Finding>, source: &Source) -> SpecError {
    match tree::parse(&source.text) {
        Ok(tree) => place(findings, &tree, source),
        Err(_) => SpecError::unplaced(findings, &source.name),
    }
}

fn place(findings: Vec<Finding>, tree: &Node, source: &Source) -> SpecError {
    let mut diagnostics: Vec<Diagnostic> = findings
        .into_iter()
        .map(|finding| {
            let mark = Mark { span: tree.locate(&finding.path), label: "" };
            let Finding { code, message, help, .. } = finding;
            Diagnostic::placed(code, message, source, mark, None, help)
        })
        .collect();
    diagnostics.sort_by_key(|diagnostic| diagnostic.position);
    SpecError { diagnostics }
}

fn syntax(error: SyntaxError, source: &Source) -> SpecError {
    let label = if error.first.is_some() { "a second time here" } else { "" };
    let mark = Mark { span: error.span, label };
    let first = error.first.map(|span| Mark { span, label: "first here" });
    Diagnostic::placed(error.code, error.message, source, mark, first, error.help).into()
}

/// What serde still finds: keys of maps whose names are an enumeration.
fn typed(error: &serde_saphyr::Error, source: &Source) -> SpecError {
    let at = error.location().and_then(|location| location.span().byte_offset());
    let mut start = at.map_or(0, |at| (at as usize).min(source.text.len()));
    while !source.text.is_char_boundary(start) {
        start -= 1;
    }
    let mark = Mark { span: start..start, label: "" };
    let (message, help) = match error {
        serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } => {
            let known = listed(expected);
            let meant = nearest(variant, expected.iter().copied());
            let help = match meant {
                Some(meant) => format!("did you mean `{meant}`? It is one of {known}"),
                None => format!("it is one of {known}"),
            };
            (format!("unknown name {}", super::diagnostic::quoted(variant)), Some(help))
        }
        other => {
            let options = serde_saphyr::render_options! {
                snippets: serde_saphyr::SnippetMode::Off,
            };
            (other.render_with_options(options), None)
        }
    };
    Diagnostic::placed("yaml::value", message, source, mark, None, help).into()
}
