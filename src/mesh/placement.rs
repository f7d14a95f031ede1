//! How groups of ranks fall on nodes.

use super::Nodes;

/// Placement of the groups of one kind (tensor, context, data) on a cluster.
///
/// Ranks are numbered tensor-parallel innermost, then context, data, pipeline, and fill one node
/// after another; a group of `size` ranks at distance `stride` holds the ranks
/// r, r + stride, …, r + (size - 1)·stride. Groups of one kind run at once and share the network
/// interfaces of the nodes they stand on. Where groups of one kind fall differently on the nodes,
/// this is the worst of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupPlacement {
    /// Ranks of the group.
    pub size: u64,
    /// The fewest ranks of the group on a node that it stands on.
    pub ranks_per_node: u64,
    /// Nodes that the group stands on.
    pub nodes: u64,
    /// Groups of this kind that share a node's interfaces at once.
    pub concurrent_per_node: u64,
    /// Nodes from the group's first to its last, those between included; decides which tiers of
    /// the network it crosses.
    pub node_span: u64,
    /// Distance between neighbours, in ranks.
    pub stride: u64,
}

impl GroupPlacement {
    /// The placement of the groups of `size` ranks at distance `stride`. Nodes of several kinds are
    /// taken as the smallest of them; on one node all groups are inside.
    pub fn new(nodes: &Nodes, size: u64, stride: u64) -> Self {
        let devices = nodes.smallest();
        if nodes.count() <= 1 {
            let (size, stride) = (size.max(1), stride.max(1));
            return Self::inside(devices, size, stride);
        }
        Self::on_nodes_of(devices, size, stride)
    }

    fn inside(devices: u64, size: u64, stride: u64) -> Self {
        GroupPlacement {
            size,
            ranks_per_node: size,
            nodes: 1,
            concurrent_per_node: (devices / size).max(1),
            node_span: 1,
            stride,
        }
    }

    /// The placement on nodes of `devices` devices.
    pub fn on_nodes_of(devices: u64, size: u64, stride: u64) -> Self {
        let (devices, size, stride) = (devices.max(1), size.max(1), stride.max(1));
        let extent = size.saturating_mul(stride);
        if extent <= devices && devices % extent == 0 {
            return Self::inside(devices, size, stride);
        }
        // Groups start at every multiple of their extent plus an offset under the stride. One that
        // fits into a node by its extent may still straddle a border. The pattern over the nodes
        // repeats, and the first and last offset are the extremes.
        let period = devices / greatest_common_divisor(extent % devices, devices);
        let mut worst: Option<(u64, u64, u64)> = None;
        for group in 0..period {
            for offset in [0, stride - 1] {
                let start = group.saturating_mul(extent).saturating_add(offset) % devices;
                let (fewest, nodes, span) = fall(devices, size, stride, start);
                worst = Some(match worst {
                    None => (fewest, nodes, span),
                    Some((f, n, s)) => (f.min(fewest), n.max(nodes), s.max(span)),
                });
            }
        }
        let (ranks_per_node, nodes, node_span) = worst.unwrap_or((1, size, size));
        GroupPlacement {
            size,
            ranks_per_node,
            nodes,
            concurrent_per_node: (devices / ranks_per_node.max(1)).max(1),
            node_span,
            stride,
        }
    }
}

const fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if a == 0 { b } else { greatest_common_divisor(b % a, a) }
}

/// Fewest ranks on a node, nodes, and span of nodes of the group that starts at place `start` of a
/// node of `devices` places.
fn fall(devices: u64, size: u64, stride: u64, start: u64) -> (u64, u64, u64) {
    let last = start.saturating_add((size - 1).saturating_mul(stride));
    let span = last / devices + 1;
    if stride >= devices {
        return (1, size, span);
    }
    // The first and the last node may hold fewer than those between.
    let first = (devices - start).div_ceil(stride).min(size);
    if span == 1 {
        return (size, 1, 1);
    }
    let offset = last % devices;
    let final_node = (offset / stride + 1).min(size);
    let between = if span > 2 { devices / stride } else { size };
    (first.min(final_node).min(between).max(1), span, span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(devices: u64, size: u64, stride: u64) -> (u64, u64, u64, u64) {
        let placement = GroupPlacement::on_nodes_of(devices, size, stride);
        let GroupPlacement { ranks_per_node, nodes, concurrent_per_node, node_span, .. } =
            placement;
        (ranks_per_node, nodes, concurrent_per_node, node_span)
    }

    #[test]
    fn groups_fall_on_nodes() {
        assert_eq!(on(8, 8, 1), (8, 1, 1, 1), "a tensor group fills a node");
        assert_eq!(on(8, 4, 1), (4, 1, 2, 1));
        assert_eq!(on(8, 2, 4), (2, 1, 4, 1));
        assert_eq!(on(8, 16, 1), (8, 2, 1, 2), "a tensor group over two nodes");
        assert_eq!(on(8, 16, 8), (1, 16, 8, 16), "data groups of one rank a node");
        assert_eq!(on(8, 16, 2), (4, 4, 2, 4));
        assert_eq!(on(8, 32, 1), (8, 4, 1, 4));
        assert_eq!(on(8, 4, 16), (1, 4, 8, 7), "every other node");
        assert_eq!(on(8, 1, 1), (1, 1, 8, 1));
    }

    #[test]
    fn uneven_groups_take_the_worst() {
        assert_eq!(on(8, 3, 1), (1, 2, 8, 2), "ranks 6, 7 | 8");
        assert_eq!(on(8, 6, 1), (2, 2, 4, 2), "ranks 6, 7 | 8 to 11");
        assert_eq!(on(8, 12, 1), (4, 2, 2, 2));
        assert_eq!(on(4, 6, 1), (2, 2, 2, 2));
    }

    #[test]
    fn every_rank_stands_somewhere() {
        for devices in [1, 2, 4, 6, 8, 16, 72] {
            for size in 1..40 {
                for stride in [1, 2, 3, 4, 8, 12, 16, 64] {
                    let p = GroupPlacement::on_nodes_of(devices, size, stride);
                    assert!(p.ranks_per_node >= 1 && p.nodes >= 1 && p.concurrent_per_node >= 1);
                    assert!(p.ranks_per_node * p.nodes <= size + p.nodes * devices, "{p:?}");
                    assert!(p.node_span >= p.nodes.min(size), "{p:?} on {devices}");
                    assert!(p.nodes <= size, "{p:?} on {devices}");
                }
            }
        }
    }
}
