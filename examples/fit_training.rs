//! Fits the constants of training on measured runs: the clocks that devices hold under hours of
//! dense load, what passes of each kind of software reach, launch and step overheads of the host,
//! what large collectives reach of the network.
//!
//! `cargo run --release --example fit_training` prints the values, the errors, and the errors of
//! every source with the constants fitted on all others. Korthikanti et al. 2022 is never fitted.
//! The method is Gauss-Newton on the logarithm of predicted over measured time, with Huber weights,
//! every source of ten rows or more weighing the same, and a prior around the starting values.
#![allow(clippy::print_stdout, reason = "an example prints what it computes")]

use lmplan::spec::cluster::NETWORK_EFFICIENCY;
use lmplan::spec::{ClusterSpec, DeviceSpec, StackSpec};
use lmplan::units::{Seconds, statistics};
use lmplan::validate::{self, Compared, compare_with, read_runs};
use std::collections::{BTreeMap, BTreeSet};

/// What a constant changes.
#[derive(Clone, Copy)]
enum What {
    /// Sustained rate of devices whose name starts so.
    Rate(&'static [&'static str]),
    /// Efficiency of products on devices whose name starts so.
    Products(&'static [&'static str]),
    /// Efficiency of the libraries of these stacks.
    Library(&'static [&'static str]),
    /// Efficiency of passes of these stacks.
    Passes(&'static [&'static str]),
    /// Launch overhead of these stacks.
    Launch(&'static [&'static str]),
    /// Step overhead of these stacks, in milliseconds.
    Step(&'static [&'static str]),
    /// Network efficiency.
    Network,
    /// Contention of these stacks.
    Contention,
    /// Efficiency of fused attention's backward pass over that of its forward pass.
    AttentionBackward,
}

const MEGATRON: &[&str] = &[
    "megatron-2020",
    "megatron-2021",
    "megatron-deepspeed",
    "nemo-megatron",
    "zero-bubble",
    "megatron-core",
];
const OLD: &[&str] =
    &["megatron-2020", "megatron-2021", "megatron-deepspeed", "nemo-megatron", "zero-bubble"];
const NEMO: &[&str] = &["nemo"];
const EAGER: &[&str] = &["llm-foundry", "nanotron", "deepspeed", "fsdp"];
const BERT: &[&str] = &["torch-ddp", "torch-eager", "tensorflow", "paddle"];
const FUSED: &[&str] = &["flash-attention", "llm-c", "torchtitan", "torch-compiled"];
const XLA: &[&str] = &["xla"];

/// Name, what it changes, start, prior standard deviation of its logarithm.
const PARAMETERS: [(&str, What, f64, f64); 22] = [
    ("products V100", What::Products(&["v100"]), 0.8, 0.2),
    // The weight-gradient passes of Qi et al. 2024, timed within training, hold this one down
    // (tests/it/cost_calibration.rs).
    ("rate A100", What::Rate(&["a100"]), 0.72, 0.02),
    ("rate H100", What::Rate(&["h100", "h200"]), 0.4, 0.5),
    ("rate B200", What::Rate(&["b200"]), 0.4, 0.5),
    ("rate GB200", What::Rate(&["gb200"]), 0.4, 0.5),
    ("rate GB300", What::Rate(&["gb300", "b300"]), 0.5, 0.5),
    ("library megatron", What::Library(OLD), 0.9, 0.1),
    ("passes megatron", What::Passes(MEGATRON), 0.8, 0.3),
    ("passes nemo", What::Passes(NEMO), 0.8, 0.3),
    ("passes eager", What::Passes(EAGER), 0.6, 0.3),
    ("passes bert", What::Passes(BERT), 0.7, 0.3),
    ("passes fused", What::Passes(FUSED), 0.8, 0.3),
    ("passes xla", What::Passes(XLA), 0.7, 0.3),
    ("launch megatron", What::Launch(MEGATRON), 8e-6, 0.3),
    ("launch nemo", What::Launch(NEMO), 6e-6, 0.3),
    ("launch eager", What::Launch(EAGER), 8e-6, 0.3),
    ("launch bert", What::Launch(BERT), 7e-6, 0.3),
    ("launch fused", What::Launch(FUSED), 5e-6, 0.3),
    ("step all", What::Step(&[]), 5.0, 0.7),
    ("network", What::Network, 0.85, 0.2),
    ("contention", What::Contention, 0.05, 0.7),
    // The best that FlashAttention-2 and -3 publish.
    ("attention back", What::AttentionBackward, 0.87, 0.1),
];

