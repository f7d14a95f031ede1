//! Reading tables of measured runs.

use super::cells::{Cells, TableError};
use super::row::MeasuredRun;
use std::collections::BTreeMap;

/// Columns without which a row says nothing.
const REQUIRED: [&str; 8] =
    ["id", "source", "hardware", "gpus", "layers", "hidden", "heads", "seq_len"];

/// Columns of which one says what was measured.
const MEASURED: [&str; 3] = ["iter_time_s", "samples_per_s", "tokens_per_s_per_gpu"];

/// Reads measured runs. Columns that are not known are passed over.
///
/// # Errors
/// A table that is no CSV, lacks a required column, or has a cell that is not what its column says.
pub fn read_runs(file: &str, text: &str) -> Result<Vec<MeasuredRun>, TableError> {
    let mut rows = Vec::new();
    let error = |line: u64, message: String| TableError {
        file: file.to_owned(),
        line,
        column: None,
        message,
    };
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|problem| error(1, problem.to_string()))?;
    let columns: BTreeMap<String, usize> =
        headers.iter().enumerate().map(|(at, name)| (name.trim().to_owned(), at)).collect();
    let missing: Vec<&str> =
        REQUIRED.into_iter().filter(|name| !columns.contains_key(*name)).collect();
    if !missing.is_empty() {
        let names = missing.join("`, `");
        let message = match missing.len() == REQUIRED.len() {
            true => format!(
                "this is no table of measured runs: such a one is a file of comma-separated values \
                 whose first line names its columns, at least `{names}`, and one or more of \
                 `{}`, which say what was measured",
                MEASURED.join("`, `")
            ),
            false => format!("the table has no column `{names}`: add it to every line"),
        };
        return Err(error(1, message));
    }
    for record in reader.records() {
        let record = record.map_err(|problem| {
            let line = problem.position().map_or(1, csv::Position::line);
            error(line, problem.to_string())
        })?;
        let line = record.position().map_or(1, csv::Position::line);
        let cells = Cells { file, line, columns: &columns, record };
        rows.push(MeasuredRun::read(&cells)?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "id,source,hardware,gpus,layers,hidden,heads,seq_len,colour\n";

    #[test]
    fn rows_are_read_and_unknown_columns_passed_over() {
        let rows = read_runs("t.csv", &format!("{HEAD}a,s,A100,8,24,1024,16,512,red\n")).unwrap();
        assert_eq!((rows.len(), rows[0].gpus, rows[0].vocab), (1, Some(8), None));
    }

    #[test]
    fn errors_name_line_and_column() {
        let said = |text: &str| read_runs("t.csv", text).unwrap_err().to_string();
        assert_eq!(
            said(&format!("{HEAD}a,s,A100,8,24,1024,16,512,\nb,s,A100,eight,1,1,1,1,\n")),
            "t.csv:3, column `gpus`: `eight` is no number of at least 0"
        );
        assert_eq!(
            said(&format!("{HEAD}a,s,A100,0,24,1024,16,512,\n")),
            "t.csv:2, column `gpus`: `0` is no whole number of at least 1"
        );
        assert!(said("id,source\n1,2\n").contains("no column `hardware`, `gpus`"));
        assert!(said(&format!("{HEAD}a,b\n")).starts_with("t.csv:2: "), "{HEAD}");
    }
}
