//! What the devices of one machine take from each other, and how fast a machine is when a plan runs
//! on it.

use super::table::KernelTable;
use crate::graph::Kernel;
use crate::spec::{DeviceSpec, MeasuredRow, Pace};
use crate::units::{BytesPerSecond, Seconds};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A device as one of `busy` ones of its machine that share memory, caches and perhaps cores.
///
/// Times were measured by one device alone and by n at once. Each further device takes as large a
/// part again, so that between the two the logarithm of a time is a line in the number of devices;
/// beyond n it stays as it is, for there are no more to share with. Devices that nothing is known
/// of share nothing.
pub(super) fn among(device: &DeviceSpec, busy: u64) -> Cow<'_, DeviceSpec> {
    let contention = device.measured.as_ref().and_then(|measured| measured.contention.as_ref());
    let Some(contention) = contention.filter(|known| known.ranks > 1 && busy > 1) else {
        return Cow::Borrowed(device);
    };
    let weight = (busy - 1) as f64 / (contention.ranks - 1) as f64;
    let weight = weight.min(1.0);
    let mix = |alone: f64, shared: f64| alone * (shared / alone).powf(weight);
    let mut device = device.clone();
    let alone = device.memory_bandwidth.get();
    let shared = mix(alone, contention.memory_bandwidth.get().min(alone));
    device.memory_bandwidth = BytesPerSecond::new(shared);
    device.kernels.matmul_efficiency *= mix(1.0, contention.matmul_rate);
    if let Some(measured) = &mut device.measured {
        for (kind, rows) in &mut measured.kernels {
            let Some(shared) = contention.kernels.get(kind) else { continue };
            let shared: BTreeMap<[u64; 3], Seconds> =
                shared.iter().map(|MeasuredRow { sizes, time }| (*sizes, *time)).collect();
            for row in rows {
                if let Some(time) = shared.get(&row.sizes) {
                    row.time = Seconds::new(mix(row.time.get(), time.get()));
                }
            }
        }
        if let (Some(own), Some(shared)) = (&mut measured.pace, contention.pace) {
            own.product = Seconds::new(mix(own.product.get(), shared.product.get()));
            own.copy = Seconds::new(mix(own.copy.get(), shared.copy.get()));
        }
        measured.contention = None;
    }
    Cow::Owned(device)
}

/// How much longer products and copies take than when a device was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slowdown {
    /// Of products.
    pub product: f64,
    /// Of copies.
    pub copy: f64,
}

/// Passes over more than this are as slow as copies, others as slow as products: about what the
/// second-level cache of a core holds.
const CACHED_BYTES: u64 = 1 << 20;

/// Whether a kernel is as slow as copies are where a machine has another pace; else it is as slow as
/// products.
pub fn follows_copies(kernel: &Kernel) -> bool {
    KernelTable::row_of(kernel).is_some_and(|(kind, sizes)| streams(kind, &sizes))
}

/// The same of a row of the table.
fn streams(kind: &str, sizes: &[u64; 3]) -> bool {
    KernelTable::is_pass(kind) && sizes[0].saturating_add(sizes[1]) > CACHED_BYTES
}

/// A device as one of `busy` ones of its machine while that has another pace than it had when it was
/// measured: every measured time in proportion to what its kind depends on. None where the file has no
/// pace.
pub fn at_pace(device: &DeviceSpec, busy: u64, now: Pace) -> Option<(DeviceSpec, Slowdown)> {
    let mut device = among(device, busy).into_owned();
    let measured = device.measured.as_mut()?;
    let then = measured.pace?;
    let slowdown = Slowdown { product: now.product / then.product, copy: now.copy / then.copy };
    measured.contention = None;
    measured.pace = Some(now);
    for (kind, rows) in &mut measured.kernels {
        for row in rows {
            let slower = if streams(kind, &row.sizes) { slowdown.copy } else { slowdown.product };
            row.time = row.time * slower;
        }
    }
    for row in measured.collectives.values_mut().flatten() {
        row.time = row.time * slowdown.copy;
    }
    device.memory_bandwidth = device.memory_bandwidth * (1.0 / slowdown.copy);
    device.kernels.matmul_efficiency /= slowdown.product;
    Some((device, slowdown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Contention, MeasuredTable};

    fn device() -> DeviceSpec {
        let text = include_str!("../../hardware/devices/a100-80gb-sxm.yaml");
        let mut device: DeviceSpec = serde_saphyr::from_str(text).unwrap();
        let rows = |time: f64| {
            let row = MeasuredRow { sizes: [8, 8, 8], time: Seconds::new(time) };
            BTreeMap::from([("gemm_forward".to_owned(), vec![row])])
        };
        device.memory_bandwidth = BytesPerSecond::new(8e9);
        device.measured = Some(MeasuredTable {
            element_bytes: 4,
            kernels: rows(1e-3),
            collectives: BTreeMap::new(),
            pace: Some(pace(1e-3, 2e-3)),
            contention: Some(Contention {
                ranks: 5,
                memory_bandwidth: BytesPerSecond::new(2e9),
                matmul_rate: 0.25,
                pace: Some(pace(4e-3, 8e-3)),
                kernels: rows(16e-3),
            }),
        });
        device
    }

    fn pace(product: f64, copy: f64) -> Pace {
        let (product, copy) = (Seconds::new(product), Seconds::new(copy));
        Pace { product, copy }
    }

    fn time(device: &DeviceSpec) -> f64 {
        device.measured.as_ref().unwrap().kernels["gemm_forward"][0].time.get()
    }

    #[test]
    fn one_device_has_all_to_itself() {
        assert_eq!(*among(&device(), 1), device());
        let mut unknown = device();
        unknown.measured = None;
        assert_eq!(*among(&unknown, 8), unknown);
    }

    #[test]
    fn each_further_device_takes_as_large_a_part_until_all_share() {
        let whole = device();
        for (busy, expected) in [(2, 2e-3), (3, 4e-3), (5, 16e-3), (50, 16e-3)] {
            let shared = among(&whole, busy);
            assert!((time(&shared) / expected - 1.0).abs() < 1e-12, "{busy}");
        }
        let all = among(&whole, 5);
        assert!((all.memory_bandwidth.get() - 2e9).abs() < 1.0);
        let rate = all.kernels.matmul_efficiency / whole.kernels.matmul_efficiency;
        assert!((rate - 0.25).abs() < 1e-12);
    }

    #[test]
    fn times_follow_the_pace_of_the_machine() {
        let whole = device();
        let (same, slowdown) = at_pace(&whole, 5, pace(4e-3, 8e-3)).unwrap();
        assert!((slowdown.product - 1.0).abs() < 1e-12 && (slowdown.copy - 1.0).abs() < 1e-12);
        assert!((time(&same) / 16e-3 - 1.0).abs() < 1e-12);
        let (slower, slowdown) = at_pace(&whole, 1, pace(3e-3, 2e-3)).unwrap();
        assert!((slowdown.product - 3.0).abs() < 1e-12);
        assert!((time(&slower) / 3e-3 - 1.0).abs() < 1e-12);
        let mut unknown = whole;
        unknown.measured.as_mut().unwrap().pace = None;
        assert!(at_pace(&unknown, 1, pace(1.0, 1.0)).is_none());
    }
}
