//! `hardware/*.yaml`: nodes, their links, the network between them, its price.

use crate::units::{BytesPerSecond, PerDay, Seconds, UsDollars, Watts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A cluster: node groups joined by a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterSpec {
    /// Name, as in the catalogue.
    pub name: String,
    /// Groups of like nodes.
    pub nodes: Vec<NodeGroupSpec>,
    /// The network between nodes; may be left out of a cluster of one node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkSpec>,
    /// Price of one device for one hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_device_hour: Option<UsDollars>,
    /// Power of a device's share of the node beyond the device itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_power_per_device: Option<Watts>,
    /// Failures that stop a job, per device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures_per_device: Option<PerDay>,
    /// Where the facts come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// Like nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeGroupSpec {
    /// How many nodes.
    pub count: u64,
    /// Devices of a node.
    pub devices_per_node: u64,
    /// Name of the device.
    pub device: String,
    /// Kind of link between the devices of a node.
    pub intra_node: LinkKind,
}

/// Kind of link between the devices of a node; its bandwidth is the device's own unless given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// NVLink 1 hybrid cube mesh (DGX-1 with P100).
    Nvlink1,
    /// NVLink 2 (V100).
    Nvlink2,
    /// NVLink 3 (A100), switched.
    Nvlink3,
    /// NVLink 4 (H100, H200), switched.
    Nvlink4,
    /// NVLink 5 (B200, GB200), switched.
    Nvlink5,
    /// Infinity Fabric (MI250X, MI300X).
    InfinityFabric,
    /// PCI Express 3, 16 lanes.
    Pcie3,
    /// PCI Express 4, 16 lanes.
    Pcie4,
    /// PCI Express 5, 16 lanes.
    Pcie5,
    /// Memory of one host (CPU ranks).
    SharedMemory,
}

/// The network between nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Network interfaces of a node.
    pub nics_per_node: u64,
    /// Bandwidth of one interface in one direction.
    pub bandwidth_per_nic: BytesPerSecond,
    /// Latency from node to node.
    pub latency: Seconds,
    /// Share of the interfaces' bandwidth that large collectives reach.
    #[serde(default = "default_efficiency")]
    pub efficiency: f64,
    /// Shape of the network.
    pub topology: Topology,
    /// Tiers above the first switch, from the lowest, where they are oversubscribed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<TierSpec>,
    /// Whether switches reduce in the network (SHARP).
    #[serde(default)]
    pub in_network_reduction: bool,
}

/// Headers, flow control and the pipelining of chunks. All-reduce over four nodes is measured at 92
/// GB/s in stas00/ml-engineering (`network/benchmarks`), which does not name the fabric; taken here
/// for one of 8 x 100 Gbit/s.
fn default_efficiency() -> f64 {
    0.92
}

/// Shape of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// Full bisection between all nodes.
    FatTree,
    /// Interface i of every node on its own switch; full bisection above.
    RailOptimized,
    /// Tapered by the `tiers`.
    Oversubscribed,
}

/// A tier of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TierSpec {
    /// Nodes under one switch of this tier.
    pub nodes: u64,
    /// Bandwidth below the switch over bandwidth above it.
    pub oversubscription: f64,
}
