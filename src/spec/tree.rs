//! YAML as a tree that knows where everything stands, for diagnostics.
//!
//! Bounded in depth, nodes and scalar length; anchors, aliases, tags and second documents are
//! refused, and so are keys that stand twice.

use super::diagnostic::quoted;
use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle, Span, StrInput};
use std::ops::Range;

/// Deepest nesting that is read; the deepest valid file has five levels.
const MAX_DEPTH: usize = 32;
/// Most values that are read; a device file with measured tables has some thousands.
const MAX_NODES: usize = 20_000;

const NO_ANCHORS: &str = "anchors (`&name`) and aliases (`*name`) are not read";
const NO_ANCHORS_HELP: &str = "write the value out where it is used";

/// A value and the bytes where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

/// A value before it has a type.
#[derive(Debug)]
pub(super) enum Value {
    /// A word or number; `plain` where it stands without quotes.
    Scalar { text: String, plain: bool },
    /// A list.
    Sequence(Vec<Node>),
    /// Fields in the order of the file.
    Mapping(Vec<Entry>),
}

/// A field.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) node: Node,
}

/// What is wrong with the text as YAML.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) code: &'static str,
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// Where the first of two equal keys stands.
    pub(super) first: Option<Range<usize>>,
}

impl Node {
    /// What the value is, for messages.
    pub(super) fn description(&self) -> String {
        match &self.value {
            Value::Scalar { text, plain } if *plain && is_null(text) => "nothing".into(),
            Value::Scalar { text, plain: true } => quoted(text),
            Value::Scalar { text, .. } => format!("the text {}", quoted(text)),
            Value::Sequence(_) => "a list".into(),
            Value::Mapping(_) => "a mapping".into(),
        }
    }

    /// Where the deepest part of `path` (steps apart by `/`) that exists stands: the value, or the
    /// whole of the mapping that should have held it.
    pub(super) fn locate(&self, path: &str) -> Range<usize> {
        let mut node = self;
        let mut span = 0..0;
        for step in path.split('/').filter(|step| !step.is_empty()) {
            let next = match &node.value {
                Value::Mapping(entries) => {
                    entries.iter().find(|entry| entry.key == step).map(|entry| {
                        let shown = match entry.node.value {
                            Value::Scalar { .. } => entry.node.span.clone(),
                            _ => entry.key_span.clone(),
                        };
                        (&entry.node, shown)
                    })
                }
                Value::Sequence(nodes) => step
                    .parse()
                    .ok()
                    .and_then(|index: usize| nodes.get(index))
                    .map(|node| (node, node.first_span())),
                Value::Scalar { .. } => None,
            };
            let Some((found, shown)) = next else { break };
            (node, span) = (found, shown);
        }
        span
    }

    /// The value, or the first key of a mapping.
    pub(super) fn first_span(&self) -> Range<usize> {
        match &self.value {
            Value::Mapping(entries) if !entries.is_empty() => entries[0].key_span.clone(),
            Value::Scalar { .. } => self.span.clone(),
            _ => self.span.start..self.span.start,
        }
    }
}

/// Whether a plain scalar stands for nothing.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Reads one YAML document.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);
    let parser = Parser::with_options(StrInput::new(text), options);
    let mut builder = Builder { text, parser, nodes: 0 };
    builder.document()
}

