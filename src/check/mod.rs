//! An independent check of a plan and of its certificate.
//!
//! Shares no code with the planner, the cost model or the simulator: it reads the plan, the model,
//! the cluster and what was written beside the plan, and recounts with its own arithmetic. A
//! mistake must be made twice to pass.

mod certificate;
mod memory;
mod space;
mod structure;

use crate::graph::Graph;
use crate::plan::Plan;
use crate::spec::{ModelSpec, StackSpec};
use crate::units::Bytes;
use serde::Serialize;
use serde_json::Value;

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something was checked and holds.
    Note,
    /// Something could not be checked.
    Warning,
    /// Something does not hold.
    Error,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How serious.
    pub severity: Severity,
    /// What was checked: `structure`, `memory`, `time`, `certificate`.
    pub code: &'static str,
    /// What was found, in a sentence.
    pub message: String,
}

/// What a plan is checked against.
#[derive(Debug, Clone, Copy)]
pub struct CheckInput<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The model, with the plan's global batch.
    pub model: &'a ModelSpec,
    /// Its operators.
    pub graph: &'a Graph,
    /// The software stack.
    pub stack: &'a StackSpec,
    /// Devices that there are.
    pub devices: u64,
    /// Memory of each.
    pub memory: Bytes,
    /// Dense matrix peak of each, in operations per second.
    pub peak_flops: f64,
    /// `search.json` or `prediction.json`, where it stands beside the plan.
    pub results: Option<&'a Value>,
    /// `certificate.json`, where it stands beside the plan.
    pub certificate: Option<&'a Value>,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Check {
    /// In the order of the checks.
    pub findings: Vec<Finding>,
}

impl Check {
    fn add(&mut self, severity: Severity, code: &'static str, message: String) {
        self.findings.push(Finding { severity, code, message });
    }

    fn error(&mut self, code: &'static str, message: String) {
        self.add(Severity::Error, code, message);
    }

    fn warning(&mut self, code: &'static str, message: String) {
        self.add(Severity::Warning, code, message);
    }

    fn note(&mut self, code: &'static str, message: String) {
        self.add(Severity::Note, code, message);
    }

    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }
}

/// Checks a plan and what stands beside it.
pub fn check(subject: &CheckInput<'_>) -> Check {
    let mut check = Check::default();
    structure::check(subject, &mut check);
    if !check.holds() {
        return check;
    }
    memory::check(subject, &mut check);
    match subject.certificate {
        Some(certificate) => certificate::check(subject, certificate, &mut check),
        None => check.warning(
            "certificate",
            "there is no `certificate.json` beside the plan: optimality is not checked".to_owned(),
        ),
    }
    check
}
