//! Fields, kinds and units of a file against its JSON Schema: all findings at once, each placed.

use super::diagnostic::{Diagnostic, Mark, Source, quoted};
use super::nearest::nearest;
use super::tree::{Entry, Node, Value, is_null};
use crate::units::{self, ParseQuantityError};
use serde_json::Value as Schema;
use std::ops::Range;

/// Names that other programs use for our fields.
const SYNONYMS: &[(&str, &str)] = &[
    ("layers", "num_layers"),
    ("n_layer", "num_layers"),
    ("num_hidden_layers", "num_layers"),
    ("hidden", "hidden_size"),
    ("d_model", "hidden_size"),
    ("n_embd", "hidden_size"),
    ("heads", "num_heads"),
    ("n_head", "num_heads"),
    ("num_attention_heads", "num_heads"),
    ("num_key_value_heads", "num_kv_heads"),
    ("num_query_groups", "num_kv_heads"),
    ("intermediate_size", "ffn_hidden_size"),
    ("n_inner", "ffn_hidden_size"),
    ("max_seq_len", "sequence_length"),
    ("seq_length", "sequence_length"),
    ("n_positions", "max_position_embeddings"),
    ("batch_size", "global_batch_size"),
    ("tie_word_embeddings", "tied_embeddings"),
    ("hidden_act", "activation"),
    ("tensor_parallel", "tensor"),
    ("pipeline_parallel", "pipeline"),
    ("data_parallel", "data"),
    ("micro_batch_size", "micro"),
    ("gpu", "device"),
    ("gpus_per_node", "devices_per_node"),
];

/// Endings of the names of fields that are shares of something, never none of it.
const SHARES: [&str; 2] = ["efficiency", "power_limited_rate"];

/// No field is signed, and none is larger.
const MAX_NUMBER: f64 = 1e12;

/// Most findings that are reported for one file.
const MAX_FINDINGS: usize = 20;

/// Everything in `tree` that the schema does not allow, in the order of the file.
pub(super) fn check(tree: &Node, schema: &Schema, source: &Source) -> Vec<Diagnostic> {
    let mut checker = Checker { root: schema, source, found: Vec::new() };
    checker.node(tree, schema, "the file");
    checker.found.sort_by_key(|diagnostic| diagnostic.position);
    checker.found.truncate(MAX_FINDINGS);
    checker.found
}

