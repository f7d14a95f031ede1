//! Measured kernels and collectives, how far the models are from them, and the search for the
//! constants that bring them nearest.

use super::{CollectiveModel, DeviceModel};
use crate::graph::{Collective, GemmPass, Kernel, PassKind};
use crate::mesh::GroupPlacement;
use crate::spec::{ClusterSpec, DeviceSpec, LinkKind, NodeGroupSpec, Precision};
use crate::units::{Bytes, Seconds};

/// One measured kernel.
#[derive(Debug, Clone)]
pub struct MeasuredKernel {
    /// Device, in the table's words.
    pub device: String,
    /// What ran.
    pub kernel: Kernel,
    /// Bytes that the measured program read and wrote beside the kernel.
    pub beside: Bytes,
    /// How long it took, all together.
    pub time: Seconds,
}

/// One measured collective inside a node.
#[derive(Debug, Clone)]
pub struct MeasuredCollective {
    /// Device, in the table's words.
    pub device: String,
    /// What ran.
    pub collective: Collective,
    /// Ranks.
    pub ranks: u64,
    /// Size, as [`Collective`] defines it.
    pub bytes: Bytes,
    /// How long it took.
    pub time: Seconds,
}

impl MeasuredKernel {
    /// What the model says of it, the bytes beside it included.
    pub fn predicted(&self, model: &DeviceModel) -> Seconds {
        let kernel = model.kernel_time(&self.kernel);
        if self.beside == Bytes::ZERO {
            return kernel.seconds();
        }
        let copy = Kernel::Memory {
            pass: PassKind::Copy,
            read: self.beside,
            written: Bytes::ZERO,
            launches: 1,
        };
        (kernel + model.kernel_time(&copy)).seconds()
    }

    /// Bytes of a product that does little but read one large operand; none for other kernels.
    pub fn streamed_bytes(&self) -> Option<f64> {
        match self.kernel {
            Kernel::Gemm { m, n, k, operand_bytes, result_bytes, .. }
                if m <= 64 && n.saturating_mul(k) >= 100_000_000 =>
            {
                let (m, n, k) = (m as f64, n as f64, k as f64);
                Some((m * k + n * k) * operand_bytes as f64 + m * n * result_bytes as f64)
            }
            _ => None,
        }
    }
}

impl MeasuredCollective {
    /// What the model says of it.
    pub fn predicted(&self, model: &CollectiveModel) -> Seconds {
        let group = GroupPlacement::on_nodes_of(self.ranks, self.ranks, 1);
        model.collective_time(self.collective, self.bytes, &group).seconds()
    }
}

/// A cluster of one node, for collectives that stay inside.
pub fn one_node(device: &str, devices_per_node: u64) -> ClusterSpec {
    ClusterSpec {
        name: device.into(),
        nodes: vec![NodeGroupSpec {
            count: 1,
            devices_per_node,
            device: device.into(),
            intra_node: LinkKind::SharedMemory,
        }],
        network: None,
        price_per_device_hour: None,
        host_power_per_device: None,
        failures_per_device: None,
        recovery: None,
        source: None,
    }
}

/// The shortest of a product's three sides; zero for other kernels.
pub fn shortest_side(kernel: &Kernel) -> u64 {
    match *kernel {
        Kernel::Gemm { m, n, k, .. } => m.min(n).min(k),
        _ => 0,
    }
}

/// The cells of a table without quoted commas, row by row, under the columns asked for. A row
/// that lacks one of them is left out.
fn rows<'a, const N: usize>(
    text: &'a str,
    columns: [&str; N],
) -> impl Iterator<Item = [&'a str; N]> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or("").split(',').collect();
    let places = columns.map(|column| header.iter().position(|name| *name == column));
    lines.filter_map(move |line| {
        let cells: Vec<&str> = line.split(',').collect();
        let mut row = [""; N];
        for (cell, place) in row.iter_mut().zip(places) {
            *cell = cells.get(place?).copied()?;
        }
        Some(row)
    })
}

/// Reads a table of matrix products in bfloat16: `gpu, m, n, k, latency_ms`.
pub fn read_products(text: &str) -> Vec<MeasuredKernel> {
    let parse = |[device, m, n, k, time]: [&str; 5]| {
        Some(MeasuredKernel {
            device: device.into(),
            kernel: Kernel::Gemm {
                batch: 1,
                m: m.parse().ok()?,
                n: n.parse().ok()?,
                k: k.parse().ok()?,
                operand_bytes: 2,
                result_bytes: 2,
                accumulate: false,
                pass: GemmPass::Forward,
            },
            beside: Bytes::ZERO,
            time: Seconds::new(time.parse::<f64>().ok()? * 1e-3),
        })
    };
    rows(text, ["gpu", "m", "n", "k", "latency_ms"]).filter_map(parse).collect()
}

