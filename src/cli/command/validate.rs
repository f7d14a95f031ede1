//! `validate`: measured runs of others, predicted and compared.

use crate::cli::Failure;
use crate::cli::args::Format;
use crate::validate::{self, Compared, Summary, summarise};
use clap::Args;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `validate`.
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    /// Measured runs; those that come with lmplan where left out
    #[arg(long, value_name = "FILE.csv")]
    pub runs: Option<PathBuf>,
    /// How to print the comparison
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Predicts measured runs.
///
/// # Errors
/// A table that can not be read.
pub fn run(args: &ValidateArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (name, text) = match &args.runs {
        None => ("training.csv".to_owned(), validate::TRAINING.to_owned()),
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::BadInput(format!("`{name}`: {error}")))?;
            (name, text)
        }
    };
    let rows =
        validate::read_runs(&name, &text).map_err(|error| Failure::BadInput(error.to_string()))?;
    let compared = validate::compare(rows);
    match args.format {
        Format::Csv => csv(&compared, out)?,
        _ => text_table(&compared, out)?,
    }
    Ok(())
}

fn csv(rows: &[Compared], out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(
        out,
        "id,source,framework,hardware,confidence,arch,plan,measured_s,predicted_s,error,compute_s,\
         recompute_s,tensor_parallel_s,context_parallel_s,pipeline_p2p_s,pipeline_bubble_s,\
         data_parallel_s,optimizer_s,peak_memory_gib,fits,skipped"
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
                let b = &p.breakdown;
                writeln!(
                    out,
                    "{},{measured},{:.6},{:.4},{:.5},{:.5},{:.5},{:.5},{:.5},{:.5},{:.5},{:.5},{:.2},{},",
                    p.plan,
                    p.seconds,
                    row.error().unwrap_or(0.0),
                    b.compute_s,
                    b.recompute_s,
                    b.tensor_parallel_s,
                    b.context_parallel_s,
                    b.pipeline_p2p_s,
                    b.pipeline_bubble_s,
                    b.data_parallel_s,
                    b.optimizer_s,
                    p.prediction.peak_memory_bytes as f64 / 1_073_741_824.0,
                    p.fits
                )?;
            }
            Err(skip) => {
                writeln!(out, ",{measured},,,,,,,,,,,,,{}", quoted(&skip.to_string()))?;
            }
        }
    }
    Ok(())
}

fn text_table(rows: &[Compared], out: &mut dyn Write) -> Result<(), Failure> {
    let mut by_source: BTreeMap<&str, Vec<&Compared>> = BTreeMap::new();
    for row in rows {
        by_source.entry(&row.row.source).or_default().push(row);
    }
    let line = |out: &mut dyn Write, name: &str, s: &Summary| {
        writeln!(
            out,
            "{:4} {:4} {:6.1} {:6.1} {:6.1} {:+6.1}  {name}",
            s.rows,
            s.skipped,
            s.median_abs_error * 100.0,
            s.mean_abs_error * 100.0,
            s.p90_abs_error * 100.0,
            s.bias * 100.0
        )
    };
    writeln!(out, "rows skip median   mean    p90   bias  source (errors in %)")?;
    line(out, "all", &summarise(rows))?;
    for (source, rows) in by_source {
        line(out, source, &summarise(rows))?;
    }
    Ok(())
}
