//! Clusters.

use super::Findings;
use crate::spec::catalog::Kind;
use crate::spec::cluster::{ClusterSpec, MAX_DEVICES, NetworkSpec, RecoverySpec, Topology};
use crate::spec::diagnostic::Finding;
use crate::spec::load::Document;

const SIZE: &str = "cluster::size";

impl Document for ClusterSpec {
    const KIND: Kind = Kind::Cluster;

    fn findings(&self) -> Vec<Finding> {
        let mut found = Findings::default();
        found.name("cluster::name", &self.name);
        groups(self, &mut found);
        if let Some(network) = &self.network {
            network_findings(network, &mut found);
        }
        if let Some(price) = self.price_per_device_hour.filter(|price| price.get() > 1e6) {
            let message = format!("`price_per_device_hour` is {price}");
            let finding = Finding::new(SIZE, "price_per_device_hour", message);
            found.add(finding.help("is it the price of the whole cluster?"));
        }
        if let Some(power) = self.host_power_per_device.filter(|power| power.get() > 1e6) {
            let message = format!("`host_power_per_device` is {power}");
            let finding = Finding::new(SIZE, "host_power_per_device", message);
            found.add(finding.help("is it the power of the whole cluster?"));
        }
        if let Some(rate) = self.failures_per_device.filter(|rate| rate.get() > 1000.0) {
            let message = format!("`failures_per_device` is {rate}: no job would ever run");
            found.add(Finding::new(SIZE, "failures_per_device", message));
        }
        if let Some(recovery) = &self.recovery {
            recovery_findings(recovery, &mut found);
        }
        found.into_vec()
    }
}

fn recovery_findings(recovery: &RecoverySpec, found: &mut Findings) {
    let mut positive = |name: &str, value: f64, most: f64, text: String| {
        found.positive(SIZE, format!("recovery/{name}"), value, most, &text);
    };
    let node = recovery.bandwidth_per_node;
    positive("bandwidth_per_node", node.get(), 1e15, node.to_string());
    if let Some(all) = recovery.bandwidth {
        positive("bandwidth", all.get(), 1e18, all.to_string());
    }
    for (name, time) in
        [("restart_time", recovery.restart_time), ("repair_time", recovery.repair_time)]
    {
        positive(name, time.get(), 1e8, time.to_string());
    }
}

fn groups(cluster: &ClusterSpec, found: &mut Findings) {
    if cluster.nodes.is_empty() {
        let help = "add one, such as `- {count: 8, devices_per_node: 8, device: a100-80gb-sxm, intra_node: nvlink3}`";
        let finding = Finding::new("cluster::nodes", "nodes", "`nodes` has no group of nodes");
        return found.add(finding.help(help));
    }
    let (mut nodes, mut devices) = (0_u64, 0_u64);
    for (index, group) in cluster.nodes.iter().enumerate() {
        found.count(SIZE, format!("nodes/{index}/count"), group.count, 1, MAX_DEVICES);
        let path = format!("nodes/{index}/devices_per_node");
        found.count(SIZE, path, group.devices_per_node, 1, 10_000);
        nodes = nodes.saturating_add(group.count);
        devices = devices.saturating_add(group.count.saturating_mul(group.devices_per_node));
    }
    if devices > MAX_DEVICES && cluster.nodes.iter().all(|group| group.count <= MAX_DEVICES) {
        let message = format!(
            "the cluster has {devices} devices, beyond the {MAX_DEVICES} that are planned for"
        );
        found.add(Finding::new(SIZE, "nodes", message));
    }
    if nodes > 1 && cluster.network.is_none() {
        let message = format!("the cluster has {nodes} nodes and no `network` between them");
        let help = "add `network: {nics_per_node: 8, bandwidth_per_nic: 200 Gbit/s, latency: 5 us, topology: fat-tree}`";
        found.add(Finding::new("cluster::network", "nodes", message).help(help));
    }
}

fn network_findings(network: &NetworkSpec, found: &mut Findings) {
    found.count(SIZE, "network/nics_per_node", network.nics_per_node, 1, 10_000);
    let bandwidth = network.bandwidth_per_nic;
    let path = "network/bandwidth_per_nic";
    found.positive(SIZE, path, bandwidth.get(), 1e15, &bandwidth.to_string());
    let latency = network.latency;
    found.positive(SIZE, "network/latency", latency.get(), 10.0, &latency.to_string());
    if network.topology == Topology::Oversubscribed && network.tiers.is_empty() {
        let message = "an oversubscribed network needs its `tiers`";
        let help = "add `tiers: [{nodes: 16, oversubscription: 2}]` to the network";
        found.add(Finding::new("cluster::tiers", "network/topology", message).help(help));
    }
    let mut below = 0;
    for (index, tier) in network.tiers.iter().enumerate() {
        let path = format!("network/tiers/{index}/nodes");
        found.count(SIZE, path.as_str(), tier.nodes, 1, MAX_DEVICES);
        if tier.nodes <= below && tier.nodes > 0 {
            let message = format!(
                "a switch of this tier has {} nodes under it, no more than one of the tier below ({below})",
                tier.nodes
            );
            let finding = Finding::new("cluster::tiers", path, message);
            found.add(finding.help("list the tiers from the lowest"));
        }
        below = tier.nodes;
        if !(1.0..=1e6).contains(&tier.oversubscription) {
            let path = format!("network/tiers/{index}/oversubscription");
            let message = format!(
                "`oversubscription` is {}, not bandwidth below over bandwidth above, which is at least 1",
                tier.oversubscription
            );
            found.add(Finding::new("cluster::tiers", path, message));
        }
    }
}
