//! An independent check of a plan and of its certificate.
//!
//! Shares no code with the planner, the cost model or the simulator: it reads the plan, the model,
//! the cluster and what was written beside the plan, and recounts with its own arithmetic. A
//! mistake must be made twice to pass.

mod certificate;
mod finding;
mod input;
mod memory;
mod space;
mod structure;

pub use finding::{Check, Finding, Severity};
pub use input::CheckInput;

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
