//! A cluster with what ranks ask of it.

use crate::mesh::Nodes;
use crate::spec::{Cluster, ClusterSpec, DeviceSpec, NodeGroup, NodeGroupSpec};
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
    /// The devices of the cluster's nodes talk over several kinds of links.
    #[error(
        "nodes with more than one kind of link in cluster `{cluster}` are not planned yet: plan for those with {links} on their own"
    )]
    MixedLinks {
        /// The cluster.
        cluster: String,
        /// Names of the links.
        links: String,
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
    /// A cluster with devices or links of several kinds, or without devices.
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
        let mut linked = cluster.groups.iter().filter(|group| group.spec.devices_per_node > 1);
        let device = linked.next().unwrap_or(first).device.clone();
        if linked.any(|group| group.device.link != device.link) {
            let name = |g: &NodeGroup| format!("`{}`", g.spec.intra_node.name());
            let links: Vec<String> = cluster.groups.iter().map(name).collect();
            let (cluster, links) = (cluster.spec.name, links.join(" and "));
            return Err(MachineError::MixedLinks { cluster, links });
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn nodes_of_one_device_and_several_links_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let machine = |second: &str, devices: u64| {
            let text = format!(
                "name: two\nnodes:\n  - {{count: 1, devices_per_node: {devices}, device: \
                 a100-80gb-sxm, intra_node: nvlink3}}\n  - {{count: 1, devices_per_node: 8, device: \
                 a100-80gb-sxm, intra_node: {second}}}\nnetwork: {{nics_per_node: 1, \
                 bandwidth_per_nic: 25 GB/s, latency: 5 us, topology: fat-tree}}\n"
            );
            let path = folder.path().join("two.yaml");
            std::fs::write(&path, text).unwrap();
            let (cluster, _) = Cluster::load("two.yaml", Path::new(folder.path())).unwrap();
            Machine::new(cluster)
        };
        assert_eq!(machine("nvlink3", 8).unwrap().devices, 16);
        let error = machine("pcie4", 8).unwrap_err().to_string();
        assert!(error.contains("`nvlink3` and `pcie4`"), "{error}");
        // One device alone talks over no link of its node.
        let alone = machine("pcie4", 1).unwrap();
        assert_eq!(alone.device.link.unwrap().name, "pcie4");
    }
}
