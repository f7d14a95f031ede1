//! The fields of a JSON object with their places in the text.

use crate::spec::{Diagnostic, Mark, Source, SpecError};
use serde_json::Value;
use std::ops::Range;

/// A field of the file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its name.
    pub(super) key: String,
    /// Its value.
    pub(super) value: Value,
    /// Where its name stands, with the quotes.
    pub(super) key_span: Range<usize>,
    /// Where its value stands.
    pub(super) value_span: Range<usize>,
}

/// Reads a file that holds one JSON object.
///
/// # Errors
/// Text that is no JSON, no object, or names a field twice.
pub(super) fn parse(source: &Source) -> Result<Vec<Entry>, SpecError> {
    let value: Value =
        serde_json::from_str(&source.text).map_err(|error| syntax(source, &error))?;
    let Value::Object(mut fields) = value else {
        let message = format!("the file is {}, not an object of fields", described(&value));
        let help = "give the `config.json` of a model: `{\"model_type\": \"llama\", …}`".to_owned();
        let mark = Mark { span: 0..0, label: "expected `{`" };
        let code = "import::object";
        return Err(Diagnostic::placed(code, message, source, mark, None, Some(help)).into());
    };
    let mut entries: Vec<Entry> = Vec::new();
    for (key_span, value_span) in spans(&source.text) {
        let key: String = serde_json::from_str(&source.text[key_span.clone()]).unwrap_or_default();
        if let Some(first) = entries.iter().find(|entry| entry.key == key) {
            let message = format!("{} stands here twice", crate::spec::quoted(&key));
            let mark = Mark { span: key_span, label: "a second time here" };
            let other = Mark { span: first.key_span.clone(), label: "first here" };
            let diagnostic =
                Diagnostic::placed("import::twice", message, source, mark, Some(other), None);
            return Err(diagnostic.into());
        }
        let value = fields.remove(&key).unwrap_or(Value::Null);
        entries.push(Entry { key, value, key_span, value_span });
    }
    Ok(entries)
}

fn syntax(source: &Source, error: &serde_json::Error) -> SpecError {
    let lines: usize =
        source.text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut at = (lines + error.column().saturating_sub(1)).min(source.text.len());
    while !source.text.is_char_boundary(at) {
        at -= 1;
    }
    let said = error.to_string();
    let what = said.split(" at line ").next().unwrap_or_default();
    let starts = |word: &str| source.text.lines().any(|line| line.starts_with(word));
    let found = match () {
        () if starts("parallelism:") => "a plan of lmplan".to_owned(),
        () if starts("num_layers:") => "a model file of lmplan".to_owned(),
        () => format!("no JSON: {what}"),
    };
    let message = format!("the file is {found}");
    let mark = Mark { span: at..at, label: "" };
    let other = match starts("parallelism:") {
        true => "a plan is read by `lmplan simulate --plan`, `explain`, `check` and `export`",
        false => "a model file in YAML needs no import: `--model FILE` reads it",
    };
    let help = format!("give the `config.json` of a Hugging Face model; {other}");
    Diagnostic::placed("import::json", message, source, mark, None, Some(help)).into()
}

/// Places of the names and values of the outermost object of valid JSON.
fn spans(text: &str) -> Vec<(Range<usize>, Range<usize>)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let (mut depth, mut at) = (0_usize, 0);
    let mut key: Option<Range<usize>> = None;
    let mut value: Option<Range<usize>> = None;
    let mut is_value = false;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'"' => at = string_end(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            _ => at += 1,
        }
        let outermost = depth == 0 || (depth == 1 && bytes[start] == b',');
        match bytes[start] {
            byte if byte.is_ascii_whitespace() => {}
            b':' if depth == 1 => is_value = true,
            _ if outermost => {
                found.extend(key.take().zip(value.take()));
                is_value = false;
            }
            b'"' if depth == 1 && !is_value => key = Some(start..at),
            b'{' if depth == 1 && !is_value => {}
            _ if is_value => {
                let begin = value.as_ref().map_or(start, |span| span.start);
                value = Some(begin..at);
            }
            _ => {}
        }
    }
    found
}

/// The byte after a string that begins at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// What a value is, for messages.
pub(super) fn described(value: &Value) -> String {
    match value {
        Value::Null => "`null`".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(number) => format!("the number {}", crate::spec::quoted(&number.to_string())),
        Value::String(text) => format!("the text {}", crate::spec::quoted(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { name: "config.json".into(), text: text.into() }
    }

    #[test]
    fn fields_have_their_places() {
        let text =
            "{\n  \"a\": 1, \"b\\\"\": [1, {\"a\": 2}],\n \"c\": {\"d\": \"}\"}, \"e\":\"x,y\"}";
        let entries = parse(&source(text)).unwrap();
        let shown: Vec<(&str, &str)> = entries
            .iter()
            .map(|entry| (entry.key.as_str(), &text[entry.value_span.clone()]))
            .collect();
        let expected =
            [("a", "1"), ("b\"", "[1, {\"a\": 2}]"), ("c", "{\"d\": \"}\"}"), ("e", "\"x,y\"")];
        assert_eq!(shown, expected);
        assert_eq!(&text[entries[1].key_span.clone()], "\"b\\\"\"");
        assert!(parse(&source("{}")).unwrap().is_empty());
    }

    #[test]
    fn other_texts_are_refused_with_their_place() {
        for (text, said) in [
            ("", "no JSON"),
            ("[]", "a list, not an object"),
            ("12", "the number `12`"),
            ("{\"a\": 1,}", "no JSON: trailing comma"),
            ("{\"a\": 1, \"a\": 2}", "`a` stands here twice"),
            ("{\"a\": 1e999}", "out of range"),
        ] {
            let error = parse(&source(text)).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(200), "]".repeat(200));
        assert!(parse(&source(&deep)).unwrap_err().to_string().contains("recursion limit"));
    }
}
