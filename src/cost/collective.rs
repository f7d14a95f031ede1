//! Times of collectives and of point-to-point transfers.

use super::measured_collectives::CollectiveTable;
use super::topology::NodeNetwork;
use crate::graph::Collective;
use crate::mesh::{GroupPlacement, Nodes};
use crate::spec::{ClusterSpec, DeviceSpec, LinkSpec};
use crate::units::{Bytes, BytesPerSecond, Seconds, SimTime};

/// Share of its bandwidth that a tree reaches against a ring: NCCL's own tuning takes 0.8 to 1.0 for
/// messages from 32 MiB and less for smaller ones, where latency rules anyway (NVIDIA/nccl,
/// `src/graph/tuning.cc`, `treeCorrectionFactor`).
const TREE_EFFICIENCY: f64 = 0.85;

/// Link of devices that have none of their own: through the host, by its data sheet.
const HOST_HOP: Seconds = Seconds::new(2e-6);

/// Times of collectives on one cluster of one device.
///
/// Inside a node what was measured on the device itself, where that was, else
/// T = launch + hops·α + w/β by the quicker of a low-latency and a bulk protocol, where w are the
/// bytes that a rank sends, its own part counted at the price of a copy. Across nodes a ring or a tree over the nodes runs beside the one inside each: the time is the larger
/// of the two streams, and latencies add. All-reduce takes the best of ring, tree, reduction in
/// the node's switch and in the network (Thakur et al. 2005 for the volumes; NVIDIA/nccl
/// `src/graph/tuning.cc` for the form). Ignored: contention between groups of different kinds,
/// which the simulator's streams have.
///
/// Against 1,470 measured collectives of one node: median error at most 9 %, nine tenths within 30 %;
/// all-reduce over four nodes within 40 % at every size and 10 % from 64 MiB.
/// `tests/it/cost_calibration.rs` asserts these.
#[derive(Debug, Clone)]
pub struct CollectiveModel {
    link: LinkSpec,
    /// Collectives that were measured, inside a node.
    measured: CollectiveTable,
    /// Bandwidth between a device and its network interface.
    host: f64,
    cluster: ClusterSpec,
    devices_per_node: u64,
}

/// What each further hop adds to the latency of the bulk protocol, which synchronises every one, as a
/// share of the first's. NCCL's own model has such a term (`tuning.cc`, a base latency and one for each
/// step); the value is an assumption, within what `tests/it/cost_calibration.rs` allows.
const HOP_SHARE: f64 = 0.1;

/// Rings for each rank of a node without a switch, over which neighbours are reached: four of eight on
/// the hybrid cube mesh of the V100 (NVIDIA DGX-1 system architecture, 2017); a floor for full meshes.
const RINGS_PER_RANK: f64 = 0.5;

/// Levels of a binary tree over so many members: the logarithm to base two, rounded up.
const fn tree_depth(members: u64) -> f64 {
    (u64::BITS - members.saturating_sub(1).leading_zeros()) as f64
}

impl CollectiveModel {
    /// The model of a cluster, with the link of its device.
    pub fn new(cluster: &ClusterSpec, device: &DeviceSpec) -> Self {
        let link = device.link.clone().unwrap_or_else(|| LinkSpec {
            name: "host".into(),
            bandwidth: device.host_bandwidth,
            latency: HOST_HOP,
            pair_bandwidth: None,
            collectives: Default::default(),
        });
        CollectiveModel {
            link,
            measured: CollectiveTable::of(device),
            host: device.host_bandwidth.get(),
            cluster: cluster.clone(),
            devices_per_node: Nodes::of(cluster).smallest(),
        }
    }

    /// Time of a collective over a group placed so. A group of one rank takes none; no bytes take
    /// the latency.
    pub fn collective_time(
        &self,
        collective: Collective,
        bytes: Bytes,
        group: &GroupPlacement,
    ) -> SimTime {
        if group.size <= 1 {
            return SimTime::ZERO;
        }
        let size = bytes.as_f64();
        let seconds = if group.nodes <= 1 {
            let measured = self.measured.seconds(collective, size, group.size);
            measured.unwrap_or_else(|| self.inside(collective, size, group.size))
        } else {
            self.across(collective, size, group)
        };
        SimTime::from_seconds(Seconds::new(seconds))
    }

    /// Time to send `bytes` from one rank to one other, while `sharing` ranks of the node send
    /// through the same interfaces.
    pub fn point_to_point_time(&self, bytes: Bytes, same_node: bool, sharing: u64) -> SimTime {
        let constants = &self.link.collectives;
        let launch = constants.launch.get() + self.link.latency.get();
        let size = bytes.as_f64();
        let seconds = if same_node || self.cluster.network.is_none() {
            let pair = self.link.pair_bandwidth.unwrap_or(self.link.bandwidth).get();
            let measured = self.measured.message(size);
            measured.unwrap_or_else(|| self.quicker(launch, 1.0, size, pair))
        } else {
            let network = self.network(2);
            let share = network.bandwidth.get() / sharing.max(1) as f64;
            launch + network.latency.get() + size / share.min(self.host * NIC_EFFICIENCY)
        };
        SimTime::from_seconds(Seconds::new(seconds))
    }

    fn network(&self, span: u64) -> NodeNetwork {
        match &self.cluster.network {
            Some(network) => NodeNetwork::towards(network, span),
            // Nodes without a network between them can not talk; the host's link stands in, so
            // that a wrong file gives a slow plan rather than a free one.
            None => NodeNetwork {
                bandwidth: BytesPerSecond::new(self.host),
                latency: Seconds::new(1e-4),
                in_network_reduction: false,
            },
        }
    }

