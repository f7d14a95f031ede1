//! What a plan is checked against: its job, and what was written beside it.

use crate::graph::Graph;
use crate::plan::Plan;
use crate::spec::{ModelSpec, StackSpec};
use crate::units::Bytes;
use serde_json::Value;

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