struct Checker<'a> {
    root: &'a Schema,
    source: &'a Source,
    found: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    fn node(&mut self, node: &Node, schema: &'a Schema, name: &str) {
        let schema = self.resolve(schema);
        if let Value::Scalar { text, plain: true } = &node.value
            && is_null(text)
        {
            let help = "write a value, or leave the line out if the field is optional";
            return self.report(
                "yaml::no-value",
                &node.span,
                format!("{name} has no value"),
                "a value is missing here",
                Some(help.into()),
            );
        }
        if let Some(variants) = variants(schema) {
            return self.variant(node, &variants, name);
        }
        match schema["type"].as_str() {
            Some("object") => self.object(node, schema, name),
            Some("array") => self.array(node, schema, name),
            Some("integer") => self.integer(node, name),
            Some("number") => self.number(node, name),
            Some("boolean") => self.boolean(node, name),
            Some("string") => self.string(node, schema, name),
            _ => {}
        }
    }

    /// Follows references into the definitions.
    fn resolve(&self, mut schema: &'a Schema) -> &'a Schema {
        while let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or_default();
            schema = &self.root["$defs"][name];
        }
        schema
    }

    /// `` `field: …` (what it is) ``, for help; fields that a mapping has to have are named.
    fn describe(&self, schema: &'a Schema, field: &str) -> String {
        let schema = &schema["properties"][field];
        let description = schema["description"].as_str().unwrap_or_default();
        let first = description.split(['.', ';', ':', '\n']).next().unwrap_or_default();
        let inner = self.resolve(schema)["required"].as_array().into_iter().flatten();
        let inner: Vec<&str> = inner.filter_map(Schema::as_str).collect();
        let mut about = lower_first(first);
        if !inner.is_empty() {
            about.push_str(&format!("; needs {}", listed(&inner)));
        }
        if about.is_empty() {
            format!("`{field}: …`")
        } else {
            format!("`{field}: …` ({about})")
        }
    }

    fn object(&mut self, node: &Node, schema: &'a Schema, name: &str) {
        let Value::Mapping(entries) = &node.value else {
            return self.expected(node, name, "a mapping of fields", object_example(schema));
        };
        let properties = schema["properties"].as_object();
        // A field that is missing because its name is misspelt is reported once, as misspelt.
        let mut meant = Vec::new();
        for entry in entries {
            match properties.and_then(|fields| fields.get(&entry.key)) {
                Some(field) => self.node(&entry.node, field, &quoted(&entry.key)),
                None if schema["additionalProperties"].is_object() => {
                    let values = &schema["additionalProperties"];
                    self.node(&entry.node, values, &quoted(&entry.key));
                }
                None => meant.extend(self.unknown_field(entry, entries, schema)),
            }
        }
        let required = schema["required"].as_array().into_iter().flatten();
        let missing: Vec<&str> = required
            .filter_map(Schema::as_str)
            .filter(|field| entries.iter().all(|entry| entry.key != *field))
            .filter(|field| !meant.contains(field))
            .collect();
        if !missing.is_empty() {
            let adds: Vec<String> =
                missing.iter().map(|field| self.describe(schema, field)).collect();
            let message = format!("{name} lacks {}", listed(&missing));
            let help = format!("add {}", adds.join(", "));
            let at = node.first_span();
            self.report("yaml::missing-field", &at, message, "in this mapping", Some(help));
        }
    }

    /// Reports a field that there is not; gives the field that was meant.
    fn unknown_field(
        &mut self,
        entry: &Entry,
        entries: &[Entry],
        schema: &'a Schema,
    ) -> Option<&'a str> {
        let known: Vec<&str> = schema["properties"]
            .as_object()
            .map(|fields| fields.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let synonym = SYNONYMS
            .iter()
            .find(|(theirs, ours)| *theirs == entry.key && known.contains(ours))
            .map(|(_, ours)| *ours);
        let free = known.iter().copied().filter(|name| entries.iter().all(|e| e.key != *name));
        let meant = synonym.or_else(|| nearest(&entry.key, free));
        let help = match meant {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("the fields here are {}", listed(&known)),
        };
        self.report(
            "yaml::unknown-field",
            &entry.key_span,
            format!("unknown field {}", quoted(&entry.key)),
            "no such field",
            Some(help),
        );
        meant
    }

    fn array(&mut self, node: &Node, schema: &'a Schema, name: &str) {
        let Value::Sequence(items) = &node.value else {
            return self.expected(node, name, "a list", "`[…]`, or one `- …` a line".into());
        };
        if let Some(kinds) = schema["prefixItems"].as_array() {
            if items.len() != kinds.len() {
                let message = format!("{name} has {} values, not {}", items.len(), kinds.len());
                let help = format!("write a list of {} values", kinds.len());
                self.report("yaml::length", &node.span, message, "this list", Some(help));
            }
            for (item, kind) in items.iter().zip(kinds) {
                self.node(item, kind, &format!("a value of {name}"));
            }
        } else {
            for (index, item) in items.iter().enumerate() {
                self.node(item, &schema["items"], &format!("value {} of {name}", index + 1));
            }
        }
    }

    fn integer(&mut self, node: &Node, name: &str) {
        let expected = "a whole number";
        let Value::Scalar { text, plain } = &node.value else {
            return self.expected(node, name, expected, "such as `12`".into());
        };
        let digits = text.replace('_', "");
        let is_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let tidy = !text.starts_with('_') && !text.ends_with('_');
        let canonical = digits == "0" || !digits.starts_with('0');
        if *plain && is_digits && tidy && canonical {
            if digits.parse::<u64>().is_err() {
                let message = format!("{name} is too large: {}", quoted(text));
                let label = "does not fit 64 bits";
                self.report("yaml::number", &node.span, message, label, None);
            }
            return;
        }
        let help = match digits.parse::<f64>() {
            Ok(value) if value < 0.0 => "it can not be negative".into(),
            Ok(value) if value.fract() == 0.0 && value < 1e15 => {
                format!("write `{value:.0}`, in plain digits")
            }
            _ => "write it in digits, such as `12`".to_owned(),
        };
        self.expected(node, name, expected, help);
    }

    fn number(&mut self, node: &Node, name: &str) {
        let value = match &node.value {
            Value::Scalar { text, plain: true } => decimal(text),
            _ => None,
        };
        let Some(value) = value else {
            return self.expected(node, name, "a number", "such as `0.1`".into());
        };
        let field = name.trim_end_matches('`');
        if SHARES.iter().any(|share| field.ends_with(share)) && !(value > 0.0 && value <= 1.0) {
            let message = format!("{name} is {value}, not a share above 0 and at most 1");
            let percent = value > 1.0 && value <= 100.0;
            let help = percent.then(|| format!("write {value} % as `{}`", value / 100.0));
            self.report("yaml::share", &node.span, message, "", help);
        } else if !(0.0..=MAX_NUMBER).contains(&value) {
            let wrong = if value < 0.0 { "it can not be negative" } else { "that is too large" };
            let message = format!("{name} is {value:?}: {wrong}");
            self.report("yaml::number", &node.span, message, "", None);
        }
    }

    fn boolean(&mut self, node: &Node, name: &str) {
        let Value::Scalar { text, plain } = &node.value else {
            return self.expected(node, name, "`true` or `false`", String::new());
        };
        if *plain && matches!(text.as_str(), "true" | "false") {
            return;
        }
        let help = match text.to_ascii_lowercase().as_str() {
            "yes" | "y" | "on" | "true" | "1" => "write `true`",
            "no" | "n" | "off" | "false" | "0" => "write `false`",
            _ => "",
        };
        self.expected(node, name, "`true` or `false`", help.into());
    }

    fn string(&mut self, node: &Node, schema: &Schema, name: &str) {
        let Value::Scalar { text, .. } = &node.value else {
            return self.expected(node, name, "a word", String::new());
        };
        let Some(kind) = schema["format"].as_str() else { return };
        if let Err(error) = check_quantity(kind, text) {
            let error = error.to_string();
            let (message, help) = match error.split_once(": ") {
                Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
                None => (error, None),
            };
            let message = format!("{name}: {message}");
            self.report("units::quantity", &node.span, message, "", help);
        } else if kind.ends_with("PerSecond") && !text.contains(|c| matches!(c, '1'..='9')) {
            let message = format!("{name} is zero, and times are divided by it");
            self.report("units::zero", &node.span, message, "", Some("give what it is".into()));
        }
    }

    fn variant(&mut self, node: &Node, variants: &[&str], name: &str) {
        let Value::Scalar { text, .. } = &node.value else {
            return self.expected(
                node,
                name,
                &format!("one of {}", listed(variants)),
                String::new(),
            );
        };
        if variants.contains(&text.as_str()) {
            return;
        }
        let help = match nearest(text, variants.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`? It is one of {}", listed(variants)),
            None => format!("it is one of {}", listed(variants)),
        };
        let message = format!("{name} can not be {}", quoted(text));
        self.report("yaml::unknown-value", &node.span, message, "not known", Some(help));
    }

    fn expected(&mut self, node: &Node, name: &str, expected: &str, help: String) {
        let message = format!("{name} is {}, not {expected}", node.description());
        let label = format!("expected {expected}");
        let help = (!help.is_empty()).then_some(help);
        let at = match node.value {
            Value::Scalar { .. } => node.span.clone(),
            _ => node.first_span(),
        };
        self.report("yaml::kind", &at, message, &label, help);
    }

    fn report(
        &mut self,
        code: &'static str,
        at: &Range<usize>,
        message: String,
        label: &str,
        help: Option<String>,
    ) {
        if self.found.len() < 4 * MAX_FINDINGS {
            let mark = Mark { span: at.clone(), label };
            self.found.push(Diagnostic::placed(code, message, self.source, mark, None, help));
        }
    }
}

/// A finite number in plain or scientific notation.
fn decimal(text: &str) -> Option<f64> {
    let plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E');
    let value = text.bytes().all(plain).then(|| text.parse::<f64>().ok())??;
    value.is_finite().then_some(value)
}

/// The values of an enumeration.
fn variants(schema: &Schema) -> Option<Vec<&str>> {
    if let Some(values) = schema["enum"].as_array() {
        return Some(values.iter().filter_map(Schema::as_str).collect());
    }
    let cases = schema["oneOf"].as_array()?;
    Some(cases.iter().filter_map(|case| case["const"].as_str()).collect())
}

fn object_example(schema: &Schema) -> String {
    let fields = schema["properties"].as_object();
    let names: Vec<&str> = fields.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!("its fields are {}", listed(&names)) }
}

/// `` `a`, `b` and `c` ``.
pub(super) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "none".into(),
    }
}

fn lower_first(text: &str) -> String {
    let mut rest = text.chars();
    match rest.next() {
        Some(first) if text.chars().nth(1).is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(rest).collect()
        }
        _ => text.to_owned(),
    }
}

/// Whether `text` is a quantity of the kind that the schema names.
fn check_quantity(kind: &str, text: &str) -> Result<(), ParseQuantityError> {
    match kind {
        "Bytes" => text.parse::<units::Bytes>().map(drop),
        "Seconds" => text.parse::<units::Seconds>().map(drop),
        "Flops" => text.parse::<units::Flops>().map(drop),
        "BytesPerSecond" => text.parse::<units::BytesPerSecond>().map(drop),
        "FlopsPerSecond" => text.parse::<units::FlopsPerSecond>().map(drop),
        "Watts" => text.parse::<units::Watts>().map(drop),
        "UsDollars" => text.parse::<units::UsDollars>().map(drop),
        "PerDay" => text.parse::<units::PerDay>().map(drop),
        _ => Ok(()),
    }
}
