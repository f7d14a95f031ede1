//! Single operations timed on the device at hand.

use crate::units::statistics::median;
use std::time::Instant;
use tch::{Cuda, Device, Kind, Tensor};

/// A kernel runs for at least this long.
const AT_LEAST_S: f64 = 0.02;

fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(i64::try_from(index).unwrap_or(0));
    }
}

/// Seconds of one call: the median of five rounds of as many calls as fill their time.
pub fn seconds_of(device: Device, mut f: impl FnMut()) -> f64 {
    let mut round = |calls: u32| {
        synchronize(device);
        let start = Instant::now();
        (0..calls).for_each(|_| f());
        synchronize(device);
        start.elapsed().as_secs_f64() / f64::from(calls)
    };
    let first = round(1).min(round(1));
    let calls = (AT_LEAST_S / first.max(1e-9)).clamp(1.0, 1000.0) as u32;
    median(&(0..5).map(|_| round(calls)).collect::<Vec<_>>())
}

/// A product \[m, k\] x \[k, n\].
pub fn product(device: Device, kind: Kind, [m, n, k]: [i64; 3]) -> f64 {
    let a = Tensor::randn([m, k], (kind, device));
    let b = Tensor::randn([k, n], (kind, device));
    seconds_of(device, || drop(a.matmul(&b)))
}

/// FLOP/s of a square product of the largest of `sides`, or of the first in which a call takes long
/// enough: a processor without instructions for `kind` takes seconds for what others take
/// milliseconds for.
pub fn peak(device: Device, kind: Kind, sides: &[i64]) -> f64 {
    let mut rate = 0.0;
    for &side in sides {
        let seconds = product(device, kind, [side; 3]);
        rate = 2.0 * (side as f64).powi(3) / seconds;
        if seconds > AT_LEAST_S {
            break;
        }
    }
    rate
}

/// Bytes a second, read and written, of a copy that no cache holds.
pub fn copy_bandwidth(device: Device) -> f64 {
    let elements = if device.is_cuda() { 1 << 28 } else { 1 << 25 };
    let from = Tensor::zeros([elements], (Kind::Float, device));
    let mut to = Tensor::zeros([elements], (Kind::Float, device));
    let seconds = seconds_of(device, || to.copy_(&from));
    8.0 * elements as f64 / seconds
}
