//! Fits the constants of the device files on the measured kernels and collectives of
//! `tests/data/kernels`, prints how far the model is from them, and with `--write` puts the
//! constants into `hardware/devices`:
//!
//! ```text
//! cargo run --release --example fit_kernels [-- --write]
//! ```
//!
//! The loss is the mean of |ln(predicted / measured)| over products with all sides of at least
//! 128, attention, and collectives inside a node, each apart. Deterministic.

#![allow(clippy::print_stdout, reason = "a command-line tool")]

use lmplan::cost::CollectiveModel;
use lmplan::cost::fit::{
    FitError, MeasuredCollective, MeasuredKernel, benchmark_model, coordinate_descent, one_node,
    shortest_side,
};
use lmplan::cost::kernel_table::{read_attention, read_collectives, read_products};
use lmplan::spec::{CollectiveConstants, DeviceSpec, KernelConstants, Precision};
use lmplan::units::{BytesPerSecond, Seconds};
use std::error::Error;
use std::fs;
use std::path::Path;

/// The date that goes into the provenance.
const DATE: &str = "2026-11-24";

/// The name of a device in the tables, the file that is fitted, the recipe that was measured, and
/// the files that borrow its kernel constants and those of its link.
struct Job {
    table: &'static str,
    device: &'static str,
    precision: Precision,
    /// Groups of more ranks are left out of the fit.
    most_ranks: u64,
    borrow_kernels: &'static [&'static str],
    borrow_link: &'static [&'static str],
}

