//! Results on standard output, and reports in their folder.

use super::Failure;
use super::args::{Format, Job};
use super::folder::{AnswerKind, Folder, choose};
use super::names::stem;
use super::output_args::OutputArgs;
use crate::planner::SearchOutcome;
use crate::planner::predict::INTERVAL_SOURCE;
use crate::report::{self, Origin, ReportInput, TextOptions};
use crate::sim::Timeline;
use crate::spec::machine::{LOCALHOST_CORE, Machine};
use crate::spec::{Cluster, NodeGroup};
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// What is shown.
pub struct Shown<'a> {
    /// Searched or given.
    pub origin: Origin,
    /// The plan and its prediction.
    pub outcome: &'a SearchOutcome,
    /// One iteration.
    pub timeline: &'a Timeline,
    /// `certificate.json`, and what it says.
    pub certificate: Option<(&'a [u8], &'a [String])>,
    /// Tokens of the training run.
    pub tokens: Option<u64>,
    /// The command that gives this again.
    pub command: &'a str,
    /// Say nothing on standard error.
    pub quiet: bool,
}

/// Writes the report, then prints the result.
///
/// # Errors
/// Output that can not be written.
pub fn show(
    shown: &Shown<'_>,
    job: &Job,
    output: &OutputArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let devices: Vec<String> = device_texts(job);
    let cluster_text = format!("{}{}", content(&job.cluster_source.text), devices.concat());
    let interval = format!("{INTERVAL_SOURCE}.");
    let input = ReportInput {
        outcome: shown.outcome,
        origin: shown.origin,
        timeline: shown.timeline,
        model: &job.model,
        cluster: &job.cluster.spec,
        model_text: content(&job.model_source.text),
        cluster_text: &cluster_text,
        stack_text: content(&job.stack_source.text),
        tokens: shown.tokens,
        price_per_device_hour: None,
        interval_source: &interval,
        command: shown.command,
        scaling: &[],
        certificate: shown.certificate.map(|(bytes, _)| bytes),
        certificate_summary: shown.certificate.map_or(&[], |(_, sentences)| sentences),
    };
    let folder = folder(shown, output);
    if let Some(Folder { path: folder, .. }) = &folder {
        let files = report::render(&input)
            .map_err(|error| Failure::Output(io::Error::other(error.to_string())))?;
        report::write(folder, &files)
            .map_err(|error| Failure::Output(io::Error::other(error.to_string())))?;
    }
    if let Some(path) = &output.trace {
        write_whole(path, report::trace(shown.timeline).as_bytes())?;
    }
    print(&input, shown, output.format, out)?;
    if let (Some(folder), false) = (&folder, shown.quiet) {
        // Nothing is left to do where standard error is closed.
        let _ = io::stderr().write_all(folder.words("report").as_bytes());
    }
    Ok(())
}

/// Where the report goes, if one is wanted.
fn folder(shown: &Shown<'_>, output: &OutputArgs) -> Option<Folder> {
    let plan = &shown.outcome.plan;
    let path = output.report_folder(stem(&plan.model), stem(&plan.cluster))?;
    if output.output.is_some() {
        return Some(Folder { path, taken: None });
    }
    Some(match shown.origin {
        Origin::Searched => choose(path, AnswerKind::Search, shown.command),
        Origin::Given => {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push("-simulated");
            choose(path.with_file_name(name), AnswerKind::Simulation, shown.command)
        }
    })
}

/// How text is laid out on the terminal at hand.
pub fn text_options() -> TextOptions {
    let style = io::stdout().is_terminal()
        && anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    TextOptions { width: width(), style }
}

/// Columns that a table has room in; no limit in pipes and files.
pub fn table_room() -> Option<usize> {
    io::stdout().is_terminal().then(width)
}

fn print(
    input: &ReportInput<'_>,
    shown: &Shown<'_>,
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match format {
        Format::Text => {
            write!(out, "{}", report::text(input, text_options()))?;
        }
        Format::Json => {
            let value = match shown.origin {
                Origin::Searched => serde_json::to_value(shown.outcome),
                Origin::Given => Ok(serde_json::json!({
                    "schema": "lmplan.simulate/1",
                    "plan": shown.outcome.plan,
                    "prediction": shown.outcome.prediction,
                    "assumptions": shown.outcome.assumptions,
                })),
            };
            let value = value.map_err(|error| Failure::Output(io::Error::other(error)))?;
            writeln!(out, "{value:#}")?;
        }
        Format::Markdown => {
            let page = report::render(input)
                .map_err(|error| Failure::Output(io::Error::other(error.to_string())))?
                .into_iter()
                .find(|file| file.name == "report.md");
            out.write_all(&page.map(|file| file.bytes).unwrap_or_default())?;
        }
        Format::Csv => write!(out, "{}", report::csv(shown.outcome))?,
    }
    Ok(())
}

/// Says, on standard error, where a cluster is this machine and nothing was measured on it.
pub fn note_unmeasured(cluster: &Cluster, quiet: bool) {
    let is_here = |group: &&NodeGroup| group.device.name == LOCALHOST_CORE;
    let Some(core) = cluster.groups.iter().find(is_here).map(|group| &group.device) else { return };
    if quiet || Machine::host().measured(core) {
        return;
    }
    let known = core.calibration.as_ref().map(|calibration| format!(", {}", calibration.summary()));
    // Nothing is left to do where standard error is closed.
    let _ = writeln!(
        io::stderr(),
        "note: nothing was measured on this machine, so `{LOCALHOST_CORE}` is another{}; \
         `lmplan calibrate` measures this one",
        known.unwrap_or_default()
    );
}

/// Columns of the terminal; 80 where it does not say.
pub fn width() -> usize {
    let given = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let size = terminal_size::terminal_size().map(|(columns, _)| usize::from(columns.0));
    given.or(size).unwrap_or(80)
}

/// A sentence of a list on lines of the terminal's width, of 60 to 100 columns, after `bullet`.
pub fn item(bullet: &str, sentence: &str) -> String {
    let width = width().clamp(60, 100) - bullet.len();
    let indent = " ".repeat(bullet.len());
    let lines = report::wrap(sentence, width).into_iter().enumerate();
    let lines = lines.map(|(index, line)| {
        format!("{}{line}\n", if index == 0 { bullet } else { indent.as_str() })
    });
    lines.collect()
}

/// Writes a file whole or not at all.
///
/// # Errors
/// What the file system says, with the path.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let fail = |error: io::Error| {
        Failure::Output(io::Error::other(format!("`{}`: {error}", path.display())))
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    std::fs::write(&partial, bytes).map_err(fail)?;
    std::fs::rename(&partial, path).map_err(|error| {
        let _ = std::fs::remove_file(&partial);
        fail(error)
    })
}

/// The device files of a cluster, as they were read.
fn device_texts(job: &Job) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    for group in &job.cluster.groups {
        if !names.contains(&group.spec.device.as_str()) {
            names.push(&group.spec.device);
        }
    }
    let text = |name: &&str| {
        let found = crate::spec::catalog::find(crate::spec::Kind::Device, name, Path::new("."));
        found.ok().map(|source| format!("\n# {}\n{}", source.name, content(&source.text)))
    };
    names.iter().filter_map(text).collect()
}

/// A file without the first line that tells editors its schema.
fn content(text: &str) -> &str {
    match text.split_once('\n') {
        Some((first, rest)) if first.starts_with("# yaml-language-server:") => rest,
        _ => text,
    }
}
