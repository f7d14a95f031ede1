//! The cluster of a row.

use super::row::MeasuredRun;
use super::skip::Skip;
use crate::spec::cluster::{LinkKind, NETWORK_EFFICIENCY, NetworkSpec, NodeGroupSpec, Topology};
use crate::spec::{Cluster, ClusterSpec};
use crate::units::{BytesPerSecond, Seconds};

/// A device of the catalogue, by the words that sources use for it.
struct Known {
    /// Words that must all be there.
    words: &'static [&'static str],
    device: &'static str,
    link: LinkKind,
    /// Interfaces of a node and Gbit/s of each, where the row does not say: those of the vendor's
    /// reference node (DGX-1, DGX-2, DGX A100, DGX H100, NVL72).
    network: (u64, f64),
}

const fn known(
    words: &'static [&'static str],
    device: &'static str,
    link: LinkKind,
    network: (u64, f64),
) -> Known {
    Known { words, device, link, network }
}

/// More special ones first.
const KNOWN: [Known; 18] = [
    known(&["V100", "450W"], "v100-32gb-sxm3-450w", LinkKind::Nvlink2, (8, 100.0)),
    known(&["V100-SXM3"], "v100-32gb-sxm3", LinkKind::Nvlink2, (8, 100.0)),
    known(&["V100", "32GB"], "v100-32gb-sxm2", LinkKind::Nvlink2, (4, 100.0)),
    known(&["V100"], "v100-16gb-sxm2", LinkKind::Nvlink2, (4, 100.0)),
    known(&["A100", "PCI", "40"], "a100-40gb-pcie", LinkKind::Pcie4, (1, 200.0)),
    known(&["A100", "PCI"], "a100-80gb-pcie", LinkKind::Pcie4, (1, 200.0)),
    known(&["A100", "40GB"], "a100-40gb-sxm", LinkKind::Nvlink3, (8, 200.0)),
    known(&["A100"], "a100-80gb-sxm", LinkKind::Nvlink3, (8, 200.0)),
    known(&["H100", "96GB"], "h100-96gb-500w", LinkKind::Nvlink4, (8, 400.0)),
    known(&["H100", "PCI"], "h100-80gb-pcie", LinkKind::Pcie5, (1, 400.0)),
    known(&["H100"], "h100-80gb-sxm", LinkKind::Nvlink4, (8, 400.0)),
    known(&["H200"], "h200-141gb-sxm", LinkKind::Nvlink4, (8, 400.0)),
    known(&["GB200"], "gb200-186gb", LinkKind::Nvlink5, (1, 400.0)),
    known(&["GB300"], "gb300-279gb", LinkKind::Nvlink5, (1, 800.0)),
    known(&["B200"], "b200-180gb", LinkKind::Nvlink5, (8, 400.0)),
    known(&["B300"], "b300-288gb", LinkKind::Nvlink5, (8, 800.0)),
    known(&["MI250X"], "mi250x-gcd", LinkKind::InfinityFabric, (4, 200.0)),
    known(&["T4"], "t4", LinkKind::Pcie3, (1, 100.0)),
];

/// Share of four Omni-Path interfaces that all-reduces over nodes of Jean Zay reached: 3.6 to 13.6
/// GB/s of 50 (bigscience-workshop/bigscience, `experiments/bandwidth`).
const OMNI_PATH_EFFICIENCY: f64 = 0.25;

/// Devices of a rack that are used as one NVLink domain: 72, of which powers of two are taken.
const RACK: u64 = 64;

fn device(row: &MeasuredRun) -> Result<&'static Known, Skip> {
    let has = |known: &&Known| known.words.iter().all(|word| row.hardware.contains(word));
    KNOWN.iter().find(has).ok_or_else(|| Skip::Device(row.hardware.clone()))
}

