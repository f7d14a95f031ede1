//! Numbers of devices, and clusters of that size.

use crate::spec::NodeGroupSpec;
use crate::spec::cluster::MAX_DEVICES;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Why there is no cluster of a size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SizeError {
    /// More than one kind of node.
    #[error("cluster `{0}` has several node groups: give one of a single group, which is resized")]
    Groups(String),
    /// Not whole nodes.
    #[error(
        "{devices} devices are no whole number of nodes of {per_node} on `{cluster}`: the nearest are {below} and {above}"
    )]
    Nodes {
        /// The cluster.
        cluster: String,
        /// What was asked.
        devices: u64,
        /// Devices of a node.
        per_node: u64,
        /// The largest size below.
        below: u64,
        /// The smallest size above.
        above: u64,
    },
    /// Several nodes without a network.
    #[error(
        "cluster `{cluster}` is one node of {per_node} devices without a `network`, and {devices} devices need several nodes"
    )]
    Network {
        /// The cluster.
        cluster: String,
        /// What was asked.
        devices: u64,
        /// Devices of the node.
        per_node: u64,
    },
}

/// The node groups of `cluster` with `devices` devices in all: whole nodes, or a part of one.
///
/// # Errors
/// Several node groups, a part of a node beside whole ones, several nodes without a network.
pub fn resize(
    cluster: &crate::spec::ClusterSpec,
    devices: u64,
) -> Result<Vec<NodeGroupSpec>, SizeError> {
    let [group] = cluster.nodes.as_slice() else {
        return Err(SizeError::Groups(cluster.name.clone()));
    };
    let per_node = group.devices_per_node.max(1);
    if devices <= per_node {
        return Ok(vec![NodeGroupSpec {
            count: 1,
            devices_per_node: devices.max(1),
            ..group.clone()
        }]);
    }
    if cluster.network.is_none() {
        return Err(SizeError::Network { cluster: cluster.name.clone(), devices, per_node });
    }
    if !devices.is_multiple_of(per_node) {
        let below = devices / per_node * per_node;
        let (cluster, above) = (cluster.name.clone(), below + per_node);
        return Err(SizeError::Nodes { cluster, devices, per_node, below, above });
    }
    Ok(vec![NodeGroupSpec { count: devices / per_node, ..group.clone() }])
}

/// Numbers of devices: a list such as `64,96,128`, or a range such as `64..4096`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceCounts {
    /// As listed, in ascending order.
    List(Vec<u64>),
    /// Powers of two and half as much again, between both ends, which belong to it, as far as they
    /// are whole nodes.
    Range(u64, u64),
}

impl DeviceCounts {
    /// The numbers on a cluster whose nodes have `per_node` devices.
    pub fn of(&self, per_node: u64) -> Vec<u64> {
        let (low, high) = match self {
            DeviceCounts::List(counts) => return counts.clone(),
            DeviceCounts::Range(low, high) => (*low, *high),
        };
        let mut counts = vec![low, high];
        let mut power = 1_u64;
        while power <= high {
            counts.extend([power, power / 2 * 3]);
            power *= 2;
        }
        let whole = |count: &u64| *count < per_node || count.is_multiple_of(per_node);
        counts.retain(|count| {
            (low..=high).contains(count) && (whole(count) || *count == low || *count == high)
        });
        counts.sort_unstable();
        counts.dedup();
        counts
    }
}

impl FromStr for DeviceCounts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = |part: &str| -> Result<u64, String> {
            let wrong =
                || format!("`{part}` is no number of devices: write `64,96,128` or `64..4096`");
            let value: u64 = part.trim().parse().map_err(|_| wrong())?;
            if (1..=MAX_DEVICES).contains(&value) {
                Ok(value)
            } else {
                Err(format!("{value} devices are not between 1 and {MAX_DEVICES}"))
            }
        };
        if let Some((low, high)) = text.split_once("..") {
            let (low, high) = (count(low)?, count(high.trim_start_matches('='))?);
            return if low <= high {
                Ok(DeviceCounts::Range(low, high))
            } else {
                Err(format!("`{text}` is empty: write the smaller end first"))
            };
        }
        let mut counts = text.split(',').map(count).collect::<Result<Vec<u64>, String>>()?;
        counts.sort_unstable();
        counts.dedup();
        Ok(DeviceCounts::List(counts))
    }
}

impl fmt::Display for DeviceCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceCounts::Range(low, high) => write!(f, "{low}..{high}"),
            DeviceCounts::List(counts) => {
                let words: Vec<String> = counts.iter().map(u64::to_string).collect();
                f.write_str(&words.join(","))
            }
        }
    }
}
