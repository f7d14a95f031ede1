//! `hardware/*.yaml`: nodes, their links, the network between them, its price.

use crate::units::{BytesPerSecond, PerDay, Seconds, UsDollars, Watts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most devices that are planned for.
pub const MAX_DEVICES: u64 = 10_000_000;

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
    /// How checkpoints are written, and how a job comes back after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<RecoverySpec>,
    /// Where the facts come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// Checkpoints, and what follows a failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoverySpec {
    /// Rate at which one node writes its part of a checkpoint, and reads it again.
    pub bandwidth_per_node: BytesPerSecond,
    /// What the storage takes from all nodes together, where that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<BytesPerSecond>,
    /// From a failure to the start of the job on other nodes: detection, diagnosis, scheduling,
    /// start of the processes. Reading the checkpoint comes on top.
    pub restart_time: Seconds,
    /// From a failure to the return of the node.
    pub repair_time: Seconds,
    /// Where the facts come from.
    pub source: String,
}

impl Default for RecoverySpec {
    /// For clusters whose files say nothing.
    fn default() -> Self {
        RecoverySpec {
            bandwidth_per_node: BytesPerSecond::new(1e9),
            bandwidth: None,
            restart_time: Seconds::new(600.0),
            repair_time: Seconds::new(86_400.0),
            source: "storage: 2 TB/s sustained for 16,384 devices (Llama 3: Dubey et al. 2024, \
                     section 3.3.1), so about 1 GB/s a node of 8; restart: detection and diagnosis \
                     take less than 10 minutes on average (MegaScale: Jiang et al. 2024); repair: \
                     an assumption"
                .into(),
        }
    }
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

/// Kind of link between the devices of a node: the device's own, whose file has its bandwidth, or a bus
/// in its place.
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

/// Share of a network's bandwidth that large collectives reach where its file does not say: headers,
/// flow control, the pipelining of chunks. Fitted by `examples/fit_training.rs`.
pub const NETWORK_EFFICIENCY: f64 = 0.761;

fn default_efficiency() -> f64 {
    NETWORK_EFFICIENCY
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

impl NodeGroupSpec {
    /// Devices of the group.
    pub const fn num_devices(&self) -> u64 {
        self.count.saturating_mul(self.devices_per_node)
    }
}

impl LinkKind {
    /// All kinds.
    const ALL: [LinkKind; 10] = [
        LinkKind::Nvlink1,
        LinkKind::Nvlink2,
        LinkKind::Nvlink3,
        LinkKind::Nvlink4,
        LinkKind::Nvlink5,
        LinkKind::InfinityFabric,
        LinkKind::Pcie3,
        LinkKind::Pcie4,
        LinkKind::Pcie5,
        LinkKind::SharedMemory,
    ];

    /// The kind of this name.
    pub(super) fn named(name: &str) -> Option<LinkKind> {
        LinkKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As files write it.
    pub const fn name(self) -> &'static str {
        match self {
            LinkKind::Nvlink1 => "nvlink1",
            LinkKind::Nvlink2 => "nvlink2",
            LinkKind::Nvlink3 => "nvlink3",
            LinkKind::Nvlink4 => "nvlink4",
            LinkKind::Nvlink5 => "nvlink5",
            LinkKind::InfinityFabric => "infinity-fabric",
            LinkKind::Pcie3 => "pcie3",
            LinkKind::Pcie4 => "pcie4",
            LinkKind::Pcie5 => "pcie5",
            LinkKind::SharedMemory => "shared-memory",
        }
    }

    /// Bandwidth of the bus in one direction, where the link is one: 16 lanes of 8, 16 and 32 GT/s,
    /// of which 128 in 130 bits are data (PCI-SIG, PCI Express Base Specification 3.0, 4.0, 5.0).
    pub(super) fn bus_bandwidth(self) -> Option<BytesPerSecond> {
        let lane = match self {
            LinkKind::Pcie3 => 8e9,
            LinkKind::Pcie4 => 16e9,
            LinkKind::Pcie5 => 32e9,
            _ => return None,
        };
        Some(BytesPerSecond::new(16.0 * lane * (128.0 / 130.0) / 8.0))
    }

    /// Whether the link belongs to the device, whose file then has to give its bandwidth.
    pub(super) const fn is_of_the_device(self) -> bool {
        matches!(
            self,
            LinkKind::Nvlink1
                | LinkKind::Nvlink2
                | LinkKind::Nvlink3
                | LinkKind::Nvlink4
                | LinkKind::Nvlink5
                | LinkKind::InfinityFabric
        )
    }
}
