//! Names and words as command lines and plan files have them.

/// A model, cluster or stack as a plan names it: without `.yaml` where it is a plain name.
pub fn plan_name(given: &str) -> String {
    if given.contains('/') { given.to_owned() } else { stem(given).to_owned() }
}

/// The last part of a name or path, without `.yaml`.
pub fn stem(name: &str) -> &str {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.strip_suffix(".yaml").unwrap_or(file)
}

/// A word of a command line, quoted where a shell would take it for something else.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./,:=+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// An enumeration's word as files write it.
pub fn word(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// A list of such words, by commas; nothing for an empty list.
pub fn words<T: serde::Serialize>(values: &[T]) -> Option<String> {
    (!values.is_empty()).then(|| values.iter().map(word).collect::<Vec<_>>().join(","))
}
