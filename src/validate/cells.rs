//! The cells of one line of a table.

use csv::StringRecord;
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;

/// Why a table can not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct TableError {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// Column of the table, where one is to blame.
    pub column: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if let Some(column) = &self.column {
            write!(f, ", column `{column}`")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// One line of a table: cells by column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cells<'a> {
    pub(super) file: &'a str,
    pub(super) line: u64,
    pub(super) columns: &'a BTreeMap<String, usize>,
    pub(super) record: StringRecord,
}

impl Cells<'_> {
    /// The text of a column; empty where it is unknown or not there.
    pub fn text(&self, column: &str) -> &str {
        let at = self.columns.get(column);
        at.and_then(|at| self.record.get(*at)).map_or("", str::trim)
    }

    /// A number, if the cell holds anything.
    ///
    /// # Errors
    /// A cell that is no number, or no finite one.
    pub fn number(&self, column: &str) -> Result<Option<f64>, TableError> {
        let text = self.text(column);
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(Some(number)),
            _ => Err(self.error(column, format!("`{text}` is no number of at least 0"))),
        }
    }

    /// A count, if the cell holds anything.
    ///
    /// # Errors
    /// A cell that is no whole number from 1 to 10^12.
    pub fn count(&self, column: &str) -> Result<Option<u64>, TableError> {
        let Some(number) = self.number(column)? else { return Ok(None) };
        if number.fract() != 0.0 || !(1.0..=1e12).contains(&number) {
            let message = format!("`{}` is no whole number of at least 1", self.text(column));
            return Err(self.error(column, message));
        }
        Ok(Some(number as u64))
    }

    fn error(&self, column: &str, message: String) -> TableError {
        let column = Some(column.to_owned());
        TableError { file: self.file.to_owned(), line: self.line, column, message }
    }
}