    /// The quicker of the two protocols, over a link of `bandwidth`, for `wire` bytes.
    fn quicker(&self, latency: f64, hops: f64, wire: f64, bandwidth: f64) -> f64 {
        let constants = &self.link.collectives;
        let low = latency + wire / (bandwidth * constants.low_latency_efficiency);
        let bulk_latency = constants.bulk_latency.get() * (1.0 + HOP_SHARE * (hops - 1.0));
        let bulk = latency + bulk_latency + wire / (bandwidth * constants.efficiency);
        low.min(bulk)
    }

    /// Bandwidth of the rings of `ranks` devices of a node. Without a switch each rank reaches
    /// its neighbours over part of its lanes.
    fn ring_bandwidth(&self, ranks: f64) -> f64 {
        let link = self.link.bandwidth.get();
        self.link.pair_bandwidth.map_or(link, |pair| link.min(pair.get() * ranks * RINGS_PER_RANK))
    }

    /// Seconds inside one node.
    fn inside(&self, collective: Collective, size: f64, ranks: u64) -> f64 {
        let constants = &self.link.collectives;
        let n = ranks as f64;
        let bandwidth = self.ring_bandwidth(n);
        let launch = constants.launch.get();
        let hop = self.link.latency.get();
        let own = constants.own_part_cost / n;
        let part = size * ((n - 1.0) / n + own);
        let ring = |hops: f64, wire: f64| self.quicker(launch + hops * hop, hops, wire, bandwidth);
        match collective {
            Collective::AllReduce => {
                let wire = size * (2.0 * (n - 1.0) / n + own);
                let depth = 2.0 * tree_depth(ranks);
                let tree = launch
                    + depth * hop
                    + wire / (bandwidth * constants.low_latency_efficiency * TREE_EFFICIENCY);
                let best = ring(2.0 * (n - 1.0), wire).min(tree);
                match constants.switch_reduction_efficiency {
                    // Each rank sends all parts once and gets its own reduced (NVLink SHARP).
                    Some(efficiency) => best.min(
                        launch
                            + depth * hop
                            + constants.bulk_latency.get()
                            + size * (1.0 + 1.0 / n) / (bandwidth * efficiency),
                    ),
                    None => best,
                }
            }
            Collective::ReduceScatter | Collective::AllGather => ring(n - 1.0, part),
            Collective::AllToAll => ring(1.0, part),
            Collective::Broadcast => ring(n - 1.0, size),
        }
    }

    /// Seconds over several nodes.
    fn across(&self, collective: Collective, size: f64, group: &GroupPlacement) -> f64 {
        let constants = &self.link.collectives;
        let network = self.network(group.node_span);
        let (n, nodes) = (group.size as f64, group.nodes as f64);
        let ranks = group.ranks_per_node as f64;
        // The group's share of its nodes' interfaces, and no more than its ranks can feed.
        let share = network.bandwidth.get() / group.concurrent_per_node.max(1) as f64;
        let wire = share.min(ranks * self.host * NIC_EFFICIENCY);
        let link = if ranks > 1.0 {
            self.link.bandwidth.get() * constants.efficiency
        } else {
            f64::INFINITY
        };
        let flow = |volume: f64| volume / wire.min(link);
        let launch = constants.launch.get() + constants.bulk_latency.get();
        let (hop, far) = (self.link.latency.get(), network.latency.get());
        let near_ring = (ranks - 1.0) * nodes * hop;
        let near_tree = tree_depth(group.ranks_per_node) * hop;
        let far_ring = (nodes - 1.0) * far;
        let far_tree = tree_depth(group.nodes) * far;
        let outside = (n - ranks) / n;
        match collective {
            Collective::AllReduce => {
                let volume = 2.0 * size * (n - 1.0) / n;
                let ring = 2.0 * (near_ring + far_ring) + flow(volume);
                let tree = 2.0 * (near_tree + far_tree) + flow(2.0 * size) / TREE_EFFICIENCY;
                let best = ring.min(tree);
                let best = if network.in_network_reduction {
                    best.min(2.0 * (near_tree + far_tree) + flow(size * (1.0 + 1.0 / n)))
                } else {
                    best
                };
                launch + best
            }
            Collective::ReduceScatter | Collective::AllGather => {
                // Rings inside the nodes beside rings of like ranks between them.
                let hierarchy = (ranks - 1.0) * hop + far_ring;
                launch + (near_ring + far_ring).min(hierarchy) + flow(size * (n - 1.0) / n)
            }
            Collective::AllToAll => {
                // All ranks of a node send what leaves it through the node's share.
                let leaving = ranks * size * outside / wire;
                let staying = size * (ranks - 1.0).max(0.0) / n / link;
                launch + hop + far + leaving.max(staying)
            }
            Collective::Broadcast => launch + near_tree + far_tree + flow(size),
        }
    }

    /// Devices of a node.
    pub fn devices_per_node(&self) -> u64 {
        self.devices_per_node
    }
}

/// Share of PCI Express between device and interface that RDMA reaches: 26 of 31.5 GB/s of a
/// fourth-generation x16 slot, by transaction overhead (Neugebauer et al. 2018, section 3).
const NIC_EFFICIENCY: f64 = 0.83;
