//! The page of a capacity review, its Markdown twin, its charts, its numbers.

mod answers;
mod charts;
mod csv;
mod facts;
mod html;
mod input;
mod json;
mod layout;
mod sentences;
mod tables;

use super::file::{RenderError, ReportFile, file};

pub use csv::csv;
pub use input::CapacityInput;
pub use layout::{markdown, text};

/// The review as `lmplan.capacity/1`, with a line feed at its end.
///
/// # Errors
/// A value that JSON can not show.
pub fn json(input: &CapacityInput<'_>) -> Result<Vec<u8>, RenderError> {
    Ok(json::document(input)?)
}

/// All files of a review: the page, Markdown, JSON, CSV, the recommended plan and its cluster, the
/// charts.
///
/// # Errors
/// A value that YAML, JSON or the page can not show.
pub fn render(input: &CapacityInput<'_>) -> Result<Vec<ReportFile>, RenderError> {
    let charts = charts::charts(input.review);
    let mut files = vec![
        file("report.html", html::page(input, &charts)?.into_bytes()),
        file("report.md", layout::markdown(input).into_bytes()),
        file("capacity.json", json::document(input)?),
        file("capacity.csv", csv::csv(input).into_bytes()),
    ];
    if let Some((_, cell)) = input.review.recommended() {
        files.push(file("plan.yaml", serde_yaml::to_string(&cell.plan)?.into_bytes()));
    }
    if let Some(cluster) = &input.review.cluster {
        files.push(file("cluster.yaml", serde_yaml::to_string(cluster)?.into_bytes()));
    }
    for chart in &charts {
        let name = format!("{}.svg", chart.name);
        files.push(ReportFile { name, bytes: chart.drawing.file().into_bytes() });
    }
    Ok(files)
}
