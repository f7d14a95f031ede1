//! What was seen of a device beside the kernels that are priced: for readers, and for who fits
//! constants by hand. Nothing is predicted from it.

use super::measured::MeasuredRow;
use crate::units::{BytesPerSecond, Seconds, Watts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was seen of a device.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Observed {
    /// Time of a smallest kernel in a queue of them that the host launches one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch: Option<Seconds>,
    /// Time of a smallest kernel in a graph of them (CUDA graphs), which the device repeats by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph_launch: Option<Seconds>,
    /// Time from the launch of a smallest kernel until the host knows that it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<Seconds>,
    /// Copies between host and device by kind (`pinned to device`, `pinned to host`, `pageable to
    /// device`, `pageable to host`), of 256 MiB.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub transfers: BTreeMap<String, BytesPerSecond>,
    /// Under products without a pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// Products by type of element (`bf16`, `fp16`, `fp32`, `tf32`, `fp8`): m, n and k, and the time,
    /// such as `4096 4096 4096: 200 us`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub products: BTreeMap<String, Vec<MeasuredRow>>,
    /// The collectives' library, and an all-reduce of one rank over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nccl: Option<String>,
    /// What could not be measured, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_measured: Vec<String>,
}

/// A device under dense products without a pause, over its last seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// How long the products ran.
    pub duration: Seconds,
    /// Rate of 16-bit products over the whole time, in TFLOP/s.
    pub tflops: f64,
    /// Rate in the first quarter of a second, in TFLOP/s: before power and heat tell.
    pub first_tflops: f64,
    /// Middle clock of the multiprocessors in the second half, in MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_mhz: Option<f64>,
    /// Largest clock that the driver names, in MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_clock_mhz: Option<f64>,
    /// Middle power of the board in the second half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<Watts>,
    /// The limit of power that held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_limit: Option<Watts>,
    /// Highest temperature, in degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f64>,
}