struct Builder<'a> {
    text: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Node, SyntaxError> {
        let mut root = None;
        let mut documents = 0;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if documents == 1 => {
                    return Err(self.error(
                        "yaml::documents",
                        &span,
                        "a second document begins here",
                        "keep one document in a file: remove the `---`",
                    ));
                }
                Event::DocumentStart(..) => documents += 1,
                Event::StreamStart | Event::DocumentEnd => {}
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        root.ok_or_else(|| SyntaxError {
            code: "yaml::empty",
            span: 0..0,
            message: "the file is empty".into(),
            help: None,
            first: None,
        })
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), SyntaxError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let at = self.offset(error.marker());
                Err(syntax_error(self.text, at, &error.info()))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, SyntaxError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values");
            return Err(self.error("yaml::size", &span, &message, "no file needs so many"));
        }
        if depth > MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} deep");
            return Err(self.error("yaml::depth", &span, &message, "no file needs such depth"));
        }
        let bytes = self.bytes(&span);
        match event {
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_)) => Err(self.error(
                "yaml::tag",
                &span,
                "a tag stands here",
                "remove the `!…`: none are read",
            )),
            Event::Scalar(_, _, 1.., _)
            | Event::SequenceStart(_, 1.., _)
            | Event::MappingStart(_, 1.., _)
            | Event::Alias(_)
            | Event::UnresolvedAlias(_) => {
                Err(self.error("yaml::anchor", &span, NO_ANCHORS, NO_ANCHORS_HELP))
            }
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                Ok(Node { span: bytes, value: Value::Scalar { text: text.into_owned(), plain } })
            }
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd | Event::StreamEnd, end) => {
                            let span = bytes.start..self.bytes(&end).end.max(bytes.start);
                            return Ok(Node { span, value: Value::Sequence(items) });
                        }
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
            }
            _ => self.mapping(bytes.start, depth),
        }
    }

    fn mapping(&mut self, start: usize, depth: usize) -> Result<Node, SyntaxError> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                let span = start..self.bytes(&span).end.max(start);
                return Ok(Node { span, value: Value::Mapping(entries) });
            }
            let key = self.node(event, span, depth + 1)?;
            let Value::Scalar { text: name, .. } = key.value else {
                return Err(self.error(
                    "yaml::key",
                    &span,
                    "this key is no name",
                    "write `name: value`",
                ));
            };
            if let Some(first) = entries.iter().find(|entry| entry.key == name) {
                return Err(SyntaxError {
                    code: "yaml::duplicate",
                    span: key.span,
                    message: format!("{} stands twice", quoted(&name)),
                    help: Some("remove one of the two".into()),
                    first: Some(first.key_span.clone()),
                });
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            entries.push(Entry { key: name, key_span: key.span, node });
        }
    }

    fn error(&self, code: &'static str, span: &Span, message: &str, help: &str) -> SyntaxError {
        SyntaxError {
            code,
            span: self.bytes(span),
            message: message.into(),
            help: Some(help.into()),
            first: None,
        }
    }

    fn bytes(&self, span: &Span) -> Range<usize> {
        let start = self.offset(&span.start);
        start..self.offset(&span.end).max(start)
    }

    /// The byte of a marker, on a boundary of characters inside the text.
    fn offset(&self, marker: &Marker) -> usize {
        let mut at = marker.byte_offset().unwrap_or_else(|| {
            self.text.char_indices().nth(marker.index()).map_or(self.text.len(), |(at, _)| at)
        });
        at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// A parser's error in our words where people meet it often.
fn syntax_error(text: &str, at: usize, info: &str) -> SyntaxError {
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let indent = line.len() - line.trim_start().len();
    let mut error = SyntaxError {
        code: "yaml::syntax",
        span: at..at,
        message: info.replace('\n', " "),
        help: None,
        first: None,
    };
    if let Some(tab) = line[..indent].find('\t') {
        error.span = line_start + tab..line_start + tab + 1;
        error.message = "a tab stands in the indentation".into();
        error.help = Some("indent with spaces".into());
    } else if let Some(nul) = text.find('\0').filter(|nul| *nul <= at) {
        error.span = nul..nul + 1;
        error.message = "a NUL character stands in the text".into();
        error.help = Some("write the file as plain UTF-8 text".into());
    } else if info.contains("nesting") || info.contains("recursion") || info.contains("too deep") {
        error.code = "yaml::depth";
        error.message = format!("nested more than {MAX_DEPTH} deep");
        error.help = Some("no file needs such depth".into());
    } else if info.contains("unknown anchor") {
        error.code = "yaml::anchor";
        error.message = NO_ANCHORS.into();
        error.help = Some(NO_ANCHORS_HELP.into());
    } else if info.contains("simple key expected") {
        error.message = "no `: ` stands after this name".into();
        error.help = Some("write `name: value`, with a space after the colon".into());
    } else if info.contains("did not find expected key") {
        error.message = "no field begins in this column".into();
        error.help = Some("the fields of one mapping begin in the same column".into());
    }
    error
}
