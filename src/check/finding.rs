//! What a check finds, and how serious it is.

use serde::Serialize;

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

    /// Says that something does not hold.
    pub(super) fn error(&mut self, code: &'static str, message: String) {
        self.add(Severity::Error, code, message);
    }

    /// Says that something could not be checked.
    pub(super) fn warning(&mut self, code: &'static str, message: String) {
        self.add(Severity::Warning, code, message);
    }

    /// Says that something was checked and holds.
    pub(super) fn note(&mut self, code: &'static str, message: String) {
        self.add(Severity::Note, code, message);
    }

    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }
}
