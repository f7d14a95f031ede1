//! Calibrates this machine's cores and holds the predictions for twenty small plans against runs of
//! them: `scripts/build-torch.sh && cargo run --release --example verify_machine -- reports/verify-cpu`.
//! Takes about six minutes; nothing else should run meanwhile. Writes the device file, the
//! comparison and the charts of one plan of each model into the folder.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints what it does")]

use serde_json::Value;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The program, with libtorch.
const PROGRAM: &str = "target/release/lmplan";

/// Name, parallelism, schedule, optimizer sharding, recomputation of the four layers.
const PLANS: [(&str, &str, &str, &str, &str); 10] = [
    ("t1 p1 d1", "tensor: 1, pipeline: 1, data: 1", "1f1b", "none", "none: 4"),
    ("t1 p1 d1 selective", "tensor: 1, pipeline: 1, data: 1", "1f1b", "none", "selective: 4"),
    ("t1 p1 d1 full", "tensor: 1, pipeline: 1, data: 1", "1f1b", "none", "full: 4"),
    ("t2", "tensor: 2, pipeline: 1, data: 1", "1f1b", "none", "none: 4"),
    (
        "t2 sequence-parallel",
        "tensor: 2, pipeline: 1, data: 1, sequence_parallel: true",
        "1f1b",
        "none",
        "none: 4",
    ),
    ("p2", "tensor: 1, pipeline: 2, data: 1", "1f1b", "none", "none: 2"),
    (
        "p2 interleaved",
        "tensor: 1, pipeline: 2, data: 1, virtual_stages: 2",
        "interleaved-1f1b",
        "none",
        "none: 2",
    ),
    ("d2", "tensor: 1, pipeline: 1, data: 2", "1f1b", "none", "none: 4"),
    ("d2 zero1", "tensor: 1, pipeline: 1, data: 2", "1f1b", "zero1", "none: 4"),
    ("d2 zero3", "tensor: 1, pipeline: 1, data: 2", "1f1b", "zero3", "none: 4"),
];

/// A plan of four layers.
fn plan(model: &str, batch: &str, plan: &(&str, &str, &str, &str, &str)) -> String {
    let (name, parallelism, schedule, sharding, layers) = plan;
    let stages = if name.starts_with("p2") { vec!["0..2", "2..4"] } else { vec!["0..4"] };
    let stages: Vec<String> = stages
        .into_iter()
        .map(|range| format!("  - {{layers: {range}, devices: \"\", recompute: {{{layers}}}}}\n"))
        .collect();
    format!(
        "# yaml-language-server: $schema=../../plan.schema.json\nmodel: {model}\ncluster: a100x8\n\
         stack: lmplan\nparallelism: {{{parallelism}}}\nbatch: {{{batch}}}\nschedule: {schedule}\n\
         optimizer_sharding: {sharding}\nstages:\n{}",
        stages.concat()
    )
}

fn run(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(PROGRAM)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("target/release/lmplan runs");
    // A prediction that is far off is a result here.
    let code = output.status.code();
    assert!(code == Some(0) || code == Some(6), "{arguments:?} ended with {code:?}");
    output.stdout
}

fn main() {
    let folder = std::env::args().nth(1).expect("a folder for the results");
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder).expect("the folder");
    let device = folder.join("localhost-core.yaml");
    let device = device.to_str().expect("a path in UTF-8");
    run(&["calibrate", "--device", "cpu", "-o", device]);
    let schema = "$schema=../../hardware/devices/device.schema.json";
    let text = std::fs::read_to_string(device).expect("the device file");
    let text = text.replacen("$schema=device.schema.json", schema, 1);
    std::fs::write(device, &text).expect("the device file");
    let provenance = text.lines().rev().find_map(|line| line.trim().strip_prefix("provenance: "));
    let provenance = provenance.unwrap_or_default().trim_matches('\'');
    let mut rows = String::new();
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for (model, batch) in
        [("gpt-small", "global: 8, micro: 2"), ("bert-small", "global: 16, micro: 4")]
    {
        for one in &PLANS {
            // The plan whose charts are kept is kept as well.
            let kept = one.0 == "p2";
            let charts = folder.join(format!("{model}-p2"));
            let path = if kept { charts.join("plan.yaml") } else { folder.join("plan.yaml") };
            std::fs::create_dir_all(&charts).expect("a folder for charts");
            let named = format!("tests/data/verify/{model}.yaml");
            std::fs::write(&path, plan(&named, batch, one)).expect("a plan");
            let mut arguments = vec!["verify", path.to_str().expect("a path in UTF-8")];
            arguments.extend(["--mode", "whole", "--device", "cpu", "--device-file", device]);
            arguments.extend(["--steps", "7", "--quiet", "--format", "json"]);
            if kept {
                arguments.extend(["-o", charts.to_str().expect("a path in UTF-8")]);
            }
            let result: Value = serde_json::from_slice(&run(&arguments)).expect("JSON");
            if !kept {
                std::fs::remove_file(&path).expect("the plan");
            }
            let number = |at: &str| result.pointer(at).and_then(Value::as_f64).unwrap_or(f64::NAN);
            let (time, peak) = (number("/timing/iteration/error"), number("/memory/error"));
            let line = format!(
                "| {model} {} | {:.1} | {:.1} | {:+.1} | {:.1} | {:+.1} |",
                one.0,
                1e3 * number("/timing/iteration/predicted_s"),
                1e3 * number("/timing/iteration/measured_s"),
                100.0 * time,
                100.0 * number("/timing/spread"),
                100.0 * peak
            );
            println!("{line}");
            writeln!(rows, "{line}").expect("memory");
            times.push(time.abs());
            peaks.push(peak.abs());
        }
    }
    let [time, peak] = [times, peaks].map(|mut errors| {
        errors.sort_by(f64::total_cmp);
        let middle = f64::midpoint(errors[errors.len() / 2], errors[(errors.len() - 1) / 2]);
        format!("median {:.1} %, worst {:.1} %", 100.0 * middle, 100.0 * errors[errors.len() - 1])
    });
    let page = format!(
        "# Predictions against runs on this machine's cores\n\nDevice: {provenance}.\n\nError of the \
         iteration time: {time}. Error of peak memory: {peak}.\n\n| plan | predicted ms | measured ms \
         | error % | spread % | memory error % |\n|---|---:|---:|---:|---:|---:|\n{rows}"
    );
    std::fs::write(folder.join("verify.md"), page).expect("the comparison");
    println!("iteration: {time}\nmemory: {peak}");
}
