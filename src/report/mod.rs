//! Reports: what a search or a prediction found, for people and for other tools.
//!
//! A report only reads results. The same input gives the same bytes: there is no clock, no
//! randomness, no path of the machine in it, and the duration of a search is left out of the files.
//! [`render`] makes the files in memory, [`write()`] puts them into a folder, whole or not at all;
//! [`text()`] and [`csv()`] are what a terminal shows.

mod accuracy;
pub mod capacity;
mod certificate;
mod chart;
mod compare;
mod csv;
mod html;
mod input;
mod json;
mod markdown;
mod number;
mod reason;
mod summary;
mod table;
mod text;
mod trace;
#[cfg(feature = "torch")]
mod verified;
mod write;

pub use accuracy::Accuracy;
pub use csv::csv;
pub use input::{Origin, ReportInput, ScalingPoint};
pub use text::{TextOptions, text, wrap};
pub use trace::trace;
#[cfg(feature = "torch")]
pub use verified::verified;
pub use write::{WriteError, add, write, write_verification};

use thiserror::Error;

/// A file of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFile {
    /// Name within the folder of the report.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Why a report could not be made from its input.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The plan can not be written as YAML.
    #[error("`plan.yaml` can not be written: {0}")]
    Plan(#[from] serde_yaml::Error),
    /// The results can not be written as JSON.
    #[error("`search.json` can not be written: {0}")]
    Json(#[from] serde_json::Error),
    /// The page can not be made.
    #[error("`report.html` can not be made: {0}")]
    Page(#[from] minijinja::Error),
}

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

/// Files that one report has and another may not have; those of an earlier report are removed.
const OPTIONAL_FILES: [&str; 15] = [
    "search.json",
    "prediction.json",
    "certificate.json",
    "breakdown.svg",
    "pipeline.svg",
    "memory.svg",
    "memory-over-time.svg",
    "frontier.svg",
    "scaling.svg",
    "capacity.json",
    "capacity.csv",
    "cluster.yaml",
    "cost-time.svg",
    "goodput.svg",
    "tornado.svg",
];

fn file(name: &str, bytes: Vec<u8>) -> ReportFile {
    ReportFile { name: name.to_owned(), bytes }
}
