//! What is wrong with a file: where, what was found, what was expected, what to write instead.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

/// A text and the name that messages give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Path or catalogue name.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// Something wrong at one field of a valid YAML file, before its position is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Short identifier, such as `model::heads`.
    pub code: &'static str,
    /// The field, steps apart by `/`: `training/global_batch_size`, `nodes/0/count`.
    pub path: String,
    /// What was found and what was expected.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Finding {
    /// A finding without help.
    pub fn new(code: &'static str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Finding { code, path: path.into(), message: message.into(), help: None }
    }

    /// The same with help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// One finding, placed and rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Short identifier, such as `model::heads`.
    pub code: &'static str,
    /// What was found and what was expected.
    pub message: String,
    /// The file, where one is at fault.
    pub file: Option<String>,
    /// Line and column, both from 1, where the fault has a place.
    pub position: Option<(usize, usize)>,
    /// What to write instead.
    pub help: Option<String>,
    rendered: String,
}

/// A span of the source and what is said at it.
pub(crate) struct Mark<'a> {
    pub(crate) span: Range<usize>,
    pub(crate) label: &'a str,
}

/// Longest stretch of text that a snippet is cut from.
const MAX_SNIPPET: usize = 4096;

impl Diagnostic {
    /// A diagnostic about no place in a file.
    pub(crate) fn unplaced(
        code: &'static str,
        message: impl Into<String>,
        file: Option<&str>,
        help: Option<String>,
    ) -> Self {
        let message = message.into();
        let title = Level::ERROR.primary_title(message.as_str()).id(code);
        let mut group = annotate_snippets::Group::with_title(title);
        if let Some(file) = file {
            group = group.element(annotate_snippets::Origin::path(file));
        }
        if let Some(help) = &help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let rendered = Renderer::plain().render(&[group]);
        Diagnostic { code, message, file: file.map(Into::into), position: None, help, rendered }
    }

    /// A diagnostic at `at` in `source`, with a second mark where it helps.
    pub(crate) fn placed(
        code: &'static str,
        message: impl Into<String>,
        source: &Source,
        at: Mark<'_>,
        other: Option<Mark<'_>>,
        help: Option<String>,
    ) -> Self {
        let message = message.into();
        let position = position(&source.text, at.span.start);
        let mut ends = vec![at.span.start, at.span.end.min(at.span.start + MAX_SNIPPET / 2)];
        // A second mark far away would make the snippet long.
        let other = other.filter(|mark| mark.span.start.abs_diff(at.span.start) < MAX_SNIPPET / 2);
        ends.extend(other.iter().flat_map(|mark| [mark.span.start, mark.span.end]));
        let window = window(&source.text, &ends);
        let inside = |span: &Range<usize>| {
            let clamp = |end: usize| end.clamp(window.start, window.end) - window.start;
            // An empty span still needs a caret; a mark never runs over the end of its line.
            let start = clamp(span.start);
            let line_end = source.text[window.start + start..window.end]
                .find('\n')
                .map_or(window.end - window.start, |length| start + length);
            start..clamp(span.end).clamp(start, line_end)
        };
        let mut snippet = Snippet::source(&source.text[window.clone()])
            .line_start(position.0 - source.text[window.start..at.span.start].matches('\n').count())
            .path(source.name.as_str())
            .annotation(AnnotationKind::Primary.span(inside(&at.span)).label(at.label));
        if let Some(mark) = &other {
            snippet = snippet
                .annotation(AnnotationKind::Context.span(inside(&mark.span)).label(mark.label));
        }
        let title = Level::ERROR.primary_title(message.as_str()).id(code);
        let mut group = annotate_snippets::Group::with_title(title).element(snippet);
        if let Some(help) = &help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let rendered = Renderer::plain().render(&[group]);
        let file = Some(source.name.clone());
        Diagnostic { code, message, file, position: Some(position), help, rendered }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}

/// Everything that is wrong with what was asked for; displays as all its diagnostics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// At least one diagnostic, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

impl SpecError {
    /// The error of findings about values that did not come from one file, such as a model with
    /// what flags override.
    pub fn unplaced(findings: Vec<Finding>, what: &str) -> Self {
        let diagnostics = findings
            .into_iter()
            .map(|f| {
                let message = format!("{what}: {}", f.message);
                Diagnostic::unplaced(f.code, message, None, f.help)
            })
            .collect();
        SpecError { diagnostics }
    }
}

impl From<Diagnostic> for SpecError {
    fn from(diagnostic: Diagnostic) -> Self {
        SpecError { diagnostics: vec![diagnostic] }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for SpecError {}

/// `text` in backticks, without control characters, and cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(48).flat_map(char::escape_debug).collect();
    if text.chars().nth(48).is_some() {
        shown.push('…');
    }
    format!("`{}`", shown.replace("\\'", "'").replace("\\\"", "\""))
}

/// Line and column of a byte, both from 1, columns in characters.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The lines around `ends`, with one more before them.
fn window(text: &str, ends: &[usize]) -> Range<usize> {
    let first = ends.iter().copied().min().unwrap_or(0).min(text.len());
    let last = ends.iter().copied().max().unwrap_or(0).min(text.len());
    let line = text[..first].rfind('\n').map_or(0, |newline| newline + 1);
    let before = text[..line.saturating_sub(1)].rfind('\n').map_or(0, |newline| newline + 1);
    let after = text[last..].find(['\r', '\n']).map_or(text.len(), |length| last + length);
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    boundary(before.max(first.saturating_sub(MAX_SNIPPET)))..boundary(after.min(last + MAX_SNIPPET))
}
