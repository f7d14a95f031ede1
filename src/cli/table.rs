//! Tables in each of the formats.

use super::args::Format;
use crate::report::wrap;
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
    pub rows: Vec<TableRow>,
}

/// One row.
#[derive(Debug, Clone)]
pub struct TableRow {
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

    /// The titles, then the rows.
    fn lines(&self) -> Vec<Vec<String>> {
        let titles = self.titles.iter().map(|title| (*title).to_owned()).collect();
        std::iter::once(titles).chain(self.rows.iter().map(|row| row.cells.clone())).collect()
    }

    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        aligned(&self.lines(), super::output::table_room(), out)
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
        let lines = self.lines();
        let rule: Vec<&str> = (0..self.titles.len())
            .map(|column| if is_numeric(&lines, column) { "---:" } else { "---" })
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

/// Prints lines of cells under each other, the first as titles. Where they need more than `room`,
/// columns of words are narrowed and their cells go on below.
///
/// # Errors
/// What the writer reports.
pub fn aligned(lines: &[Vec<String>], room: Option<usize>, out: &mut dyn Write) -> io::Result<()> {
    let Some(titles) = lines.first() else { return Ok(()) };
    let numeric: Vec<bool> = (0..titles.len()).map(|column| is_numeric(lines, column)).collect();
    let widest = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
    };
    let widths = fitted((0..titles.len()).map(widest).collect(), &numeric, room);
    for line in lines {
        let cells: Vec<Vec<String>> =
            line.iter().zip(&widths).map(|(cell, width)| wrap(cell, (*width).max(1))).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        for row in 0..height {
            let mut text = String::new();
            for (column, cell) in cells.iter().enumerate() {
                let cell = cell.get(row).map_or("", String::as_str);
                let space = " ".repeat(widths[column].saturating_sub(width(cell)));
                if column > 0 {
                    text.push_str("  ");
                }
                let (before, after) = if numeric[column] { (&*space, "") } else { ("", &*space) };
                text.push_str(&format!("{before}{cell}{after}"));
            }
            writeln!(out, "{}", text.trim_end())?;
        }
    }
    Ok(())
}

/// Whether a column holds numbers, which stand to the right.
fn is_numeric(lines: &[Vec<String>], column: usize) -> bool {
    let begins = |line: &Vec<String>| {
        line.get(column).is_none_or(|cell| {
            let number = cell.strip_prefix(['+', '-']).unwrap_or(cell);
            cell == "-" || number.starts_with(|c: char| c.is_ascii_digit())
        })
    };
    column > 0 && lines.len() > 1 && lines[1..].iter().all(begins)
}

/// Widths that fit into `room`, the widest columns of words narrowed first; as they are where there
/// is no limit or no fit.
fn fitted(widths: Vec<usize>, numeric: &[bool], room: Option<usize>) -> Vec<usize> {
    let Some(room) = room else { return widths };
    let mut fitted = widths.clone();
    let total = |widths: &[usize]| widths.iter().map(|width| width + 2).sum::<usize>() - 2;
    while total(&fitted) > room {
        let words = (0..fitted.len()).filter(|at| !numeric[*at] && fitted[*at] > NARROWEST);
        let Some(widest) = words.max_by_key(|column| fitted[*column]) else { return widths };
        fitted[widest] -= 1;
    }
    fitted
}

/// Columns below which no column of words is narrowed.
const NARROWEST: usize = 8;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(room: Option<usize>) -> String {
        let lines = [["what", "second part", "n"], ["one two three", "four five six", "+1 %"]];
        let lines: Vec<Vec<String>> =
            lines.iter().map(|line| line.map(str::to_owned).to_vec()).collect();
        let mut out = Vec::new();
        aligned(&lines, room, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_go_on_below_where_there_is_no_room() {
        let wide = "what           second part       n\none two three  four five six  +1 %\n";
        assert_eq!(printed(None), wide);
        assert_eq!(printed(Some(80)), wide);
        let narrow = printed(Some(24));
        assert!(narrow.lines().all(|line| line.chars().count() <= 24), "{narrow}");
        assert!(narrow.contains("three") && narrow.contains("six"), "{narrow}");
    }
}
