//! A cluster with what ranks ask of it.

use crate::mesh::Nodes;
use crate::spec::{Cluster, ClusterSpec, DeviceSpec, NodeGroupSpec};
use crate::units::Bytes;
use thiserror::Error;

/// Why a cluster can not be planned for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The cluster's devices are not all alike.
    #[error(
        "devices of more than one kind in cluster `{cluster}` are not planned yet: plan for {devices} on their own"
    )]
    MixedDevices {
        /// The cluster.
        cluster: String,
        /// Names of its devices.
        devices: String,
    },
    /// The cluster has no devices.
    #[error("cluster `{0}` has no devices")]
    NoDevices(String),
}

/// A cluster of devices of one kind.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The cluster.
    pub cluster: ClusterSpec,
    /// Its nodes, as ranks fill them.
    pub nodes: Nodes,
    /// Its device.
    pub device: DeviceSpec,
    /// Devices there are.
    pub devices: u64,
}

impl Machine {
    /// Puts a cluster's nodes in order.
    ///
    /// # Errors
    /// A cluster with devices of several kinds or none.
    pub fn new(cluster: Cluster) -> Result<Machine, MachineError> {
        let devices = cluster.num_devices();
        let Some(first) = cluster.groups.first().filter(|_| devices > 0) else {
            return Err(MachineError::NoDevices(cluster.spec.name));
        };
        if cluster.groups.iter().any(|group| group.device.name != first.device.name) {
            let names: Vec<String> =
                cluster.groups.iter().map(|g| format!("`{}`", g.device.name)).collect();
            let (cluster, devices) = (cluster.spec.name, names.join(" and "));
            return Err(MachineError::MixedDevices { cluster, devices });
        }
        let device = first.device.clone();
        let nodes = Nodes::of(&cluster.spec);
        Ok(Machine { cluster: cluster.spec, nodes, device, devices })
    }

    /// The same with other nodes of the same devices, or with other memory on each.
    pub fn resized(&self, nodes: Vec<NodeGroupSpec>, memory: Bytes) -> Machine {
        let devices = nodes.iter().map(NodeGroupSpec::num_devices).sum();
        let cluster = ClusterSpec { nodes, ..self.cluster.clone() };
        let device = DeviceSpec { memory, ..self.device.clone() };
        let nodes = Nodes::of(&cluster);
        Machine { cluster, nodes, device, devices }
    }
}
