//! What was verified, for people and for programs.

use super::calibrate::Calibrated;
use super::numerics::{Kept, Numerics, Numerics16Bit};
use crate::sim::Timeline;
use crate::units::Bytes;
use serde::Serialize;
use std::io::{self, Write};

/// A result of `verify`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verified {
    /// Name and version of this format.
    pub schema: &'static str,
    /// The plan.
    pub plan: String,
    /// Modes that were run.
    pub mode: Vec<&'static str>,
    /// Where it was executed.
    pub device: String,
    /// What was known of this machine, or was measured for this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<Calibrated>,
    /// Several ranks against one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numerics: Option<Numerics>,
    /// The same in the 16 bits of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numerics_16_bit: Option<Numerics16Bit>,
    /// Times against predictions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// Memory against its prediction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ComparedBytes>,
    /// Memory of the fullest rank of each stage, where the plan was run as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub memory_by_stage: Vec<ComparedBytes>,
    /// What the ranks talked over, where the plan was run as a whole: `gloo` or `nccl`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<&'static str>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// An iteration, predicted and measured, for charts and traces.
    #[serde(skip)]
    pub timelines: Option<[Timeline; 2]>,
}

/// Times against predictions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timing {
    /// The mode that gave them.
    pub mode: &'static str,
    /// The device file of the predictions.
    pub device_file: String,
    /// An iteration.
    pub iteration: ComparedTime,
    /// Spread of the repetitions of the iteration: (largest - smallest) / median.
    pub spread: f64,
    /// How fast the machine was meanwhile, where that was measured: predictions are for this pace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<MachinePace>,
    /// By class of instruction, one micro-batch through all blocks.
    pub by_op_class: Vec<ClassTimes>,
    /// The instructions that are furthest off, in seconds.
    pub worst: Vec<ClassTimes>,
}

/// How fast a machine was while a plan ran on it, and how fast it was when it was calibrated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MachinePace {
    /// Speed of products over that at calibration.
    pub product: f64,
    /// Speed of copies over that at calibration.
    pub copy: f64,
    /// The iteration as it is predicted at the pace of the calibration, in seconds.
    pub predicted_at_calibration_s: f64,
}

/// A prediction and what was measured, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ComparedTime {
    /// Predicted.
    pub predicted_s: f64,
    /// Measured.
    pub measured_s: f64,
    /// Predicted / measured - 1.
    pub error: f64,
}

/// A prediction and what was measured, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ComparedBytes {
    /// Predicted.
    pub predicted_bytes: u64,
    /// Measured.
    pub measured_bytes: u64,
    /// Predicted / measured - 1.
    pub error: f64,
}

fn relative(predicted: f64, measured: f64) -> f64 {
    if measured > 0.0 { predicted / measured - 1.0 } else { 0.0 }
}

impl ComparedTime {
    /// A predicted time beside a measured one, both in seconds.
    pub fn new(predicted_s: f64, measured_s: f64) -> ComparedTime {
        ComparedTime { predicted_s, measured_s, error: relative(predicted_s, measured_s) }
    }
}

impl ComparedBytes {
    /// A predicted size beside a measured one.
    pub fn new(predicted: Bytes, measured: Bytes) -> ComparedBytes {
        let error = relative(predicted.as_f64(), measured.as_f64());
        ComparedBytes { predicted_bytes: predicted.get(), measured_bytes: measured.get(), error }
    }
}

/// Times of a class of instructions, or of one instruction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassTimes {
    /// The class, or the instruction.
    pub name: String,
    /// Predicted and measured seconds.
    #[serde(flatten)]
    pub times: ComparedTime,
    /// Spread of the repetitions: median over its instructions of (largest - smallest) / median.
    pub spread: f64,
    /// Instructions.
    pub instructions: usize,
}

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

impl Verified {
    /// Nothing verified yet.
    pub fn new(plan: &str, cuda: bool) -> Verified {
        let device = if cuda { "cuda" } else { "cpu" };
        Verified {
            schema: "lmplan.verify/1",
            plan: plan.to_owned(),
            mode: Vec::new(),
            device: device.to_owned(),
            calibrated: None,
            numerics: None,
            numerics_16_bit: None,
            timing: None,
            memory: None,
            memory_by_stage: Vec::new(),
            transport: None,
            notes: Vec::new(),
            timelines: None,
        }
    }

    /// What did not hold, if something did not.
    pub fn failure(&self, tolerance: f64) -> Option<String> {
        if let Some(what) = self.numerical_failure() {
            return Some(format!("the ranks do not compute what one device computes: {what}"));
        }
        let timing = self.timing.as_ref()?;
        let error = timing.iteration.error;
        (error.abs() > tolerance).then(|| {
            let (off, allowed) = (100.0 * error, 100.0 * tolerance);
            format!("the predicted iteration is off by {off:+.1} %, {allowed:.0} % allowed")
        })
    }

    fn numerical_failure(&self) -> Option<String> {
        if let Some(found) = self.numerics.as_ref().filter(|found| !found.passed) {
            return Some(format!(
                "loss off by {:.1e}, gradients by {:.1e} (`{}`), {}; {:.0e} allowed",
                found.loss_max_error,
                found.gradient_max_error,
                found.worst,
                kept(&found.kept),
                found.tolerance
            ));
        }
        let found = self.numerics_16_bit.as_ref().filter(|found| !found.passed)?;
        Some(format!(
            "in {} loss off by {} and gradients by {} (`{}`) times what one device is off by, {:.0} \
             times allowed; {}, {:.0e} allowed",
            found.precision,
            times(found.loss_ratio),
            times(found.worst_ratio),
            found.worst,
            found.factor,
            kept(&found.kept),
            found.tolerance
        ))
    }
}

/// A ratio, short however large.
fn times(ratio: f64) -> String {
    if ratio < 1e4 { format!("{ratio:.1}") } else { format!("{ratio:.0e}") }
}

/// What the ranks make of their gradients, in words.
fn kept(kept: &Kept) -> String {
    format!(
        "sums by {:.1e} (`{}`), updates by {:.1e} (`{}`)",
        kept.sum_max_error, kept.sum_worst, kept.update_max_error, kept.update_worst
    )
}

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
        if let Some(pace) = timing.pace {
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
