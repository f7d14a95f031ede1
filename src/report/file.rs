//! Files of a report, in memory, and why they could not be made.

use thiserror::Error;

/// A file of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFile {
    /// Name within the folder of the report.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Why a report could not be made from its input.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The plan can not be written as YAML.
    #[error("`plan.yaml` can not be written: {0}")]
    Plan(#[from] serde_yaml::Error),
    /// The results can not be written as JSON.
    #[error("`search.json` can not be written: {0}")]
    Json(#[from] serde_json::Error),
    /// The page can not be made.
    #[error("`report.html` can not be made: {0}")]
    Page(#[from] minijinja::Error),
}

/// A file of a report, from its name and content.
pub(super) fn file(name: &str, bytes: Vec<u8>) -> ReportFile {
    ReportFile { name: name.to_owned(), bytes }
}
