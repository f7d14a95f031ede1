//! `validate`: measured runs of others, predicted and compared.

use crate::cli::args::Format;
use crate::cli::{Failure, output, table};
use crate::report::{self, Accuracy};
use crate::validate::compared_memory::compare_memory;
use crate::validate::{self, Compared, MeasuredRun};
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `validate`.
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    /// Measured runs; those that come with lmplan where left out
    #[arg(long, value_name = "FILE.csv")]
    pub runs: Option<PathBuf>,
    /// Measured peak memory; that which comes with lmplan where both are left out
    #[arg(long, value_name = "FILE.csv")]
    pub memory: Option<PathBuf>,
    /// Folder for the comparison's files
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// How to print the comparison
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Predicts measured runs.
///
/// # Errors
/// A table that can not be read.
pub fn run(args: &ValidateArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let own = args.runs.is_none() && args.memory.is_none();
    let none = Vec::new;
    let runs = match &args.runs {
        Some(path) => read_file(path)?,
        None if own => read("training.csv", validate::TRAINING)?,
        None => none(),
    };
    let memory = match &args.memory {
        Some(path) => read_file(path)?,
        None if own => read("memory.csv", validate::MEMORY)?,
        None => none(),
    };
    let (runs, memory) = (validate::compare(runs), compare_memory(memory));
    let accuracy = Accuracy { runs: &runs, memory: &memory };
    match args.format {
        Format::Csv => csv(&runs, out)?,
        Format::Json => writeln!(out, "{:#}", accuracy.json())?,
        Format::Markdown => write!(out, "{}", accuracy.markdown())?,
        Format::Text => text(&accuracy, out)?,
    }
    if let Some(folder) = &args.output {
        let files = accuracy
            .files()
            .map_err(|error| Failure::Output(std::io::Error::other(error.to_string())))?;
        report::write(folder, &files)
            .map_err(|error| Failure::Output(std::io::Error::other(error.to_string())))?;
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<Vec<MeasuredRun>, Failure> {
    let name = path.display().to_string();
    if path.is_dir() {
        return Err(Failure::BadInput(format!(
            "`{name}` is a folder: give a table of measured runs, a file of comma-separated values \
             whose first line names its columns"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::BadInput(format!(
            "`{name}` can not be read: {error}: give a table of measured runs, a \
             file of comma-separated values whose first line names its columns"
        ))
    })?;
    read(&name, &text)
}

fn read(name: &str, text: &str) -> Result<Vec<MeasuredRun>, Failure> {
    validate::read_runs(name, text).map_err(|error| Failure::BadInput(error.to_string()))
}

fn csv(rows: &[Compared], out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(
        out,
        "id,source,framework,hardware,confidence,arch,plan,measured_s,predicted_s,error,compute_s,\
         recompute_s,tensor_parallel_s,context_parallel_s,pipeline_p2p_s,pipeline_bubble_s,\
         data_parallel_s,optimizer_s,linear_s,attention_s,scores_s,passes_s,loss_s,launches,\
         peak_memory_gib,fits,skipped"
    )?;
    for row in rows {
        let r = &row.row;
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        write!(
            out,
            "{},{},{},{},{},{},",
            quoted(&r.id),
            quoted(&r.source),
            quoted(&r.framework),
            quoted(&r.hardware),
            r.confidence,
            r.arch
        )?;
        let measured = row.measured_s.map_or(String::new(), |s| format!("{s:.6}"));
        match &row.outcome {
            Ok(p) => {
                let (b, k) = (&p.breakdown, &p.kinds);
                writeln!(
                    out,
                    "{},{measured},{:.6},{},{:.5},{:.5},{:.5},{:.5},{:.5},{:.5},{:.5},{:.5},{:.5},{:.5},{:.5},{:.5},{:.5},{:.0},{:.2},{},",
                    p.plan,
                    p.seconds,
                    row.error().map_or(String::new(), |error| format!("{error:.4}")
                        .replace("-0.0000", "0.0000")),
                    b.compute_s,
                    b.recompute_s,
                    b.tensor_parallel_s,
                    b.context_parallel_s,
                    b.pipeline_p2p_s,
                    b.pipeline_bubble_s,
                    b.data_parallel_s,
                    b.optimizer_s,
                    k.linear,
                    k.attention,
                    k.scores,
                    k.passes,
                    k.loss,
                    k.launches,
                    p.prediction.peak_memory_bytes as f64 / 1_073_741_824.0,
                    p.fits
                )?;
            }
            Err(skip) => {
                writeln!(out, ",{measured},,,,,,,,,,,,,,,,,,,{}", quoted(&skip.to_string()))?;
            }
        }
    }
    Ok(())
}

/// The Markdown as a terminal shows it: paragraphs on its lines, tables without bars.
fn text(accuracy: &Accuracy<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let markdown = accuracy.markdown();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in markdown.lines().chain([""]) {
        if let Some(row) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) {
            rows.push(row.split(" | ").map(|cell| cell.replace("\\|", "|")).collect());
        } else if line.is_empty() {
            table::aligned(&rows, output::table_room(), out)?;
            rows.clear();
            writeln!(out)?;
        } else if !line.starts_with("|---") {
            write!(out, "{}", output::item("", line.trim_start_matches(['#', ' '])))?;
        }
    }
    Ok(())
}
