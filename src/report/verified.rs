//! A verification as files: the comparison in words and as JSON, both timelines, times by class,
//! memory.

use super::chart::pairs::{self, Pair, bytes_unit};
use super::chart::{Chart, time_unit, timelines};
use super::file::{RenderError, ReportFile, file};
use crate::executor::verify::print::{Style, print};
use crate::executor::verify::report::Verified;
use std::fmt::Write;

/// Classes that are drawn; those after them are short.
const MOST_CLASSES: usize = 16;

/// The files of a verification. Its name and that of the device are in all of them; when it was
/// made, and on what machine, the device file says.
///
/// # Errors
/// A value that JSON can not show.
pub fn verified(verified: &Verified) -> Result<Vec<ReportFile>, RenderError> {
    let mut document = serde_json::to_vec_pretty(verified)?;
    document.push(b'\n');
    let mut page = Vec::new();
    // Memory takes whatever is written to it.
    let _ = print(verified, Style::Markdown, &mut page);
    let mut page = String::from_utf8_lossy(&page).into_owned();
    let charts = charts(verified);
    for chart in &charts {
        let Chart { name, title, description, .. } = chart;
        let _ = write!(page, "\n## {title}\n\n![{title}]({name}.svg)\n\n{description}\n");
    }
    let mut files = vec![file("verify.json", document), file("verify.md", page.into_bytes())];
    for chart in &charts {
        let name = format!("{}.svg", chart.name);
        files.push(ReportFile { name, bytes: chart.drawing.file().into_bytes() });
    }
    Ok(files)
}

fn charts(verified: &Verified) -> Vec<Chart> {
    let both = verified.timelines.as_ref();
    [
        both.and_then(timelines::chart),
        classes(verified),
        both.and_then(timelines::memory),
        memory(verified),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn classes(verified: &Verified) -> Option<Chart> {
    let timing = verified.timing.as_ref()?;
    let mut rows: Vec<Pair> = timing
        .by_op_class
        .iter()
        .map(|row| Pair {
            name: row.name.clone(),
            predicted: row.times.predicted_s,
            measured: row.times.measured_s,
        })
        .collect();
    rows.sort_by(|a, b| b.measured.total_cmp(&a.measured));
    let all = rows.len();
    rows.truncate(MOST_CLASSES);
    let longest = rows.iter().map(|row| row.predicted.max(row.measured)).fold(0.0, f64::max);
    let left = all - rows.len();
    let rest =
        if left > 0 { format!(" {left} shorter classes are left out.") } else { String::new() };
    let description = format!(
        "Time of the instructions of each class in one iteration, summed over the stages, predicted \
         with {} and measured; at the right the error of the prediction.{rest}",
        timing.device_file
    );
    let title = "Time by class of instruction".to_owned();
    pairs::chart("verify-classes", title, description, time_unit(longest), &rows)
}

fn memory(verified: &Verified) -> Option<Chart> {
    let pair = |name: String, bytes: &crate::executor::verify::report::ComparedBytes| Pair {
        name,
        predicted: bytes.predicted_bytes as f64,
        measured: bytes.measured_bytes as f64,
    };
    let rows: Vec<Pair> = if verified.memory_by_stage.is_empty() {
        verified.memory.iter().map(|bytes| pair("blocks that were run".to_owned(), bytes)).collect()
    } else {
        let stages = verified.memory_by_stage.iter().enumerate();
        stages.map(|(stage, bytes)| pair(format!("stage {stage}"), bytes)).collect()
    };
    let largest = rows.iter().map(|row| row.predicted.max(row.measured)).fold(0.0, f64::max);
    let description = "Peak of the tensors on the fullest rank, predicted and measured, without what \
                       the runtime and the allocator take besides; at the right the error of the \
                       prediction.";
    let title = "Peak memory".to_owned();
    pairs::chart("verify-memory", title, description.to_owned(), bytes_unit(largest), &rows)
}
