//! Assignments of a Python configuration.

/// Assignments in order, in the body of a function.
#[derive(Debug, Default)]
pub(super) struct Assignments(String);

impl Assignments {
    /// A whole number or a float.
    pub(super) fn number(&mut self, field: &str, value: impl ToString) {
        self.raw(field, &value.to_string());
    }

    /// A text.
    pub(super) fn text(&mut self, field: &str, value: &str) {
        self.raw(field, &quoted(value));
    }

    /// A truth value.
    pub(super) fn flag(&mut self, field: &str, value: bool) {
        self.raw(field, if value { "True" } else { "False" });
    }

    /// An expression.
    pub(super) fn raw(&mut self, field: &str, expression: &str) {
        self.0.push_str(&format!("    {field} = {expression}\n"));
    }

    /// The lines.
    pub(super) fn lines(self) -> String {
        self.0
    }
}

/// A Python string.
pub(super) fn quoted(text: &str) -> String {
    // JSON's strings are Python's, but for what lies outside of ASCII, which both take as it is.
    serde_json::Value::String(text.to_owned()).to_string()
}

/// A name for a function: letters, digits and `_`, not beginning with a digit.
pub(super) fn identifier(text: &str) -> String {
    let last = text.rsplit('/').next().unwrap_or_default();
    let last = last.strip_suffix(".yaml").unwrap_or(last);
    let good = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = last.chars().map(good).collect();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("m_{name}") }
}
