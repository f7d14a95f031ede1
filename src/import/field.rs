//! Reads fields one by one and remembers what became of each.

use super::ignored::reason;
use super::imported::{IgnoredField, ReadField};
use super::options::Options;
use super::top_level::{Entry, described};
use crate::spec::{Diagnostic, Finding, Mark, Source, SpecError, nearest, quoted};
use serde_json::Value;
use std::collections::BTreeMap;

/// The fields of a file that is being read.
pub(super) struct Fields<'a> {
    source: &'a Source,
    entries: Vec<Entry>,
    pub(super) options: &'a Options,
    /// What became of a field, by its name.
    used: BTreeMap<String, String>,
    /// The field that a field of the model came from.
    origins: BTreeMap<String, String>,
    diagnostics: Vec<Diagnostic>,
    /// Defaults of Hugging Face that were taken.
    pub(super) defaults: Vec<String>,
    not_expressed: Vec<String>,
    assumed: Vec<String>,
    pub(super) model_type: String,
}

/// What is left when all fields have been read.
pub(super) struct Finished {
    pub(super) read: Vec<ReadField>,
    pub(super) ignored: Vec<IgnoredField>,
    pub(super) not_expressed: Vec<String>,
    pub(super) assumed: Vec<String>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(source: &'a Source, entries: Vec<Entry>, options: &'a Options) -> Self {
        Fields {
            source,
            entries,
            options,
            used: BTreeMap::new(),
            origins: BTreeMap::new(),
            diagnostics: Vec::new(),
            defaults: Vec::new(),
            not_expressed: Vec::new(),
            assumed: Vec::new(),
            model_type: String::new(),
        }
    }

    /// The lists, or everything that is wrong.
    pub(super) fn finish(&mut self) -> Result<Finished, SpecError> {
        if !self.diagnostics.is_empty() {
            let mut diagnostics = std::mem::take(&mut self.diagnostics);
            diagnostics.sort_by_key(|diagnostic| diagnostic.position);
            return Err(SpecError { diagnostics });
        }
        let (mut read, mut ignored) = (Vec::new(), Vec::new());
        for entry in &self.entries {
            let field = entry.key.clone();
            match self.used.get(&field) {
                Some(becomes) => read.push(ReadField {
                    field,
                    value: short(&entry.value),
                    becomes: becomes.clone(),
                }),
                None => ignored.push(IgnoredField { reason: reason(&field), field }),
            }
        }
        let mut assumed = std::mem::take(&mut self.assumed);
        if !self.defaults.is_empty() {
            let list = self.defaults.join(", ");
            assumed.push(format!("Hugging Face's defaults of `{}`: {list}", self.model_type));
        }
        let not_expressed = std::mem::take(&mut self.not_expressed);
        Ok(Finished { read, ignored, not_expressed, assumed })
    }

    /// Findings about the model, at the fields that they came from.
    pub(super) fn placed(&self, findings: Vec<Finding>) -> SpecError {
        let diagnostics = findings.into_iter().map(|finding| {
            let origin = self.origins.get(&finding.path);
            let entry = self.entries.iter().find(|entry| Some(&entry.key) == origin);
            let Finding { code, message, help, .. } = finding;
            match entry {
                Some(entry) => {
                    let mark = Mark { span: entry.value_span.clone(), label: "" };
                    Diagnostic::placed(code, message, self.source, mark, None, help)
                }
                None => Diagnostic::unplaced(code, message, Some(&self.source.name), help),
            }
        });
        SpecError { diagnostics: diagnostics.collect() }
    }

