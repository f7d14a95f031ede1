//! `hardware/devices/*.yaml`: one accelerator, its data sheet and its calibrated constants.

use super::model::Precision;
use crate::units::{Bytes, BytesPerSecond, FlopsPerSecond, Seconds, UsDollars, Watts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One accelerator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceSpec {
    /// Name, as in the catalogue.
    pub name: String,
    /// Dense peak of the matrix units by precision recipe (no sparsity).
    pub peak: BTreeMap<Precision, FlopsPerSecond>,
    /// Memory as software sees it.
    pub memory: Bytes,
    /// Memory bandwidth of the data sheet.
    pub memory_bandwidth: BytesPerSecond,
    /// Streaming multiprocessors (compute units).
    pub sm_count: u64,
    /// Power limit of the board.
    pub power: Watts,
    /// The link to other devices of the node, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkSpec>,
    /// Price per hour where the cluster gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<UsDollars>,
    /// Calibrated constants of its kernels.
    pub kernels: KernelConstants,
    /// Where the facts come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// The device's own link, by direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// Name, such as `nvlink3` or `pcie4`.
    pub name: String,
    /// Bandwidth in one direction.
    pub bandwidth: BytesPerSecond,
    /// Latency of one hop.
    pub latency: Seconds,
}

/// What a data sheet does not say; each is fitted on measured kernels or stated as an assumption.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelConstants {
    /// Share of the matrix peak that a large, well-tiled product reaches (sustained clocks).
    pub matmul_efficiency: f64,
    /// Share of the memory bandwidth that a large streaming pass reaches.
    pub memory_efficiency: f64,
    /// Time from the start of a kernel to its first useful work, and its drain.
    pub kernel_latency: Seconds,
    /// Depth of the k loop, in elements, that a tile spends filling its pipeline.
    pub matmul_prologue_k: f64,
    /// Share of the matrix peak that fused attention reaches, forward and backward, on long
    /// sequences with heads of 128.
    pub attention_efficiency: (f64, f64),
    /// Where the constants come from: the command, data, date.
    pub provenance: String,
}
