//! What comes of an export: files, and what they do not say.

use super::losses::NotExpressed;
use super::target::Target;

/// A plan as another program reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The program.
    pub target: Target,
    /// The configuration, then the scripts that launch it, then the map of ranks.
    pub files: Vec<ExportFile>,
    /// What the program can not express.
    pub not_expressed: Vec<NotExpressed>,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFile {
    /// Name within the folder.
    pub name: String,
    /// Content.
    pub text: String,
}
