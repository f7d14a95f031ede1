//! The plan: how a model is split over a cluster. Contains no cost; the same plan can be predicted
//! on another cluster.

mod load;
mod strategy;

pub use load::load_plan;
pub use strategy::Strategy;

use crate::spec::LoraSpec;
use crate::spec::stack::ScheduleKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most passes of an iteration that are simulated: each chunk of each stage, each micro-batch, forward
/// and backward (2 p v m). Plans that have more are refused and no part of a search's space.
pub const MOST_PASSES: u64 = 1 << 21;

/// A plan, as `search` writes it and `simulate` reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Name or path of the model.
    pub model: String,
    /// Name or path of the cluster.
    pub cluster: String,
    /// Name or path of the software stack.
    pub stack: String,
    /// Low-rank adapters that it was made for; as the model says where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSpec>,
    /// Ways of each kind of parallelism.
    pub parallelism: Parallelism,
    /// Batch sizes.
    pub batch: Batch,
    /// Pipeline schedule.
    pub schedule: ScheduleKind,
    /// What is sharded over the data-parallel ranks.
    #[serde(default)]
    pub optimizer_sharding: OptimizerSharding,
    /// Stages in pipeline order; as even as possible where left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StagePlan>,
    /// Sharding of each operator of each distinct block (`embedding`, `layer`, `head`);
    /// Megatron's where left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub operators: BTreeMap<String, BTreeMap<String, Strategy>>,
}

/// Ways of each kind of parallelism; their product (without `expert`) is the number of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parallelism {
    /// Ranks that share each operator (t).
    pub tensor: u64,
    /// Stages (p).
    pub pipeline: u64,
    /// Replicas (d).
    pub data: u64,
    /// Ranks that share each sequence (c).
    #[serde(default = "one")]
    pub context: u64,
    /// Ranks that share the experts (e).
    #[serde(default = "one")]
    pub expert: u64,
    /// Model chunks of a stage (v).
    #[serde(default = "one")]
    pub virtual_stages: u64,
    /// Activations outside the tensor-parallel region are sharded too (Korthikanti et al. 2022).
    #[serde(default)]
    pub sequence_parallel: bool,
}

impl Parallelism {
    /// One device.
    pub const SINGLE: Parallelism = Parallelism {
        tensor: 1,
        pipeline: 1,
        data: 1,
        context: 1,
        expert: 1,
        virtual_stages: 1,
        sequence_parallel: false,
    };
}

fn one() -> u64 {
    1
}

/// Batch sizes, in sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Of one optimizer step (B).
    pub global: u64,
    /// Of one micro-batch on one replica (b).
    pub micro: u64,
}

/// What is sharded over the data-parallel ranks (Rajbhandari et al. 2020).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerSharding {
    /// Nothing.
    #[default]
    None,
    /// Optimizer states (Megatron's distributed optimizer).
    Zero1,
    /// And gradients.
    Zero2,
    /// And parameters (FSDP).
    Zero3,
}

impl OptimizerSharding {
    /// The word for it in plans.
    pub const fn name(self) -> &'static str {
        match self {
            OptimizerSharding::None => "none",
            OptimizerSharding::Zero1 => "zero1",
            OptimizerSharding::Zero2 => "zero2",
            OptimizerSharding::Zero3 => "zero3",
        }
    }
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StagePlan {
    /// Layers as `first..end`, the end not included; over all its chunks when interleaved, in
    /// which case the stage holds `virtual_stages` equal chunks and the range is that of a
    /// contiguous numbering by stage.
    pub layers: String,
    /// Where its devices stand, such as `group0/nodes[0]` or `group0/nodes[0..4]`.
    pub devices: String,
    /// How many of its layers recompute what.
    pub recompute: RecomputeCounts,
}

/// How many layers of a stage recompute what in the backward pass.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct RecomputeCounts {
    /// Nothing.
    #[serde(default)]
    pub none: u64,
    /// The attention core.
    #[serde(default)]
    pub selective: u64,
    /// Everything but the layer's input.
    #[serde(default)]
    pub full: u64,
}

/// What one layer recomputes in its backward pass.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// Nothing.
    None,
    /// The attention core.
    Selective,
    /// Everything but the layer's input.
    Full,
}

impl RecomputeCounts {
    /// Layers in all.
    pub const fn layers(&self) -> u64 {
        self.none + self.selective + self.full
    }

    /// Layers in all, where the sum is a number.
    fn checked_layers(&self) -> Option<u64> {
        self.none.checked_add(self.selective)?.checked_add(self.full)
    }
}

impl Plan {
    /// Micro-batches of a step on one replica (m), where the batch divides.
    pub fn num_micro_batches(&self) -> Option<u64> {
        let rows = self.batch.micro.checked_mul(self.parallelism.data)?;
        (rows > 0 && self.batch.global.is_multiple_of(rows)).then(|| self.batch.global / rows)
    }

    /// Devices that the plan uses.
    pub fn devices(&self) -> u64 {
        let p = &self.parallelism;
        p.tensor.saturating_mul(p.pipeline).saturating_mul(p.data).saturating_mul(p.context)
    }
}