    /// The kind of model: one of `known`.
    pub(super) fn kind(&mut self, name: &'static str, known: &[&str]) -> Option<String> {
        let list = known.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ");
        let found = self.text(&[name], "family");
        let Some(found) = found else {
            if self.diagnostics.is_empty() {
                let help = format!("it is one of {list}");
                self.missing(&[name], "the kind of model", Some(help));
            }
            return None;
        };
        if known.contains(&found.as_str()) {
            self.model_type.clone_from(&found);
            return Some(found);
        }
        let help = match nearest(&found, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`? What is read is {list}"),
            None => format!("what is read is {list}"),
        };
        let message = format!("`{name}` is {}, a kind of model that is not read", quoted(&found));
        self.report("import::model-type", name, message, "not known", Some(help));
        None
    }

    /// A count that has to be there.
    pub(super) fn count(&mut self, names: &[&'static str], becomes: &str) -> u64 {
        let missing = self.diagnostics.len();
        match self.optional_count(names, becomes) {
            Some(count) => count,
            None => {
                if self.diagnostics.len() == missing {
                    self.missing(names, becomes, None);
                }
                1
            }
        }
    }

    /// A count, where it is given.
    pub(super) fn optional_count(&mut self, names: &[&'static str], becomes: &str) -> Option<u64> {
        let value = self.value(names, becomes)?;
        let count = value.as_u64();
        if count.is_none() {
            self.wrong(names, "a whole number, such as `12`");
        }
        count
    }

    /// A count that Hugging Face has a default for.
    pub(super) fn count_or(&mut self, names: &[&'static str], becomes: &str, default: u64) -> u64 {
        let before = self.diagnostics.len();
        let found = self.optional_count(names, becomes);
        if found.is_none() && self.diagnostics.len() == before {
            self.defaults.push(format!("`{}` {default}", names[0]));
        }
        found.unwrap_or(default)
    }

    /// A truth value that Hugging Face has a default for.
    pub(super) fn flag(&mut self, name: &'static str, becomes: &str, default: bool) -> bool {
        let Some(value) = self.value(&[name], becomes) else {
            self.defaults.push(format!("`{name}` {default}"));
            return default;
        };
        let flag = value.as_bool();
        if flag.is_none() {
            self.wrong(&[name], "`true` or `false`");
        }
        flag.unwrap_or(default)
    }

    /// A probability that Hugging Face has a default for.
    pub(super) fn probability(
        &mut self,
        names: &[&'static str],
        becomes: &str,
        default: f64,
    ) -> f64 {
        let Some(value) = self.value(names, becomes) else {
            self.defaults.push(format!("`{}` {default}", names[0]));
            return default;
        };
        let found = value.as_f64().filter(|value| (0.0..1.0).contains(value));
        if found.is_none() {
            self.wrong(names, "a probability of at least 0 and below 1");
        }
        found.unwrap_or(default)
    }

    /// A word, where it is given.
    pub(super) fn text(&mut self, names: &[&'static str], becomes: &str) -> Option<String> {
        let value = self.value(names, becomes)?;
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong(names, "a text");
        }
        text
    }

    /// Notes that a field says what a model file can not, unless its value is one of `harmless`.
    pub(super) fn not_expressed(&mut self, name: &'static str, harmless: &[Value], said: &str) {
        let Some(value) = self.value(&[name], "as models are planned").cloned() else { return };
        if !harmless.contains(&value) {
            self.used.insert(name.to_owned(), "not expressed".to_owned());
            self.cannot(format!("`{name}` {}: {said}", short(&value)));
        }
    }

    /// Notes something that a model file can not say.
    pub(super) fn cannot(&mut self, sentence: String) {
        self.not_expressed.push(sentence);
    }

    /// Notes an assumption.
    pub(super) fn assume(&mut self, sentence: impl Into<String>) {
        self.assumed.push(sentence.into());
    }

    /// The first of `names` that has a value; all that are there count as read.
    pub(super) fn value(&mut self, names: &[&'static str], becomes: &str) -> Option<&Value> {
        for name in names {
            if self.entries.iter().any(|entry| entry.key == *name) {
                self.used.insert((*name).to_owned(), becomes.to_owned());
            }
        }
        let given = |name: &&&str| {
            self.entries.iter().find(|entry| entry.key == **name && !entry.value.is_null())
        };
        let entry = names.iter().find_map(|name| given(&name))?;
        self.origins.entry(becomes.to_owned()).or_insert_with(|| entry.key.clone());
        Some(&entry.value)
    }

    fn missing(&mut self, names: &[&'static str], what: &str, help: Option<String>) {
        let others = match &names[1..] {
            [] => String::new(),
            rest => format!(" (or `{}`)", rest.join("`, `")),
        };
        let of = match self.model_type.as_str() {
            "" => String::new(),
            kind => format!(" of a `{kind}`"),
        };
        let message = format!("`{}`{others} is missing: {what}{of}", names[0]);
        let name = &self.source.name;
        self.diagnostics.push(Diagnostic::unplaced("import::missing", message, Some(name), help));
    }

    /// Reports that the first of `names` that has a value has a wrong one.
    pub(super) fn wrong(&mut self, names: &[&'static str], expected: &str) {
        let entries = &self.entries;
        let named = |name: &&&str| {
            entries.iter().find(|entry| entry.key == **name && !entry.value.is_null())
        };
        let Some(entry) = names.iter().find_map(|name| named(&name)) else { return };
        let message = format!("`{}` is {}, not {expected}", entry.key, described(&entry.value));
        let key = entry.key.clone();
        self.report("import::kind", &key, message, "", None);
    }

    fn report(
        &mut self,
        code: &'static str,
        field: &str,
        message: String,
        label: &str,
        help: Option<String>,
    ) {
        let place = self.entries.iter().find(|entry| entry.key == field);
        let span = place.map_or(0..0, |entry| entry.value_span.clone());
        let mark = Mark { span, label };
        self.diagnostics.push(Diagnostic::placed(code, message, self.source, mark, None, help));
    }
}

/// A value in at most 48 characters.
fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    quoted(&text).trim_matches('`').to_owned()
}
