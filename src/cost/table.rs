//! Measured kernels, and times between them.

use crate::graph::{GemmPass, Kernel};
use crate::spec::{DeviceSpec, MeasuredRow};
use std::collections::BTreeMap;

/// Neighbours that count.
const NEIGHBOURS: usize = 12;

/// Squared distance, in doublings of sizes, within which neighbours count alike.
const NEAR: f64 = 0.05;

/// How far slopes are drawn towards none, as a share of all weights: what keeps them finite where
/// the neighbours differ in fewer sizes than there are.
const RIDGE: f64 = 0.1;

/// Measured kernels of one element size. What is interpolated is the time for a unit of work, in
/// the logarithms of the sizes, by a straight line through the nearest measured kernels of the same
/// kind (local linear regression, weights 1/(distance² + near), ridge on the slopes); it stays
/// within what these took. A kernel that was measured takes what it took.
///
/// Every row of `hardware/devices/localhost-core.yaml` from all others of its kind: mean error 13 %
/// (18 % by the four nearest weighted by distance alone).
#[derive(Debug, Clone, Default)]
pub struct KernelTable {
    element_bytes: u64,
    kinds: BTreeMap<&'static str, Vec<Point>>,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    place: [f64; 3],
    /// Logarithm of seconds for a unit of work.
    cost: f64,
}

/// A kernel as the table sees it.
struct Entry {
    kind: &'static str,
    element_bytes: Option<u64>,
    sizes: [u64; 3],
}

/// Kinds of kernels that tables hold, beside the passes over memory.
const KINDS: [&str; 7] = [
    "gemm_forward",
    "gemm_input_gradient",
    "gemm_weight_gradient",
    "attention_forward",
    "attention_forward_causal",
    "attention_backward",
    "attention_backward_causal",
];

fn entry(kernel: &Kernel) -> Option<Entry> {
    Some(match *kernel {
        Kernel::Gemm { batch: 1, m, n, k, operand_bytes, pass, .. } => {
            let kind = match pass {
                GemmPass::Forward => KINDS[0],
                GemmPass::InputGradient => KINDS[1],
                GemmPass::WeightGradient => KINDS[2],
            };
            Entry { kind, element_bytes: Some(operand_bytes), sizes: [m, n, k] }
        }
        Kernel::Gemm { .. } => return None,
        Kernel::FlashAttention {
            backward,
            batch,
            heads,
            query_length,
            head_dim,
            causal,
            element_bytes,
            ..
        } => Entry {
            kind: KINDS[3 + 2 * usize::from(backward) + usize::from(causal)],
            element_bytes: Some(element_bytes),
            sizes: [batch * heads, query_length, head_dim],
        },
        Kernel::Memory { pass, read, written, launches } => Entry {
            kind: pass.name(),
            element_bytes: None,
            sizes: [read.get(), written.get(), launches],
        },
    })
}

impl Entry {
    /// What grows with the time.
    fn work(kind: &str, [a, b, c]: [u64; 3]) -> f64 {
        let [a, b, c] = [a, b, c].map(|size| size as f64);
        if KernelTable::is_pass(kind) {
            (a + b).max(1.0)
        } else if kind.starts_with("attention") {
            a * b * b * c
        } else {
            a * b * c
        }
    }

    /// Where it stands. Passes of a kind differ in what they do, which shows in the bytes read for
    /// each written and in the launches; so those weigh more than the size.
    fn place(kind: &str, sizes: [u64; 3]) -> [f64; 3] {
        let log = |size: u64| (size.max(1) as f64).log2();
        let [a, b, c] = sizes;
        if KernelTable::is_pass(kind) {
            [log(a.saturating_add(b)), 8.0 * (log(a) - log(b)), 4.0 * c.min(1000) as f64]
        } else {
            sizes.map(log)
        }
    }
}

impl KernelTable {
    /// The table of a device; empty where nothing was measured.
    pub fn new(device: &DeviceSpec) -> KernelTable {
        let Some(measured) = &device.measured else { return KernelTable::default() };
        let names = KINDS.into_iter().chain(crate::graph::PassKind::ALL.map(|kind| kind.name()));
        let mut kinds = BTreeMap::new();
        for name in names {
            let Some(rows) = measured.kernels.get(name) else { continue };
            let point = |row: &MeasuredRow| Point {
                place: Entry::place(name, row.sizes),
                cost: (row.time.get() / Entry::work(name, row.sizes)).ln(),
            };
            kinds.insert(name, rows.iter().map(point).collect());
        }
        KernelTable { element_bytes: measured.element_bytes, kinds }
    }

    /// Whether a kind of rows is one of passes over memory.
    pub(super) fn is_pass(kind: &str) -> bool {
        !KINDS.contains(&kind)
    }

    /// The name and sizes under which a kernel stands in a table.
    pub fn row_of(kernel: &Kernel) -> Option<(&'static str, [u64; 3])> {
        entry(kernel).map(|entry| (entry.kind, entry.sizes))
    }

