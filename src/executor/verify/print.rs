//! A result of `verify` as text, Markdown, JSON or CSV.

use super::numerics::Kept;
use super::report::{ClassTimes, MachinePace, Verified, times};
use std::io::{self, Write};

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For a terminal.
    Text,
    /// For programs.
    Json,
    /// For documents.
    Markdown,
    /// For spreadsheets.
    Csv,
}

/// Another pace of the machine is told where it changes the prediction by so much.
const WORTH_SAYING: f64 = 0.02;

fn seconds(value: f64) -> String {
    if value >= 1.0 {
        format!("{value:.3} s")
    } else if value >= 1e-3 {
        format!("{:.3} ms", value * 1e3)
    } else {
        format!("{:.1} us", value * 1e6)
    }
}

/// Writes a result.
///
/// # Errors
/// What the writer reports.
pub fn print(verified: &Verified, style: Style, out: &mut dyn Write) -> io::Result<()> {
    match style {
        Style::Json => {
            serde_json::to_writer_pretty(&mut *out, verified)?;
            writeln!(out)
        }
        Style::Csv => csv(verified, out),
        Style::Text | Style::Markdown => text(verified, style == Style::Markdown, out),
    }
}

fn csv(verified: &Verified, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "name,predicted_s,measured_s,error,spread")?;
    for (name, error) in numerical_errors(verified) {
        writeln!(out, "{name},,,{error},")?;
    }
    for row in verified.timing.iter().flat_map(|timing| &timing.by_op_class) {
        let times = row.times;
        writeln!(
            out,
            "{},{},{},{},{}",
            row.name, times.predicted_s, times.measured_s, times.error, row.spread
        )?;
    }
    Ok(())
}

/// What numerics found, by name: relative errors, in 16 bits those of loss and gradients in errors of
/// one device.
fn numerical_errors(verified: &Verified) -> Vec<(String, f64)> {
    let mut all = Vec::new();
    let mut add = |precision: &str, loss: f64, gradients: f64, kept: &Kept| {
        let errors = [
            ("loss", loss),
            ("gradients", gradients),
            ("sums", kept.sum_max_error),
            ("updates", kept.update_max_error),
        ];
        all.extend(errors.map(|(what, error)| (format!("numerics {precision} {what}"), error)));
    };
    if let Some(found) = &verified.numerics {
        add("fp32", found.loss_max_error, found.gradient_max_error, &found.kept);
    }
    if let Some(found) = &verified.numerics_16_bit {
        add(found.precision, found.loss_ratio, found.worst_ratio, &found.kept);
    }
    all
}

fn text(verified: &Verified, markdown: bool, out: &mut dyn Write) -> io::Result<()> {
    let mark = if markdown { "# " } else { "" };
    writeln!(out, "{mark}{} on {}\n", verified.plan, verified.device)?;
    numerics(verified, out)?;
    if let Some(timing) = &verified.timing {
        let iteration = timing.iteration;
        writeln!(
            out,
            "Iteration ({}, predicted with {}): predicted {}, measured {}, error {:+.1} %, spread \
             {:.1} %\n",
            timing.mode,
            timing.device_file,
            seconds(iteration.predicted_s),
            seconds(iteration.measured_s),
            100.0 * iteration.error,
            100.0 * timing.spread
        )?;
        let differs = |pace: &MachinePace| {
            (pace.predicted_at_calibration_s / iteration.predicted_s - 1.0).abs() >= WORTH_SAYING
        };
        if let Some(pace) = timing.pace.filter(differs) {
            writeln!(
                out,
                "  while it ran, this machine multiplied at {:.2} and copied at {:.2} of the speed \
                 that it was calibrated at; predicted for this pace ({} for the other)\n",
                pace.product,
                pace.copy,
                seconds(pace.predicted_at_calibration_s)
            )?;
        }
        table("by class", &timing.by_op_class, markdown, out)?;
        table("furthest off", &timing.worst, markdown, out)?;
    }
    if let Some(memory) = verified.memory {
        let mib = |bytes: u64| bytes as f64 / f64::from(1u32 << 20);
        writeln!(
            out,
            "Memory: predicted {:.1} MiB, measured {:.1} MiB, error {:+.1} %\n",
            mib(memory.predicted_bytes),
            mib(memory.measured_bytes),
            100.0 * memory.error
        )?;
    }
    if let Some(transport) = verified.transport {
        writeln!(out, "Transport: {transport}\n")?;
    }
    for note in &verified.notes {
        writeln!(out, "Note: {note}")?;
    }
    Ok(())
}

fn numerics(verified: &Verified, out: &mut dyn Write) -> io::Result<()> {
    if let Some(found) = &verified.numerics {
        let verdict = if found.passed { "equal" } else { "NOT EQUAL" };
        let from = found.reduced_from.as_ref();
        let from = from.map_or(String::new(), |ways| format!(", reduced from {ways}"));
        writeln!(
            out,
            "Numerics in fp32: {} ({} processes{from}) and one device are {verdict} over {} steps",
            found.ways, found.ranks, found.steps
        )?;
        writeln!(
            out,
            "  loss off by {:.1e}, worst of {} gradients by {:.1e} ({}), sums by {:.1e}, updates by \
             {:.1e}; {:.0e} allowed\n",
            found.loss_max_error,
            found.gradients,
            found.gradient_max_error,
            found.worst,
            found.kept.sum_max_error,
            found.kept.update_max_error,
            found.tolerance
        )?;
    }
    if let Some(found) = &verified.numerics_16_bit {
        let verdict = if found.passed { "as exact as" } else { "NOT AS EXACT AS" };
        let given = found.instead_of.map_or(String::new(), |given| format!(" instead of {given}"));
        writeln!(
            out,
            "Numerics in {}{given}: the ranks are {verdict} one device, against fp64, over {} steps",
            found.precision, found.steps
        )?;
        writeln!(
            out,
            "  loss off by {}, worst of {} gradients by {} ({}) times what one device is off by; {:.0} \
             times allowed",
            times(found.loss_ratio),
            found.gradients,
            times(found.worst_ratio),
            found.worst,
            found.factor
        )?;
        writeln!(
            out,
            "  sums by {:.1e}, updates by {:.1e}; {:.0e} allowed\n",
            found.kept.sum_max_error, found.kept.update_max_error, found.tolerance
        )?;
    }
    Ok(())
}

fn table(title: &str, rows: &[ClassTimes], markdown: bool, out: &mut dyn Write) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(title.len());
    if markdown {
        writeln!(out, "| {title} | predicted | measured | error | spread |")?;
        writeln!(out, "|---|---:|---:|---:|---:|")?;
    } else {
        let heads = ["predicted", "measured", "error", "spread"];
        writeln!(
            out,
            "{title:width$}  {:>11}  {:>11}  {:>8}  {:>7}",
            heads[0], heads[1], heads[2], heads[3]
        )?;
    }
    for row in rows {
        let (predicted, measured) = (seconds(row.times.predicted_s), seconds(row.times.measured_s));
        let (error, spread) = (100.0 * row.times.error, 100.0 * row.spread);
        let name = &row.name;
        if markdown {
            writeln!(out, "| {name} | {predicted} | {measured} | {error:+.1} % | {spread:.0} % |")?;
        } else {
            writeln!(
                out,
                "{name:width$}  {predicted:>11}  {measured:>11}  {error:>+6.1} %  {spread:>5.0} %"
            )?;
        }
    }
    writeln!(out)
}
