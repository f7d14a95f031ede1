//! What bandwidth and latency ranks have between nodes.

use crate::spec::NetworkSpec;
use crate::units::{BytesPerSecond, Seconds};

/// The network as one node sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NodeNetwork {
    /// Bandwidth of all interfaces of a node in one direction, before oversubscription.
    pub(crate) bandwidth: BytesPerSecond,
    /// Latency from node to node.
    pub(crate) latency: Seconds,
    /// Whether switches reduce.
    pub(crate) in_network_reduction: bool,
}

impl NodeNetwork {
    /// What a node's share of the network is towards nodes at most `span` away: the interfaces'
    /// bandwidth over the oversubscription of every tier that has to be crossed.
    pub(crate) fn towards(network: &NetworkSpec, span: u64) -> Self {
        let crossed = network.tiers.iter().filter(|tier| span > tier.nodes);
        let taper: f64 = crossed.map(|tier| tier.oversubscription.max(1.0)).product();
        let bandwidth =
            network.bandwidth_per_nic * network.nics_per_node as f64 * network.efficiency;
        NodeNetwork {
            bandwidth: bandwidth / taper,
            latency: network.latency,
            in_network_reduction: network.in_network_reduction,
        }
    }
}
