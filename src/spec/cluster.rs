//! `hardware/*.yaml`: nodes, their links, the network between them, its price.

use super::DeviceSpec;
use super::diagnostic::{Finding, Source, SpecError};
use super::load::{load_cluster, load_device, placed};
use crate::units::{BytesPerSecond, PerDay, Seconds, UsDollars, Watts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

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

/// A cluster with the devices that its file names.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// The file.
    pub spec: ClusterSpec,
    /// Its node groups, in the order of the file.
    pub groups: Vec<NodeGroup>,
}

/// Like nodes, with their device.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeGroup {
    /// As the cluster's file has it.
    pub spec: NodeGroupSpec,
    /// What `spec.device` names.
    pub device: DeviceSpec,
}

impl Cluster {
    /// Reads a cluster and its devices by name or path.
    ///
    /// # Errors
    /// No such name, an unreadable file, or what is wrong with its text or its devices'.
    pub fn load(name: &str, folder: &Path) -> Result<(Cluster, Source), SpecError> {
        let (spec, source) = load_cluster(name, folder)?;
        let cluster = resolve(spec, folder).map_err(|error| match error {
            Unresolved::Names(findings) => placed(findings, &source),
            Unresolved::Device(error) => error,
        })?;
        Ok((cluster, source))
    }

    /// Reads the cluster that a plan names: the `cluster.yaml` beside the plan where that is it,
    /// or else as [`Cluster::load`].
    ///
    /// # Errors
    /// As [`Cluster::load`].
    pub fn of_plan(name: &str, plan: &Path, folder: &Path) -> Result<Cluster, SpecError> {
        let beside = plan.with_file_name("cluster.yaml");
        if beside.is_file() {
            let (cluster, _) = Cluster::load(&beside.display().to_string(), folder)?;
            if cluster.spec.name == name {
                return Ok(cluster);
            }
        }
        Ok(Cluster::load(name, folder)?.0)
    }

    /// Reads the devices that `spec` names.
    ///
    /// # Errors
    /// Unknown or invalid devices, and links that a device does not have.
    pub fn resolve(spec: ClusterSpec, folder: &Path) -> Result<Cluster, SpecError> {
        let what = format!("cluster `{}`", spec.name);
        resolve(spec, folder).map_err(|error| match error {
            Unresolved::Names(findings) => SpecError::unplaced(findings, &what),
            Unresolved::Device(error) => error,
        })
    }

    /// Devices in all.
    pub fn num_devices(&self) -> u64 {
        self.groups.iter().fold(0, |sum, group| group.spec.num_devices().saturating_add(sum))
    }

    /// Price of a device-hour: the cluster's, or else that of its first devices.
    pub fn price_per_device_hour(&self) -> Option<UsDollars> {
        let own = self.groups.first().and_then(|group| group.device.price_per_hour);
        self.spec.price_per_device_hour.or(own)
    }

    /// Nodes in all.
    pub fn num_nodes(&self) -> u64 {
        self.groups.iter().fold(0, |sum, group| group.spec.count.saturating_add(sum))
    }
}

impl NodeGroupSpec {
    /// Devices of the group.
    pub const fn num_devices(&self) -> u64 {
        self.count.saturating_mul(self.devices_per_node)
    }
}

impl LinkKind {
    /// Whether the link belongs to the device, whose file then has to give its bandwidth.
    const fn is_of_the_device(self) -> bool {
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

/// Why a cluster has no devices.
enum Unresolved {
    /// Names in the cluster's own file.
    Names(Vec<Finding>),
    /// A device's file.
    Device(SpecError),
}

fn resolve(spec: ClusterSpec, folder: &Path) -> Result<Cluster, Unresolved> {
    let mut findings = Vec::new();
    let mut groups = Vec::new();
    for (index, group) in spec.nodes.iter().enumerate() {
        match load_device(&group.device, folder) {
            Ok((device, _)) => {
                let needs_link = group.devices_per_node > 1 && group.intra_node.is_of_the_device();
                if needs_link && device.link.is_none() {
                    let message =
                        format!("device `{}` has no link of its own in its file", group.device);
                    let path = format!("nodes/{index}/intra_node");
                    let finding = Finding::new("cluster::link", path, message);
                    findings.push(finding.help("add `link` to the device, or choose `pcie4`"));
                }
                groups.push(NodeGroup { spec: group.clone(), device });
            }
            Err(error) => match error.diagnostics.first() {
                Some(first) if first.code == "spec::not-found" => findings.push(Finding {
                    code: first.code,
                    path: format!("nodes/{index}/device"),
                    message: first.message.clone(),
                    help: first.help.clone(),
                }),
                _ => return Err(Unresolved::Device(error)),
            },
        }
    }
    if findings.is_empty() {
        Ok(Cluster { spec, groups })
    } else {
        Err(Unresolved::Names(findings))
    }
}