fn is(names: &[&str], device: &DeviceSpec) -> bool {
    names.iter().any(|name| device.name.starts_with(name))
}

fn apply(
    values: &[f64],
    device: &mut DeviceSpec,
    cluster: &mut ClusterSpec,
    stack: &mut StackSpec,
) {
    for ((_, what, ..), &value) in PARAMETERS.iter().zip(values) {
        let named = |names: &[&str]| names.is_empty() || names.contains(&stack.name.as_str());
        match what {
            What::Rate(names) if is(names, device) => {
                device.kernels.power_limited_rate = value.clamp(0.05, 1.0)
            }
            What::Products(names) if is(names, device) => {
                device.kernels.matmul_efficiency = value.min(1.0);
            }
            What::Library(names) if named(names) => stack.library_efficiency = value.min(1.0),
            What::Passes(names) if named(names) => stack.pass_efficiency = value.min(1.0),
            What::Launch(names) if named(names) => stack.launch_overhead = Seconds::new(value),
            What::Step(names) if named(names) => stack.step_overhead = Seconds::new(value * 1e-3),
            What::Network => {
                // A network that is known better keeps what is known.
                let network = cluster.network.as_mut();
                if let Some(network) = network.filter(|n| n.efficiency == NETWORK_EFFICIENCY) {
                    network.efficiency = value.min(1.0);
                }
            }
            What::AttentionBackward => {
                let (forward, backward) = &mut device.kernels.attention_efficiency;
                *backward = (*forward * value).min(1.0);
            }
            What::Contention if stack.overlap_contention > 0.0 => stack.overlap_contention = value,
            _ => {}
        }
    }
}

fn run(values: &[f64]) -> Vec<Compared> {
    let rows = read_runs("training.csv", validate::TRAINING).expect("the table reads");
    let rows = rows.into_iter().filter(|row| row.confidence != "C").collect();
    compare_with(rows, &|device, cluster, stack| apply(values, device, cluster, stack))
}

/// ln(predicted / measured) of every row; `None` where skipped.
fn residuals(rows: &[Compared]) -> Vec<Option<f64>> {
    rows.iter().map(|row| row.error().map(|error| (1.0 + error).ln())).collect()
}

/// Residual from which on a row pulls no harder: about the repeatability of such measurements.
const HUBER: f64 = 0.05;

/// Keeps shares at most one.
fn limit(values: &mut [f64]) {
    for (value, (_, what, ..)) in values.iter_mut().zip(&PARAMETERS) {
        if !matches!(what, What::Launch(_) | What::Step(_) | What::Contention) {
            *value = value.min(1.0);
        }
    }
}

/// Solves the normal equations of a small system by elimination.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|x, y| a[*x][i].abs().total_cmp(&a[*y][i].abs())).unwrap_or(i);
        a.swap(i, pivot);
        b.swap(i, pivot);
        let (above, below) = a.split_at_mut(i + 1);
        let pivot = &above[i];
        for (row, line) in below.iter_mut().enumerate() {
            let factor = line[i] / pivot[i];
            for (cell, of_pivot) in line.iter_mut().zip(pivot).skip(i) {
                *cell -= factor * of_pivot;
            }
            b[i + 1 + row] -= factor * b[i];
        }
    }
    for i in (0..n).rev() {
        let rest: f64 = (i + 1..n).map(|j| a[i][j] * b[j]).sum();
        b[i] = (b[i] - rest) / a[i][i];
    }
    b
}

/// Step of the logarithms of the constants that lessens the residuals of the rows that count.
fn step(jacobian: &[Vec<f64>], rest: &[f64], weights: &[f64], at: &[f64]) -> Vec<f64> {
    let n = PARAMETERS.len();
    let mut a = vec![vec![0.0; n]; n];
    let mut b = vec![0.0; n];
    for ((row, r), w) in jacobian.iter().zip(rest).zip(weights) {
        let huber = w * (HUBER / r.abs().max(HUBER));
        for i in 0..n {
            for j in 0..n {
                a[i][j] += huber * row[i] * row[j];
            }
            b[i] -= huber * row[i] * r;
        }
    }
    for (i, (_, _, start, sigma)) in PARAMETERS.iter().enumerate() {
        let prior = 0.005 / (sigma * sigma);
        a[i][i] += prior;
        b[i] -= prior * (at[i].ln() - start.ln());
    }
    solve(a, b)
}

