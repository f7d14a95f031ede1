//! Nodes, and where the devices of ranks stand on them.

use crate::spec::ClusterSpec;
use std::ops::Range;

/// The nodes of a cluster, in the order in which ranks fill them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// For each group of like nodes, how many there are and the devices of one.
    groups: Vec<(u64, u64)>,
}

/// Where a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Group of like nodes.
    pub group: usize,
    /// Node within the group.
    pub node_in_group: u64,
    /// Node, counted over all groups.
    pub node: u64,
    /// Device within the node.
    pub device: u64,
}

impl Nodes {
    /// Those of a cluster.
    pub fn of(cluster: &ClusterSpec) -> Nodes {
        let group = |group: &crate::spec::NodeGroupSpec| (group.count, group.devices_per_node);
        Nodes { groups: cluster.nodes.iter().map(group).filter(|(_, each)| *each > 0).collect() }
    }

    /// Nodes in all.
    pub fn count(&self) -> u64 {
        self.groups.iter().fold(0, |sum, (count, _)| sum.saturating_add(*count))
    }

    /// Devices of the smallest node, which all are taken for where groups of ranks are placed.
    pub fn smallest(&self) -> u64 {
        self.groups.iter().map(|(_, each)| *each).min().unwrap_or(1)
    }

    /// Devices of the largest node.
    pub fn largest(&self) -> u64 {
        self.groups.iter().map(|(_, each)| *each).max().unwrap_or(1)
    }

    /// Where the device of a rank stands; nothing beyond the last.
    pub fn place(&self, rank: u64) -> Option<Place> {
        let (mut first, mut node) = (0u64, 0);
        for (group, (count, each)) in self.groups.iter().enumerate() {
            let devices = count.saturating_mul(*each);
            if rank - first < devices {
                let (node_in_group, device) = ((rank - first) / each, (rank - first) % each);
                return Some(Place { group, node_in_group, node: node + node_in_group, device });
            }
            first = first.saturating_add(devices);
            node += count;
        }
        None
    }

    /// Ranks on each node that the first `ranks` ranks use, in order.
    pub fn filled(&self, ranks: u64) -> Vec<u64> {
        let mut left = ranks;
        let each = self.groups.iter().flat_map(|(count, each)| (0..*count).map(|_| *each));
        let mut filled = Vec::new();
        for devices in each {
            if left == 0 {
                break;
            }
            filled.push(devices.min(left));
            left = left.saturating_sub(devices);
        }
        filled
    }

    /// The devices of neighbouring ranks, as plan files write them: `group0/nodes[0..2]`, or
    /// `group0/nodes[3]/devices[4..8]` for a part of a node; several runs of them with a comma.
    pub fn devices(&self, ranks: Range<u64>) -> String {
        let mut runs: Vec<String> = Vec::new();
        let mut start = 0u64;
        for (group, (count, each)) in self.groups.iter().enumerate() {
            let end = start.saturating_add(count.saturating_mul(*each));
            let (low, high) = (ranks.start.max(start), ranks.end.min(end));
            if low < high {
                runs.extend(runs_of(group, *each, low - start..high - start));
            }
            start = end;
        }
        runs.join(", ")
    }
}

/// Runs of devices of one group of like nodes with `each` devices.
fn runs_of(group: usize, each: u64, devices: Range<u64>) -> Vec<String> {
    let part = |node: u64, devices: Range<u64>| {
        format!("group{group}/nodes[{node}]/devices[{}..{}]", devices.start, devices.end)
    };
    let (mut low, high) = (devices.start, devices.end);
    let mut runs = Vec::new();
    if low % each > 0 {
        let end = high.min(low.next_multiple_of(each));
        runs.push(part(low / each, low % each..(end - 1) % each + 1));
        low = end;
    }
    let (first, end) = (low / each, high / each);
    match end.saturating_sub(first) {
        0 => {}
        1 => runs.push(format!("group{group}/nodes[{first}]")),
        _ => runs.push(format!("group{group}/nodes[{first}..{end}]")),
    }
    if low < high && high % each > 0 {
        runs.push(part(end, 0..high % each));
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(groups: &[(u64, u64)]) -> Nodes {
        Nodes { groups: groups.to_vec() }
    }

    #[test]
    fn devices_are_named_by_group_and_node() {
        let alike = nodes(&[(4, 8)]);
        for (ranks, named) in [
            (0..8, "group0/nodes[0]"),
            (8..24, "group0/nodes[1..3]"),
            (4..8, "group0/nodes[0]/devices[4..8]"),
            (9..11, "group0/nodes[1]/devices[1..3]"),
            (6..12, "group0/nodes[0]/devices[6..8], group0/nodes[1]/devices[0..4]"),
            (
                4..28,
                "group0/nodes[0]/devices[4..8], group0/nodes[1..3], group0/nodes[3]/devices[0..4]",
            ),
        ] {
            assert_eq!(alike.devices(ranks.clone()), named, "{ranks:?}");
        }
        // A node of 8 and two of 4.
        let mixed = nodes(&[(1, 8), (2, 4)]);
        for (ranks, named) in [
            (0..4, "group0/nodes[0]/devices[0..4]"),
            (8..12, "group1/nodes[0]"),
            (12..16, "group1/nodes[1]"),
            (4..12, "group0/nodes[0]/devices[4..8], group1/nodes[0]"),
        ] {
            assert_eq!(mixed.devices(ranks.clone()), named, "{ranks:?}");
        }
    }

    #[test]
    fn every_rank_has_the_place_that_its_node_is_filled_with() {
        let mixed = nodes(&[(1, 8), (2, 4), (1, 2)]);
        assert_eq!((mixed.count(), mixed.smallest(), mixed.largest()), (4, 2, 8));
        assert_eq!(mixed.filled(18), [8, 4, 4, 2]);
        assert_eq!(mixed.filled(13), [8, 4, 1]);
        let mut rank = 0;
        for (node, devices) in mixed.filled(18).into_iter().enumerate() {
            for device in 0..devices {
                let place = mixed.place(rank).unwrap();
                assert_eq!((place.node, place.device), (node as u64, device));
                rank += 1;
            }
        }
        assert_eq!(mixed.place(18), None);
    }
}
