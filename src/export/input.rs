//! What is exported: a plan with its job.

use crate::plan::{Plan, Strategy};
use crate::spec::{ClusterSpec, ModelSpec, StackSpec};
use std::collections::BTreeMap;

/// What is exported.
#[derive(Debug, Clone, Copy)]
pub struct ExportInput<'a> {
    /// The plan; as even as possible where it lists no stages.
    pub plan: &'a Plan,
    /// Its model, with the plan's batch.
    pub model: &'a ModelSpec,
    /// Its cluster.
    pub cluster: &'a ClusterSpec,
    /// Its software.
    pub stack: &'a StackSpec,
    /// The shardings that Megatron gives the operators under the plan's ways.
    pub megatron_operators: &'a BTreeMap<String, BTreeMap<String, Strategy>>,
}