/// Reads a table of causal fused attention in bfloat16: `gpu, batch_size, sequence_length,
/// num_heads, num_kv_heads, head_dim, latency_ms`. The table times a serving engine, which also
/// copies keys and values into its paged cache.
pub fn read_attention(text: &str) -> Vec<MeasuredKernel> {
    let columns = [
        "gpu",
        "batch_size",
        "sequence_length",
        "num_heads",
        "num_kv_heads",
        "head_dim",
        "latency_ms",
    ];
    let parse = |[device, batch, length, heads, kv_heads, head_dim, time]: [&str; 7]| {
        let (length, batch): (u64, u64) = (length.parse().ok()?, batch.parse().ok()?);
        let (kv_heads, head_dim): (u64, u64) = (kv_heads.parse().ok()?, head_dim.parse().ok()?);
        let cached = [2, batch, length, kv_heads, head_dim]
            .iter()
            .try_fold(1u64, |product, factor| product.checked_mul(*factor))?;
        Some(MeasuredKernel {
            device: device.into(),
            kernel: Kernel::FlashAttention {
                backward: false,
                batch,
                heads: heads.parse().ok()?,
                kv_heads,
                query_length: length,
                key_length: length,
                head_dim,
                causal: true,
                element_bytes: 2,
            },
            // Read and written, two bytes an element.
            beside: Bytes::new(cached.checked_mul(4)?),
            time: Seconds::new(time.parse::<f64>().ok()? * 1e-3),
        })
    };
    rows(text, columns).filter_map(parse).collect()
}

/// Reads a table of collectives of 2-byte elements: `gpu, collective, num_gpus,
/// message_elements, latency_ms`.
pub fn read_collectives(text: &str) -> Vec<MeasuredCollective> {
    let parse = |[device, collective, ranks, elements, time]: [&str; 5]| {
        Some(MeasuredCollective {
            device: device.into(),
            collective: match collective {
                "all_reduce" => Collective::AllReduce,
                "all_gather" => Collective::AllGather,
                "reduce_scatter" => Collective::ReduceScatter,
                "alltoall" => Collective::AllToAll,
                _ => return None,
            },
            ranks: ranks.parse().ok()?,
            bytes: Bytes::new(elements.parse::<u64>().ok()?.checked_mul(2)?),
            time: Seconds::new(time.parse::<f64>().ok()? * 1e-3),
        })
    };
    let columns = ["gpu", "collective", "num_gpus", "message_elements", "latency_ms"];
    rows(text, columns).filter_map(parse).collect()
}

/// How far predictions are from measurements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitError {
    /// Pairs compared.
    pub count: usize,
    /// Median of |predicted / measured - 1|.
    pub median: f64,
    /// Nine tenths of the pairs are within this.
    pub p90: f64,
    /// Median of predicted / measured - 1.
    pub bias: f64,
}

impl FitError {
    /// Over pairs of predicted and measured; none where there is no pair.
    pub fn over(pairs: impl Iterator<Item = (Seconds, Seconds)>) -> Option<FitError> {
        let mut signed: Vec<f64> = pairs.map(|(p, m)| p.get() / m.get() - 1.0).collect();
        let mut size: Vec<f64> = signed.iter().map(|error| error.abs()).collect();
        signed.sort_by(f64::total_cmp);
        size.sort_by(f64::total_cmp);
        let at = |sorted: &[f64], share: f64| {
            sorted.get((sorted.len().saturating_sub(1) as f64 * share).round() as usize).copied()
        };
        Some(FitError {
            count: size.len(),
            median: at(&size, 0.5)?,
            p90: at(&size, 0.9)?,
            bias: at(&signed, 0.5)?,
        })
    }
}

/// Minimises `loss` over positive numbers by coordinate descent in logarithms: each coordinate in
/// turn is multiplied and divided by a factor while that helps; the factor shrinks from 1.5 to
/// 1.004. Deterministic. Coordinates stay within `bounds`.
pub fn coordinate_descent(
    start: &[f64],
    bounds: &[(f64, f64)],
    loss: impl Fn(&[f64]) -> f64,
) -> (Vec<f64>, f64) {
    let mut point = start.to_vec();
    let mut best = loss(&point);
    let mut factor: f64 = 1.5;
    while factor > 1.004 {
        let before = best;
        for (i, &(low, high)) in bounds.iter().enumerate().take(start.len()) {
            for direction in [factor, 1.0 / factor] {
                loop {
                    let old = point[i];
                    point[i] = (old * direction).clamp(low, high);
                    let value = loss(&point);
                    if value < best {
                        best = value;
                    } else {
                        point[i] = old;
                        break;
                    }
                }
            }
        }
        if before - best < 1e-5 {
            factor = factor.sqrt();
        }
    }
    (point, best)
}

/// The model of a device as it runs short benchmark loops: without the loss of clock of hours of
/// training.
pub fn benchmark_model(device: &DeviceSpec, precision: Precision) -> DeviceModel {
    let mut device = device.clone();
    device.kernels.power_limited_rate = 1.0;
    DeviceModel::new(&device, precision)
}
