//! Between host and device: launches, copies, and the library of collectives.

use super::timing::{Extent, told};
use crate::executor::error::{ExecutorError, Result};
use crate::units::{BytesPerSecond, Seconds};
use lmplan_c10d::{Graph, Group, Store, synchronize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// Launches in a row.
const LAUNCHES: i32 = 1000;

fn smallest(device: Device) -> Result<Tensor> {
    told(Tensor::f_zeros([1], (Kind::Float, device)))
}

fn needs_gpu(device: Device) -> Result<()> {
    let missing = || ExecutorError::Unsupported("there is no GPU".to_owned());
    if device.is_cuda() { Ok(()) } else { Err(missing()) }
}

/// Time of a smallest kernel in a queue of them, and of one alone until the host knows its end.
pub(super) fn launches(device: Device) -> Result<(Option<Seconds>, Option<Seconds>)> {
    let mut x = smallest(device)?;
    let mut queue = |count: i32, each: bool| -> Result<f64> {
        let start = Instant::now();
        for _ in 0..count {
            told(x.f_add_scalar_(1.0)).map(drop)?;
            if each {
                synchronize(device)?;
            }
        }
        synchronize(device)?;
        Ok(start.elapsed().as_secs_f64() / f64::from(count))
    };
    queue(LAUNCHES, false)?;
    let queued = queue(LAUNCHES, false)?.min(queue(LAUNCHES, false)?);
    let alone = queue(LAUNCHES / 10, true)?;
    Ok((Some(Seconds::new(queued)), Some(Seconds::new(alone))))
}

/// Time of a smallest kernel in a graph of them.
pub(super) fn graph(device: Device) -> Result<Seconds> {
    needs_gpu(device)?;
    let graph = Graph::record(smallest(device)?, LAUNCHES)?;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        graph.launch()?;
        synchronize(device)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(Seconds::new(best / f64::from(LAUNCHES)))
}

/// Rates of copies in both directions, of host memory that the device reaches directly and of memory
/// that it does not.
pub(super) fn transfers(
    device: Device,
    extent: Extent,
) -> Result<BTreeMap<String, BytesPerSecond>> {
    needs_gpu(device)?;
    let elements: i64 = if extent == Extent::Tiny { 1 << 16 } else { 1 << 26 };
    let mut there = told(Tensor::f_zeros([elements], (Kind::Float, device)))?;
    let pinned = lmplan_c10d::host_tensor(&[elements], &there);
    let pageable = told(Tensor::f_zeros([elements], (Kind::Float, Device::Cpu)))?;
    let mut rates = BTreeMap::new();
    for (name, mut host) in [("pinned", pinned), ("pageable", pageable)] {
        for to_device in [true, false] {
            let mut best = f64::INFINITY;
            for _ in 0..4 {
                let start = Instant::now();
                if to_device {
                    told(there.f_copy_(&host))?;
                } else {
                    told(host.f_copy_(&there))?;
                }
                synchronize(device)?;
                best = best.min(start.elapsed().as_secs_f64());
            }
            let direction = if to_device { "device" } else { "host" };
            let rate = BytesPerSecond::new(4.0 * elements as f64 / best);
            rates.insert(format!("{name} to {direction}"), rate);
        }
    }
    Ok(rates)
}

/// NCCL with one rank: that it is there and talks to the GPU.
pub(super) fn nccl(device: Device) -> Result<String> {
    needs_gpu(device)?;
    let version = lmplan_c10d::nccl_version()?;
    let patience = Duration::from_secs(20);
    let store = Store::tcp("127.0.0.1", 0, true, patience)?;
    let index = lmplan_c10d::gpu_index(device).unwrap_or(0);
    let group = Group::join_nccl(&store, "one", (0, 1), index, 1, patience)?;
    let data = told(Tensor::f_ones([1 << 24], (Kind::Float, device)))?;
    group.all_reduce(&data, false)?;
    group.barrier()?;
    let sum = data.sum(Kind::Double).double_value(&[]);
    if sum != f64::from(1u32 << 24) {
        return Err(ExecutorError::Program(format!("an all-reduce of one rank gave {sum}")));
    }
    let start = Instant::now();
    for _ in 0..20 {
        group.all_reduce(&data, false)?;
    }
    group.settle()?;
    let micros = 1e6 * start.elapsed().as_secs_f64() / 20.0;
    let (major, minor, patch) = (version / 10_000, version / 100 % 100, version % 100);
    Ok(format!("{major}.{minor}.{patch}, all-reduce of one rank over 64 MiB {micros:.1} us"))
}
