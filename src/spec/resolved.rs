//! A cluster with the devices that its file names.

use super::cluster::{ClusterSpec, LinkKind, NodeGroupSpec};
use super::device::{CollectiveConstants, DeviceSpec, LinkSpec};
use super::diagnostic::{Finding, Source, SpecError};
use super::load::{load_cluster, load_device, placed};
use crate::units::{BytesPerSecond, Seconds, UsDollars};
use std::path::Path;

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

/// Why a cluster has no devices.
enum Unresolved {
    /// Names in the cluster's own file.
    Names(Vec<Finding>),
    /// A device's file.
    Device(SpecError),
}

/// Latency of a hop over a bus, through host bridges: near that of the catalogue's devices on one.
const BUS_LATENCY: Seconds = Seconds::new(1.5e-6);

/// The link between the devices of a node: their own, or the bus that the cluster names in its place,
/// over which a device is no faster than over its own bus. A link of a name that is no kind's is
/// the device's whatever the cluster names: it may be any.
///
/// # Errors
/// Another kind of link of their own than theirs: the name of theirs.
fn link_of(group: &NodeGroupSpec, device: &DeviceSpec) -> Result<Option<LinkSpec>, String> {
    let (kind, own) = (group.intra_node, device.link.clone());
    let known = own.as_ref().and_then(|own| LinkKind::named(&own.name));
    let is_other = own.is_none() || known.is_some_and(|known| known != kind);
    if group.devices_per_node == 1 || !is_other {
        return Ok(own);
    }
    if let Some(bandwidth) = kind.bus_bandwidth() {
        let bandwidth = BytesPerSecond::new(bandwidth.get().min(device.host_bandwidth.get()));
        let collectives = match own {
            Some(bus) if known.is_some_and(|known| known.bus_bandwidth().is_some()) => {
                bus.collectives
            }
            _ => CollectiveConstants::default(),
        };
        let (name, latency) = (kind.name().to_owned(), BUS_LATENCY);
        return Ok(Some(LinkSpec { name, bandwidth, latency, pair_bandwidth: None, collectives }));
    }
    own.map_or(Ok(None), |own| Err(own.name))
}

/// What is said of a link that the device does not have.
fn other_link(index: usize, group: &NodeGroupSpec, own: &str) -> Finding {
    let (device, kind) = (&group.device, group.intra_node.name());
    let message = format!("the link of device `{device}` is `{own}`, not `{kind}`");
    let finding = Finding::new("cluster::link", format!("nodes/{index}/intra_node"), message);
    finding.help(format!(
        "write `{own}`, or a bus such as `pcie4`; another link of its own goes into a device file of \
         yours"
    ))
}

fn resolve(spec: ClusterSpec, folder: &Path) -> Result<Cluster, Unresolved> {
    let mut findings = Vec::new();
    let mut groups = Vec::new();
    for (index, group) in spec.nodes.iter().enumerate() {
        match load_device(&group.device, folder) {
            Ok((mut device, _)) => {
                let needs_link = group.devices_per_node > 1 && group.intra_node.is_of_the_device();
                if needs_link && device.link.is_none() {
                    let message =
                        format!("device `{}` has no link of its own in its file", group.device);
                    let path = format!("nodes/{index}/intra_node");
                    let finding = Finding::new("cluster::link", path, message);
                    findings.push(finding.help("add `link` to the device, or choose `pcie4`"));
                }
                match link_of(group, &device) {
                    Ok(link) => device.link = link,
                    Err(own) => findings.push(other_link(index, group, &own)),
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
