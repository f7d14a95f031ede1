//! Assignments of a Python function, as far as exports write them.

use serde_json::{Value, json};

/// `config.section.field = value` as section, field and value; expressions stay texts in `Err`.
pub(crate) fn assignments(
    text: &str,
    object: &str,
) -> Vec<(String, String, Result<Value, String>)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(rest) = line.trim_start().strip_prefix(&format!("{object}.")) else { continue };
        let (path, value) = rest.split_once(" = ").unwrap();
        let mut value = value.to_owned();
        while value.matches('[').count() > value.matches(']').count() {
            value.push_str(lines.next().unwrap().trim());
        }
        let (section, field) = path.split_once('.').unwrap_or(("", path));
        found.push((section.to_owned(), field.to_owned(), literal(&value)));
    }
    found
}

fn literal(text: &str) -> Result<Value, String> {
    match text {
        "True" => Ok(json!(true)),
        "False" => Ok(json!(false)),
        "None" => Ok(Value::Null),
        _ => serde_json::from_str(&text.replace(",]", "]")).map_err(|_| text.to_owned()),
    }
}