const JOBS: [Job; 7] = [
    Job {
        table: "a100_sxm",
        device: "a100-80gb-sxm",
        precision: Precision::Bf16Mixed,
        most_ranks: 8,
        borrow_kernels: &["a100-40gb-sxm", "a100-80gb-pcie", "a100-40gb-pcie"],
        borrow_link: &["a100-40gb-sxm"],
    },
    Job {
        table: "h100_sxm",
        device: "h100-80gb-sxm",
        precision: Precision::Bf16Mixed,
        most_ranks: 8,
        borrow_kernels: &["h100-80gb-pcie"],
        borrow_link: &[],
    },
    Job {
        table: "h200_sxm",
        device: "h200-141gb-sxm",
        precision: Precision::Bf16Mixed,
        most_ranks: 8,
        borrow_kernels: &[],
        borrow_link: &[],
    },
    Job {
        table: "b200_sxm",
        device: "b200-180gb",
        precision: Precision::Bf16Mixed,
        most_ranks: 8,
        borrow_kernels: &["b300-288gb"],
        borrow_link: &["b300-288gb"],
    },
    Job {
        table: "gb200",
        device: "gb200-186gb",
        precision: Precision::Bf16Mixed,
        most_ranks: 8,
        borrow_kernels: &[],
        borrow_link: &[],
    },
    Job {
        table: "l40s",
        device: "l40s",
        precision: Precision::Bf16Mixed,
        // Beyond a pair the measured host sends through its sockets at 2 to 6 GB/s.
        most_ranks: 2,
        borrow_kernels: &[],
        borrow_link: &[],
    },
    Job {
        table: "v100_sxm2",
        device: "v100-32gb-sxm2",
        precision: Precision::Fp16Mixed,
        most_ranks: 8,
        borrow_kernels: &["v100-16gb-sxm2", "v100-32gb-sxm3"],
        borrow_link: &["v100-16gb-sxm2", "v100-32gb-sxm3"],
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    let write = std::env::args().any(|argument| argument == "--write");
    let data = Path::new("tests/data/kernels");
    let read = |name: &str| fs::read_to_string(data.join(name));
    let mut products = read_products(&read("gemm_bf16.csv")?)?;
    products.extend(read_products(&read("gemm_v100.csv")?)?);
    let attention = read_attention(&read("attention_forward_bf16.csv")?)?;
    let mut collectives = read_collectives(&read("nccl_one_node.csv")?)?;
    collectives.extend(read_collectives(&read("nccl_v100.csv")?)?);
    for job in &JOBS {
        let path = Path::new("hardware/devices").join(format!("{}.yaml", job.device));
        let mut device: DeviceSpec = serde_saphyr::from_str(&fs::read_to_string(&path)?)?;
        let mine = |rows: &[MeasuredKernel]| -> Vec<MeasuredKernel> {
            rows.iter().filter(|row| row.device == job.table).cloned().collect()
        };
        let (products, attention) = (mine(&products), mine(&attention));
        let collectives: Vec<_> = collectives
            .iter()
            .filter(|row| row.device == job.table && row.ranks <= job.most_ranks)
            .cloned()
            .collect();
        println!("{}", job.device);
        let mut errors = fit_products(&mut device, job.precision, &products);
        if attention.is_empty() {
            errors.push_str("; attention assumed, by analogy with the A100");
        } else {
            errors = format!("{errors}; {}", fit_attention(&mut device, job.precision, &attention));
        }
        let link_errors = fit_collectives(&mut device, &collectives);
        if !write {
            continue;
        }
        let fitted = format!(
            "fitted {DATE} by examples/fit_kernels.rs on tests/data/kernels (short benchmark loops): {errors}"
        );
        write_kernels(job.device, &device.kernels, &fitted)?;
        for name in job.borrow_kernels {
            let borrowed =
                format!("those of {}, same architecture; not measured on this board", job.device);
            write_kernels(name, &device.kernels, &borrowed)?;
        }
        if let Some(link) = &device.link {
            let fitted = format!(
                "fitted {DATE} by examples/fit_kernels.rs on tests/data/kernels: {link_errors}, groups of up to {}",
                job.most_ranks
            );
            write_link(job.device, link.latency, &link.collectives, &fitted)?;
            for name in job.borrow_link {
                let borrowed = format!("those of {}, same link", job.device);
                write_link(name, link.latency, &link.collectives, &borrowed)?;
            }
        }
    }
    Ok(())
}

fn mean_log_error(pairs: impl Iterator<Item = (Seconds, Seconds)>) -> f64 {
    let (sum, count) =
        pairs.fold((0.0, 0.0), |(sum, count), (p, m)| (sum + (p / m).ln().abs(), count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Prints and returns the errors as a phrase.
fn say(what: &str, pairs: impl Iterator<Item = (Seconds, Seconds)>) -> String {
    let Some(error) = FitError::over(pairs) else { return format!("{what}: no rows") };
    let phrase = format!(
        "{what} median {:.1} %, p90 {:.1} % ({} rows)",
        error.median * 100.0,
        error.p90 * 100.0,
        error.count
    );
    println!("  {phrase}, bias {:+.1} %", error.bias * 100.0);
    phrase
}

/// Achieved share of the memory bandwidth: that of the best tenth of products so thin that they do
/// little but read weights.
fn memory_share(device: &DeviceSpec, rows: &[MeasuredKernel]) -> Option<f64> {
    let mut shares: Vec<f64> = rows
        .iter()
        .filter_map(|row| row.streamed_bytes().map(|bytes| bytes / row.time.get()))
        .map(|rate| rate / device.memory_bandwidth.get())
        .collect();
    shares.sort_by(f64::total_cmp);
    shares.get(shares.len() * 9 / 10).copied()
}

fn fit_products(device: &mut DeviceSpec, precision: Precision, rows: &[MeasuredKernel]) -> String {
    if let Some(share) = memory_share(device, rows) {
        device.kernels.memory_efficiency = share;
    }
    let with = |device: &DeviceSpec, point: &[f64]| {
        let mut device = device.clone();
        let kernels = &mut device.kernels;
        kernels.matmul_efficiency = point[0];
        kernels.l2_bandwidth = BytesPerSecond::new(point[1]);
        kernels.kernel_latency = Seconds::new(point[2]);
        kernels.matmul_prologue_k = point[3];
        kernels.wave_quantisation = point[4];
        device
    };
    let pairs = |device: &DeviceSpec, side: u64| -> Vec<(Seconds, Seconds)> {
        let model = benchmark_model(device, precision);
        rows.iter()
            .filter(|row| shortest_side(&row.kernel) >= side)
            .map(|row| (row.predicted(&model), row.time))
            .collect()
    };
    let bandwidth = device.memory_bandwidth.get();
    let latency = if rows.len() < 100 { (3e-6, 6e-6) } else { (1e-6, 8e-6) };
    let bounds =
        [(0.3, 1.0), (2.0 * bandwidth, 30.0 * bandwidth), latency, (10.0, 1000.0), (0.05, 1.0)];
    let best = [2.0, 5.0, 10.0]
        .map(|ratio| {
            let start = [0.8, ratio * bandwidth, latency.0.max(2.5e-6), 100.0, 0.5];
            coordinate_descent(&start, &bounds, |point| {
                mean_log_error(pairs(&with(device, point), 128).into_iter())
            })
        })
        .into_iter()
        .min_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((point, _)) = best {
        *device = with(device, &point);
    }
    say("  products, all", pairs(device, 1).into_iter());
    say("  products, sides >= 128", pairs(device, 128).into_iter());
    say("products with sides >= 256:", pairs(device, 256).into_iter())
}

fn fit_attention(device: &mut DeviceSpec, precision: Precision, rows: &[MeasuredKernel]) -> String {
    let (forward, backward) = device.kernels.attention_efficiency;
    let ratio = backward / forward;
    let with = |device: &DeviceSpec, point: &[f64]| {
        let mut device = device.clone();
        let kernels = &mut device.kernels;
        kernels.attention_efficiency = (point[0], point[0] * ratio);
        kernels.softmax_flops = point[1];
        kernels.attention_prologue_keys = point[2];
        kernels.attention_latency = Seconds::new(point[3]);
        device
    };
    let pairs = |device: &DeviceSpec| -> Vec<(Seconds, Seconds)> {
        let model = benchmark_model(device, precision);
        rows.iter().map(|row| (row.predicted(&model), row.time)).collect()
    };
    let bounds = [(0.1, 1.0), (20.0, 2000.0), (1.0, 1000.0), (1e-6, 3e-5)];
    let (point, _) = coordinate_descent(&[0.6, 100.0, 100.0, 1e-5], &bounds, |point| {
        mean_log_error(pairs(&with(device, point)).into_iter())
    });
    *device = with(device, &point);
    let forward = say("attention forward", pairs(device).into_iter());
    format!(
        "{forward}; attention backward not measured, at {ratio:.2} of forward, as the best that FlashAttention-2 and -3 publish (Dao 2023; Shah et al. 2024)"
    )
}

fn fit_collectives(device: &mut DeviceSpec, rows: &[MeasuredCollective]) -> String {
    let cluster = one_node(&device.name, 8);
    let with = |device: &DeviceSpec, point: &[f64]| {
        let mut device = device.clone();
        if let Some(link) = &mut device.link {
            link.latency = Seconds::new(point[0]);
            let constants = &mut link.collectives;
            constants.launch = Seconds::new(point[1]);
            constants.bulk_latency = Seconds::new(point[2]);
            constants.efficiency = point[3];
            constants.low_latency_efficiency = point[4];
            constants.own_part_cost = point[5];
            if let Some(share) = &mut constants.switch_reduction_efficiency {
                *share = point[6];
            }
        }
        device
    };
    let pairs = |device: &DeviceSpec| -> Vec<(Seconds, Seconds)> {
        let model = CollectiveModel::new(&cluster, device);
        rows.iter().map(|row| (row.predicted(&model), row.time)).collect()
    };
    // Latencies show in small messages only; without them they stay as the file has them.
    let small = rows.iter().any(|row| row.bytes.get() <= 65_536);
    let (hop, launch) = device
        .link
        .as_ref()
        .map_or((1e-6, 6e-6), |link| (link.latency.get(), link.collectives.launch.get()));
    let bounds = [
        if small { (2e-7, 1e-5) } else { (hop, hop) },
        if small { (1e-6, 3e-5) } else { (launch, launch) },
        (1e-6, 1e-4),
        (0.02, 1.0),
        (0.005, 0.8),
        (0.05, 1.5),
        (0.2, 1.0),
    ];
    let (hop, launch) = if small { (1e-6, 6e-6) } else { (hop, launch) };
    let start = [hop, launch, 1.2e-5, 0.75, 0.2, 0.4, 0.6];
    let (point, _) = coordinate_descent(&start, &bounds, |point| {
        mean_log_error(pairs(&with(device, point)).into_iter())
    });
    *device = with(device, &point);
    say("collectives of one node", pairs(device).into_iter())
}

/// Replaces the values of keys in a device file, below the line that is exactly `section`.
fn replace(name: &str, section: &str, values: &[(&str, String)]) -> Result<(), Box<dyn Error>> {
    let path = Path::new("hardware/devices").join(format!("{name}.yaml"));
    let text = fs::read_to_string(&path)?;
    let mut inside = false;
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let depth = section.len() - section.trim_start().len();
        if line == section {
            inside = true;
        } else if indent <= depth {
            inside = false;
        }
        let key = line.trim_start().split(':').next().unwrap_or("");
        match values.iter().find(|(wanted, _)| inside && line != section && *wanted == key) {
            Some((_, value)) => lines.push(format!("{}{key}: {value}", &line[..indent])),
            None => lines.push(line.into()),
        }
    }
    fs::write(&path, lines.join("\n") + "\n")?;
    Ok(())
}

fn write_kernels(name: &str, kernels: &KernelConstants, from: &str) -> Result<(), Box<dyn Error>> {
    let (forward, backward) = kernels.attention_efficiency;
    replace(
        name,
        "kernels:",
        &[
            ("matmul_efficiency", format!("{:.3}", kernels.matmul_efficiency)),
            ("memory_efficiency", format!("{:.3}", kernels.memory_efficiency)),
            ("l2_bandwidth", format!("{:.2} TB/s", kernels.l2_bandwidth.get() * 1e-12)),
            ("kernel_latency", format!("{:.2} us", kernels.kernel_latency.get() * 1e6)),
            ("matmul_prologue_k", format!("{:.0}", kernels.matmul_prologue_k)),
            ("wave_quantisation", format!("{:.2}", kernels.wave_quantisation)),
            ("attention_efficiency", format!("[{forward:.3}, {backward:.3}]")),
            ("softmax_flops", format!("{:.0}", kernels.softmax_flops)),
            ("attention_prologue_keys", format!("{:.0}", kernels.attention_prologue_keys)),
            ("attention_latency", format!("{:.2} us", kernels.attention_latency.get() * 1e6)),
            ("provenance", format!("\"{from}\"")),
        ],
    )
}

fn write_link(
    name: &str,
    latency: Seconds,
    constants: &CollectiveConstants,
    from: &str,
) -> Result<(), Box<dyn Error>> {
    let us = |seconds: Seconds| format!("{:.2} us", seconds.get() * 1e6);
    let mut values = vec![
        ("latency", us(latency)),
        ("launch", us(constants.launch)),
        ("bulk_latency", us(constants.bulk_latency)),
        ("efficiency", format!("{:.3}", constants.efficiency)),
        ("low_latency_efficiency", format!("{:.3}", constants.low_latency_efficiency)),
        ("own_part_cost", format!("{:.2}", constants.own_part_cost)),
        ("provenance", format!("\"{from}\"")),
    ];
    if let Some(share) = constants.switch_reduction_efficiency {
        values.push(("switch_reduction_efficiency", format!("{share:.3}")));
    }
    replace(name, "link:", &values)
}
