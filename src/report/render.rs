//! The report of a search or of a given plan, in memory.

use super::file::{RenderError, ReportFile, file};
use super::input::ReportInput;
use super::{chart, html, json, markdown, trace};

/// All files of a report: the plan, the page, its Markdown twin, the results as JSON, the trace, the
/// certificate where there is one, and the charts.
///
/// # Errors
/// A value that YAML, JSON or the page can not show.
pub fn render(input: &ReportInput<'_>) -> Result<Vec<ReportFile>, RenderError> {
    let charts = chart::charts(input);
    let mut files = vec![
        file("plan.yaml", serde_yaml::to_string(&input.outcome.plan)?.into_bytes()),
        file("report.html", html::page(input, &charts)?.into_bytes()),
        file("report.md", markdown::page(input, &charts).into_bytes()),
        file(json::file_name(input.origin), json::document(input)?),
        file("trace.json", trace::trace(input.timeline).into_bytes()),
    ];
    if let Some(bytes) = input.certificate {
        files.push(file("certificate.json", bytes.to_vec()));
    }
    for chart in &charts {
        let name = format!("{}.svg", chart.name);
        files.push(ReportFile { name, bytes: chart.drawing.file().into_bytes() });
    }
    Ok(files)
}
