//! Tables in each of the formats.

use super::args::Format;
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Rows for people and for programs.
#[derive(Debug, Clone)]
pub struct Table {
    /// Name and version of the JSON, such as `lmplan.list/1`.
    pub schema: &'static str,
    /// Key of the rows in the JSON.
    pub key: &'static str,
    /// Titles of the columns that people see.
    pub titles: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    /// What people see, one text for each title.
    pub cells: Vec<String>,
    /// What programs see: plain numbers, units in the keys. All rows have the same keys.
    pub fields: Map<String, Value>,
}

/// The fields of an object; none of anything else.
pub fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

impl Table {
    /// Prints the table.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Text => self.write_text(out),
            Format::Json => self.write_json(out),
            Format::Markdown => self.write_markdown(out),
            Format::Csv => self.write_csv(out),
        }
    }

    /// Numbers stand to the right.
    fn is_numeric(&self, column: usize) -> bool {
        let begins = |row: &Row| {
            row.cells
                .get(column)
                .is_none_or(|c| c == "-" || c.starts_with(|c: char| c.is_ascii_digit()))
        };
        column > 0 && !self.rows.is_empty() && self.rows.iter().all(begins)
    }

    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let titles = self.titles.iter().map(|title| (*title).to_owned()).collect();
        let lines: Vec<Vec<String>> =
            std::iter::once(titles).chain(self.rows.iter().map(|row| row.cells.clone())).collect();
        let widths: Vec<usize> = (0..self.titles.len())
            .map(|column| lines.iter().map(|line| width(&line[column])).max().unwrap_or(0))
            .collect();
        for line in &lines {
            let mut text = String::new();
            for (column, cell) in line.iter().enumerate() {
                let space = " ".repeat(widths[column].saturating_sub(width(cell)));
                if column > 0 {
                    text.push_str("  ");
                }
                if self.is_numeric(column) {
                    text.push_str(&space);
                    text.push_str(cell);
                } else {
                    text.push_str(cell);
                    text.push_str(&space);
                }
            }
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }

    fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<Value> =
            self.rows.iter().map(|row| Value::Object(row.fields.clone())).collect();
        let value = json!({ "schema": self.schema, self.key: rows });
        serde_json::to_writer_pretty(&mut *out, &value)?;
        writeln!(out)
    }

    fn write_markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "| {} |", self.titles.join(" | "))?;
        let rule: Vec<&str> = (0..self.titles.len())
            .map(|column| if self.is_numeric(column) { "---:" } else { "---" })
            .collect();
        writeln!(out, "| {} |", rule.join(" | "))?;
        for row in &self.rows {
            let cells: Vec<String> = row.cells.iter().map(|c| c.replace('|', "\\|")).collect();
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
        Ok(())
    }

    fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(first) = self.rows.first() else { return Ok(()) };
        let keys: Vec<&str> = first.fields.keys().map(String::as_str).collect();
        writeln!(out, "{}", keys.join(","))?;
        for row in &self.rows {
            let values: Vec<String> = keys
                .iter()
                .map(|key| csv_cell(row.fields.get(*key).unwrap_or(&Value::Null)))
                .collect();
            writeln!(out, "{}", values.join(","))?;
        }
        Ok(())
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn csv_cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(csv_cell).collect::<Vec<_>>().join(";"),
        Value::Object(fields) => {
            let parts: Vec<String> =
                fields.iter().map(|(key, value)| format!("{key}={}", csv_cell(value))).collect();
            parts.join(";")
        }
        other => other.to_string(),
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}
