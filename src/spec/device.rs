//! `hardware/devices/*.yaml`: one accelerator, its data sheet and its calibrated constants.

use super::measured::MeasuredRow;
use super::model::Precision;
use super::observed::Observed;
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
    /// Bandwidth between the device and its host or network interface in one direction (PCI
    /// Express, NVLink-C2C); bounds what one device can put on the network. PCI Express 4 with 16
    /// lanes where left out.
    #[serde(default = "default_host_bandwidth")]
    pub host_bandwidth: BytesPerSecond,
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
    /// Measured kernels, between which times are interpolated where the constants would give them
    /// otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<MeasuredTable>,
    /// The machine that all of this was measured on, where `lmplan calibrate` did so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// What was seen of it beside, which no prediction uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// Where the facts come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What a device file was measured on, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Processor or GPU, as the system names it.
    pub processor: String,
    /// Cores of the machine.
    pub cores: u64,
    /// Driver of the GPU; none of a processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Version of libtorch.
    pub libtorch: String,
    /// When it was measured: RFC 3339, UTC.
    pub date: String,
    /// Fewer shapes and repetitions.
    pub quick: bool,
    /// How long it took.
    pub duration: Seconds,
}

/// Measured kernels of one element size.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeasuredTable {
    /// Bytes of an element.
    pub element_bytes: u64,
    /// By kind of kernel: three sizes and a time, such as `256 1024 512: 3.5 ms`. Of a product m, n
    /// and k; of attention sequences times heads, rows and width of a head; of passes over memory
    /// bytes read, bytes written and launches.
    pub kernels: BTreeMap<String, Vec<MeasuredRow>>,
    /// By collective inside a node (`all_reduce`, `reduce_scatter`, `all_gather`, `all_to_all`, and
    /// `message` from one device to another): bytes as each rank holds them, ranks, repetitions, and a time, such as `1048576 2 15: 1.2 ms`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub collectives: BTreeMap<String, Vec<MeasuredRow>>,
    /// How fast the machine was while it was measured, one device busy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// What changes where other devices of the machine are busy too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contention: Option<Contention>,
}

/// What the devices of one machine take from each other where they share memory, caches or cores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contention {
    /// Devices that were busy at once.
    pub ranks: u64,
    /// Bandwidth of each while all copy what no cache holds.
    pub memory_bandwidth: BytesPerSecond,
    /// Speed of each at products in its own cache, over that of one device alone.
    pub matmul_rate: f64,
    /// How fast each was while all were busy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// Kernels of each while all run them, as `kernels` of one alone.
    pub kernels: BTreeMap<String, Vec<MeasuredRow>>,
}

/// How fast a machine was, by two operations that are timed again when a plan is run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Mean time of a product of two 512 x 512 matrices in 32 bits.
    pub product: Seconds,
    /// Mean time of a copy of 16 MiB.
    pub copy: Seconds,
}

/// PCI Express 4, 16 lanes: 16 GT/s a lane, 128b/130b coding.
fn default_host_bandwidth() -> BytesPerSecond {
    BytesPerSecond::new(31.5e9)
}

/// The device's own link, by direction.
///
/// Times over it follow T = launch + hops * latency + bytes / bandwidth, once for each of NCCL's
/// two families of protocols, the quicker of which is taken: a low-latency one that carries flags
/// with the data at part of the bandwidth, and a bulk one that synchronises more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// Name, such as `nvlink3` or `pcie4`.
    pub name: String,
    /// Bandwidth in one direction, all lanes together.
    pub bandwidth: BytesPerSecond,
    /// Latency of one hop of a collective.
    pub latency: Seconds,
    /// Bandwidth between one pair of devices, where it is less than all lanes (meshes without a
    /// switch).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_bandwidth: Option<BytesPerSecond>,
    /// Constants of collectives over the link.
    #[serde(default)]
    pub collectives: CollectiveConstants,
}