/// The cluster that a row ran on: as many nodes as its devices fill.
///
/// # Errors
/// A device that is not known, or no number of devices.
pub fn cluster(row: &MeasuredRun) -> Result<Cluster, Skip> {
    let known = device(row)?;
    if row.hardware.contains("power limited") {
        return Err(Skip::NotGiven("power limit of the device"));
    }
    let devices = row.gpus.ok_or(Skip::NotGiven("number of devices"))?;
    let rack = row.hardware.contains("NVL72");
    let mut network = interfaces(&row.interconnect).unwrap_or(known.network);
    let per_node = if rack {
        // One interface a device.
        network = (known.network.0 * devices.min(RACK), known.network.1);
        if devices <= 72 { devices } else { RACK }
    } else {
        row.gpus_per_node.unwrap_or(8).min(devices)
    };
    let count = devices.div_ceil(per_node.max(1));
    let (nics, rate) = network;
    let spec = ClusterSpec {
        name: format!("{} of {}", devices, row.hardware),
        nodes: vec![NodeGroupSpec {
            count,
            devices_per_node: per_node,
            device: known.device.to_owned(),
            intra_node: known.link,
        }],
        network: (count > 1).then(|| NetworkSpec {
            nics_per_node: nics,
            bandwidth_per_nic: BytesPerSecond::new(rate * 1e9 / 8.0),
            latency: Seconds::new(5e-6),
            efficiency: if nics > 1 && row.interconnect.contains("Omni-Path") {
                OMNI_PATH_EFFICIENCY
            } else {
                NETWORK_EFFICIENCY
            },
            topology: Topology::FatTree,
            tiers: Vec::new(),
            in_network_reduction: false,
        }),
        price_per_device_hour: None,
        host_power_per_device: None,
        failures_per_device: None,
        recovery: None,
        source: None,
    };
    Cluster::resolve(spec, crate::spec::catalog::built_in())
        .map_err(|error| Skip::Refused(error.to_string().lines().next().unwrap_or("").to_owned()))
}

/// Interfaces of a node and Gbit/s of each, as a text says them: `8x200Gb/s`, `4 Omni-Path links
/// (100 Gb/s each)`, `800 Gb/s per node`, `400Gb/s per GPU`. The first rate that is not that of a
/// storage or management interface counts.
fn interfaces(text: &str) -> Option<(u64, f64)> {
    let lower = text.to_lowercase().replace("gbps", "gb/s").replace("gb/sec", "gb/s");
    let mut best: Option<(u64, f64)> = None;
    for (at, _) in lower.match_indices("gb/s") {
        let before = lower[..at].trim_end();
        let digits = trailing_digits(before);
        let Ok(rate) = digits.parse::<f64>() else { continue };
        let head = before[..before.len() - digits.len()].trim_end();
        // The clause that the rate stands in.
        let clause = head.rsplit([';', ':', ',']).next().unwrap_or(head);
        let after = &lower[at..];
        let count = multiplier(clause)
            .or_else(|| after.starts_with("gb/s per gpu").then_some(8))
            .or_else(|| links(clause))
            .unwrap_or(1);
        let found = (count, rate);
        if best.is_none_or(|(n, r)| found.0 as f64 * found.1 > n as f64 * r) {
            best = Some(found);
        }
    }
    best
}

/// The digits that a text ends with.
fn trailing_digits(text: &str) -> &str {
    let rest = text.trim_end_matches(|letter: char| letter.is_ascii_digit());
    &text[rest.len()..]
}

/// The number before an `x`: 8 of `8x ConnectX-7 InfiniBand`.
fn multiplier(clause: &str) -> Option<u64> {
    clause.match_indices('x').find_map(|(at, _)| trailing_digits(&clause[..at]).parse().ok())
}

/// The number before `omni-path links`.
fn links(clause: &str) -> Option<u64> {
    let at = clause.find("omni-path links")?;
    clause[..at].split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_as_sources_write_them() {
        for (text, expected) in [
            ("8xA100-80GB NVLink per node (DGX A100), 8x200Gb/s HDR InfiniBand", Some((8, 200.0))),
            (
                "8xA100-80GB per node, NVLink, 4 Omni-Path links per node (100 Gb/s each; rate",
                Some((4, 100.0)),
            ),
            ("8xA100 NVSwitch per node, inter-node 800 Gb/s per node", Some((1, 800.0))),
            ("1600 Gbps node-node (RoCE)", Some((1, 1600.0))),
            ("NVLink per host, RDMA 400Gb/s per GPU (Meta Grand Teton)", Some((8, 400.0))),
            (
                "Management: 1x Bluefield-2 DPU Ethernet 100Gb/Sec, Compute: 8x ConnectX-7 InfiniBand NDR 400Gb/Sec",
                Some((8, 400.0)),
            ),
            ("Jean Zay V100: 4 GPUs/node NVLink2, Omni-Path 100Gb/s (2 nodes)", Some((1, 100.0))),
            (
                "DGX-1V: NVLink2 hybrid cube mesh, 4x EDR 100Gb/s InfiniBand per node",
                Some((4, 100.0)),
            ),
            ("single node NVLink/NVSwitch", None),
        ] {
            assert_eq!(interfaces(text), expected, "{text}");
        }
    }
}
