//! Measured kernels and collectives, how far the models are from them, and the search for the
//! constants that bring them nearest.

use super::{CollectiveModel, DeviceModel};
use crate::graph::{Collective, Kernel, PassKind};
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