/// What collectives over a link reach; fitted on measured collectives of one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CollectiveConstants {
    /// Time of a collective's kernel before its first hop.
    pub launch: Seconds,
    /// Further time of the bulk protocol, which synchronises in both directions.
    pub bulk_latency: Seconds,
    /// Share of the link's bandwidth that the bulk protocol reaches in a ring.
    pub efficiency: f64,
    /// Share of the link's bandwidth that the low-latency protocol reaches.
    pub low_latency_efficiency: f64,
    /// Cost of a byte that stays on its rank (the copy of a rank's own part) over that of a byte
    /// on the wire.
    pub own_part_cost: f64,
    /// Share of the link's bandwidth that an all-reduce inside the switch reaches (NVLink SHARP);
    /// none where the switch can not reduce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch_reduction_efficiency: Option<f64>,
    /// Where the constants come from.
    pub provenance: String,
}

impl Default for CollectiveConstants {
    /// Constants near those fitted on the A100, for links that have not been measured.
    fn default() -> Self {
        CollectiveConstants {
            launch: Seconds::new(7e-6),
            bulk_latency: Seconds::new(15e-6),
            efficiency: 0.75,
            low_latency_efficiency: 0.2,
            own_part_cost: 0.4,
            switch_reduction_efficiency: None,
            provenance: "assumed: near those fitted on the A100".into(),
        }
    }
}

/// What a data sheet does not say; each is fitted on measured kernels or stated as an assumption.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelConstants {
    /// Share of the matrix peak that a large, well-tiled product reaches in a short benchmark.
    pub matmul_efficiency: f64,
    /// Share of the matrix peak from which on the board is at its power limit at full clock. Faster
    /// work lowers the clock: power grows with the work of a cycle and with the cube of the clock,
    /// so that work of u > c runs at (c/u)^(1/3) of its clock. Short benchmark loops do not.
    #[serde(default = "one")]
    pub power_limited_rate: f64,
    /// Share of the memory bandwidth that a large streaming pass reaches.
    pub memory_efficiency: f64,
    /// Bandwidth at which all multiprocessors together load operand tiles from the second-level
    /// cache; bounds products with small tiles.
    pub l2_bandwidth: BytesPerSecond,
    /// Time from the start of a kernel to its first useful work, and its drain.
    pub kernel_latency: Seconds,
    /// Depth of the k loop, in elements, that a tile spends filling its pipeline and storing its
    /// result.
    pub matmul_prologue_k: f64,
    /// How much of the idle part of a last, partly filled wave of tiles is lost: 1 for tiles that
    /// run in lock step, 0 for work that is divided evenly.
    pub wave_quantisation: f64,
    /// Share of the matrix peak that fused attention reaches, forward and backward, on long
    /// sequences with heads of 128.
    pub attention_efficiency: (f64, f64),
    /// Generation of fused attention that `attention_efficiency` was measured with; earlier ones
    /// reach less.
    #[serde(default = "second")]
    pub attention_generation: u64,
    /// Matrix operations that could be done in the time of the exponential and rescaling of one
    /// score; what makes heads of 64 less efficient than heads of 128.
    pub softmax_flops: f64,
    /// Key positions that a query tile of fused attention could have seen in the time that it
    /// takes to load its queries, fill its pipeline and store its result.
    pub attention_prologue_keys: f64,
    /// Time of a fused attention kernel beside its arithmetic: launch, scheduling, reduction.
    pub attention_latency: Seconds,
    /// Share of the memory bandwidth that a kind of pass reaches, where it was measured by itself:
    /// on processors without wide memory some passes are bound by their arithmetic, and what stays
    /// in a cache is quicker than memory. The names are those of `lmplan calibrate`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pass_efficiency: BTreeMap<String, f64>,
    /// Where the constants come from: the command, data, date.
    pub provenance: String,
}

fn one() -> f64 {
    1.0
}

fn second() -> u64 {
    2
}
