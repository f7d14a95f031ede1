//! What the writers of all programs write: a configuration, and what is run with it.

/// A configuration before its first lines.
pub(super) struct Config {
    /// Name of the file.
    pub(super) name: &'static str,
    /// Its lines.
    pub(super) body: String,
    /// Whether `#` begins a comment.
    pub(super) has_comments: bool,
}

/// What is run on every rank.
pub(super) struct Program {
    /// Lines of shell before the launch.
    pub(super) setup: Vec<String>,
    /// Script or module with its arguments, as torchrun takes them.
    pub(super) command: String,
}

/// A text that can stand in a comment.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
