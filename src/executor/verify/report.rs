//! What was verified, for people and for programs.

use super::numerics::{Kept, Numerics, Numerics16Bit};
use crate::executor::calibrate::Calibrated;
use crate::sim::Timeline;
use crate::units::Bytes;
use serde::Serialize;

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
pub(crate) fn times(ratio: f64) -> String {
    if ratio < 1e4 { format!("{ratio:.1}") } else { format!("{ratio:.0e}") }
}

/// What the ranks make of their gradients, in words.
fn kept(kept: &Kept) -> String {
    format!(
        "sums by {:.1e} (`{}`), updates by {:.1e} (`{}`)",
        kept.sum_max_error, kept.sum_worst, kept.update_max_error, kept.update_worst
    )
}