    /// Seconds of a kernel, where kernels of its kind were measured.
    pub fn seconds(&self, kernel: &Kernel) -> Option<f64> {
        if self.kinds.is_empty() {
            return None;
        }
        let entry = entry(kernel)?;
        if entry.element_bytes.is_some_and(|bytes| bytes != self.element_bytes) {
            return None;
        }
        let points = self.kinds.get(entry.kind)?;
        let place = Entry::place(entry.kind, entry.sizes);
        let distance = |point: &Point| -> f64 {
            point.place.iter().zip(place).map(|(a, b)| (a - b) * (a - b)).sum()
        };
        let mut nearest: Vec<(f64, &Point)> =
            points.iter().map(|point| (distance(point), point)).collect();
        nearest.sort_by(|a, b| a.0.total_cmp(&b.0));
        nearest.truncate(NEIGHBOURS);
        let cost = match nearest.first()? {
            (distance, same) if *distance == 0.0 => same.cost,
            _ => at(&place, &nearest)?,
        };
        Some(cost.exp() * Entry::work(entry.kind, entry.sizes))
    }
}

/// The logarithm of a cost at a place, by weighted linear regression over neighbours (squared
/// distance, point), held within theirs.
fn at(place: &[f64; 3], neighbours: &[(f64, &Point)]) -> Option<f64> {
    // Normal equations of a value at the place and three slopes; the last column is the right side.
    let mut equations = [[0.0; 5]; 4];
    let mut weights = 0.0;
    for (distance, point) in neighbours {
        let weight = 1.0 / (distance + NEAR);
        let [x, y, z] = std::array::from_fn(|axis| point.place[axis] - place[axis]);
        let row = [1.0, x, y, z, point.cost];
        for (equation, left) in equations.iter_mut().zip(row) {
            for (cell, right) in equation.iter_mut().zip(row) {
                *cell += weight * left * right;
            }
        }
        weights += weight;
    }
    for (axis, equation) in equations.iter_mut().enumerate().skip(1) {
        equation[axis] += RIDGE * weights;
    }
    let costs = neighbours.iter().map(|(_, point)| point.cost);
    let (least, most) =
        (costs.clone().fold(f64::INFINITY, f64::min), costs.fold(f64::MIN, f64::max));
    let value = first_unknown(equations);
    value.is_finite().then(|| value.clamp(least, most))
}

/// The first of four unknowns of a positive definite system, whose right side is the last column,
/// by elimination from the last unknown on.
fn first_unknown(mut equations: [[f64; 5]; 4]) -> f64 {
    for pivot in (1..4).rev() {
        let by = equations[pivot];
        for equation in equations.iter_mut().take(pivot) {
            let factor = equation[pivot] / by[pivot];
            for (cell, other) in equation.iter_mut().zip(by) {
                *cell -= factor * other;
            }
        }
    }
    equations[0][4] / equations[0][0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::MeasuredTable;
    use crate::units::Seconds;

    fn product(m: u64, n: u64, k: u64) -> Kernel {
        Kernel::Gemm {
            batch: 1,
            m,
            n,
            k,
            operand_bytes: 4,
            result_bytes: 4,
            accumulate: false,
            pass: GemmPass::Forward,
        }
    }

    fn device(rows: &[([u64; 3], f64)]) -> DeviceSpec {
        let text = include_str!("../../hardware/devices/a100-80gb-sxm.yaml");
        let mut device: DeviceSpec = serde_saphyr::from_str(text).unwrap();
        let row = |(sizes, time): &([u64; 3], f64)| MeasuredRow {
            sizes: *sizes,
            time: Seconds::new(*time),
        };
        let rows = rows.iter().map(row).collect();
        let kernels = BTreeMap::from([("gemm_forward".to_owned(), rows)]);
        device.measured =
            Some(MeasuredTable { element_bytes: 4, kernels, ..MeasuredTable::default() });
        device
    }

    #[test]
    fn measured_kernels_take_what_was_measured() {
        let rows = [([64, 64, 64], 1e-5), ([512, 512, 512], 3e-3), ([64, 512, 64], 5e-5)];
        let table = KernelTable::new(&device(&rows));
        for ([m, n, k], time) in rows {
            let seconds = table.seconds(&product(m, n, k)).unwrap();
            assert!((seconds / time - 1.0).abs() < 1e-6, "{seconds} {time}");
        }
    }

    #[test]
    fn between_and_beyond_the_rate_is_that_of_the_neighbours() {
        // 1e-9 seconds a unit at both ends, so everywhere.
        let rows = [([64, 64, 64], 64f64.powi(3) * 1e-9), ([512, 512, 512], 512f64.powi(3) * 1e-9)];
        let table = KernelTable::new(&device(&rows));
        for side in [16, 100, 256, 4096] {
            let seconds = table.seconds(&product(side, side, side)).unwrap();
            assert!((seconds / ((side * side * side) as f64 * 1e-9) - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn what_was_not_measured_is_not_in_the_table() {
        let table = KernelTable::new(&device(&[([64, 64, 64], 1e-5)]));
        let mut half = product(64, 64, 64);
        if let Kernel::Gemm { operand_bytes, .. } = &mut half {
            *operand_bytes = 2;
        }
        assert!(table.seconds(&half).is_none());
        let mut back = product(64, 64, 64);
        if let Kernel::Gemm { pass, .. } = &mut back {
            *pass = GemmPass::WeightGradient;
        }
        assert!(table.seconds(&back).is_none());
    }

    #[test]
    fn rows_are_read_as_they_are_written() {
        let row = MeasuredRow { sizes: [1, 20, 300], time: Seconds::new(1.5e-3) };
        assert_eq!(MeasuredRow::try_from(String::from(row)).unwrap(), row);
        for wrong in ["", "1 2: 3 us", "1 2 3", "1 2 3: 4", "1 2 3: 0 us", "a b c: 1 us"] {
            assert!(MeasuredRow::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