fn report(title: &str, rows: &[Compared], residuals: &[Option<f64>]) {
    println!("{title}");
    let mut by: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (row, r) in rows.iter().zip(residuals) {
        if let Some(r) = r {
            by.entry(&row.row.source).or_default().push(r.exp() - 1.0);
            by.entry(" all").or_default().push(r.exp() - 1.0);
            if row.row.confidence == "A" {
                by.entry(" confidence A").or_default().push(r.exp() - 1.0);
            }
            if row.row.arch == "bert" {
                by.entry(" BERT").or_default().push(r.exp() - 1.0);
            }
        }
    }
    for (source, errors) in by {
        let absolute = statistics::sorted(errors.iter().map(|e| e.abs()));
        let signed = statistics::sorted(errors.iter().copied());
        println!(
            "{:4} median {:5.1} mean {:5.1} p90 {:5.1} bias {:+6.1}  {source}",
            errors.len(),
            statistics::quantile(&absolute, 0.5) * 100.0,
            absolute.iter().sum::<f64>() / errors.len() as f64 * 100.0,
            statistics::quantile(&absolute, 0.9) * 100.0,
            statistics::quantile(&signed, 0.5) * 100.0,
        );
    }
}

fn main() {
    let mut values: Vec<f64> = PARAMETERS.iter().map(|p| p.2).collect();
    let mut rows = run(&values);
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for row in &rows {
        *counts.entry(row.row.source.clone()).or_default() += 1.0;
    }
    let weight = |row: &Compared| {
        if row.row.source.starts_with("Korthikanti") {
            return 0.0;
        }
        let grade = if row.row.confidence == "A" { 1.0 } else { 0.5 };
        grade / counts[&row.row.source].max(10.0)
    };
    let mut jacobian: Vec<Vec<f64>> = Vec::new();
    for iteration in 0..4 {
        let base = residuals(&rows);
        let mut columns = Vec::new();
        for i in 0..values.len() {
            let mut moved = values.clone();
            moved[i] *= 1.05;
            let changed = residuals(&run(&moved));
            let slope = |(a, b): (&Option<f64>, &Option<f64>)| match (a, b) {
                (Some(a), Some(b)) => (a - b) / 1.05f64.ln(),
                _ => 0.0,
            };
            columns.push(changed.iter().zip(&base).map(slope).collect::<Vec<f64>>());
        }
        jacobian = (0..rows.len()).map(|r| columns.iter().map(|c| c[r]).collect()).collect();
        let rest: Vec<f64> = base.iter().map(|r| r.unwrap_or(0.0)).collect();
        let weights: Vec<f64> = rows.iter().map(weight).collect();
        let delta = step(&jacobian, &rest, &weights, &values);
        let loss = |rows: &[Compared]| -> f64 {
            let all = residuals(rows);
            let each = rows.iter().zip(&all).map(|(row, r)| {
                let r = r.unwrap_or(0.0).abs();
                weight(row) * if r < HUBER { r * r } else { HUBER * (2.0 * r - HUBER) }
            });
            each.sum()
        };
        let before = loss(&rows);
        let start = values.clone();
        for share in [1.0, 0.5, 0.25] {
            for ((value, from), change) in values.iter_mut().zip(&start).zip(&delta) {
                *value = from * (share * change.clamp(-0.3, 0.3)).exp();
            }
            limit(&mut values);
            rows = run(&values);
            if loss(&rows) < before {
                break;
            }
        }
        println!("iteration {iteration}: {before:.4} to {:.4}", loss(&rows));
    }
    for ((name, ..), value) in PARAMETERS.iter().zip(&values) {
        println!("{name:18} {value:.4e}");
    }
    let base = residuals(&rows);
    report("fitted on all", &rows, &base);
    // Every source with the constants fitted on the others, to first order.
    let rest: Vec<f64> = base.iter().map(|r| r.unwrap_or(0.0)).collect();
    let mut left_out = base.clone();
    let sources: BTreeSet<&String> = rows.iter().map(|row| &row.row.source).collect();
    for source in sources {
        let weights: Vec<f64> = rows
            .iter()
            .map(|row| if row.row.source == *source { 0.0 } else { weight(row) })
            .collect();
        let delta = step(&jacobian, &rest, &weights, &values);
        for (i, row) in rows.iter().enumerate() {
            if row.row.source == *source
                && let Some(r) = base[i]
            {
                let change: f64 = jacobian[i].iter().zip(&delta).map(|(j, d)| j * d).sum();
                left_out[i] = Some(r + change);
            }
        }
    }
    report("every source fitted on the others", &rows, &left_out);
}
