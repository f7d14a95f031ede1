//! Calibrates this machine's cores and holds the predictions for twenty small plans against runs of
//! them: `scripts/build-torch.sh && cargo run --release --example verify_machine -- reports/verify-cpu`.
//! Takes about half an hour; nothing else should run meanwhile. All plans are run in turn,
//! and that three times, so that what slows the machine for a while slows all of them; each counts
//! by the middle one of its rounds, and every round is summed up too. Writes the device file, the
//! comparison and the charts of one plan of each model into the folder.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints what it does")]

use serde_json::Value;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The program, with libtorch.
const PROGRAM: &str = "target/release/lmplan";

/// Name, parallelism, schedule, optimizer sharding, recomputation of the four layers.
type Plan = (&'static str, &'static str, &'static str, &'static str, &'static str);

const PLANS: [Plan; 10] = [
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
fn plan(model: &str, batch: &str, plan: &Plan) -> String {
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

/// All plans are run so often.
const ROUNDS: usize = 3;

/// Repetitions of each plan in a round.
const STEPS: &str = "3";

/// The plans: model, batch, the rest.
fn plans() -> Vec<(&'static str, &'static str, &'static Plan)> {
    let models = [("gpt-small", "global: 8, micro: 2"), ("bert-small", "global: 16, micro: 4")];
    let of = |(model, batch)| PLANS.iter().map(move |one| (model, batch, one));
    models.into_iter().flat_map(of).collect()
}

/// Runs a plan; its charts go to `kept`.
fn measure(
    folder: &Path,
    device: &str,
    (model, batch, one): (&str, &str, &Plan),
    kept: Option<&Path>,
) -> Value {
    let path = kept.unwrap_or(folder).join("plan.yaml");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for charts");
    let named = format!("tests/data/verify/{model}.yaml");
    std::fs::write(&path, plan(&named, batch, one)).expect("a plan");
    let mut arguments = vec!["verify", path.to_str().expect("a path in UTF-8")];
    arguments.extend(["--mode", "whole", "--device", "cpu", "--device-file", device]);
    arguments.extend(["--steps", STEPS, "--quiet", "--format", "json"]);
    if let Some(charts) = kept {
        arguments.extend(["-o", charts.to_str().expect("a path in UTF-8")]);
    }
    let result = serde_json::from_slice(&run(&arguments)).expect("JSON");
    if kept.is_none() {
        std::fs::remove_file(&path).expect("the plan");
    }
    result
}

/// The middle and the largest of some errors, in words.
fn summary(errors: Vec<f64>) -> String {
    let worst = errors.iter().copied().fold(0.0, f64::max);
    format!("median {:.1} %, worst {:.1} %", 100.0 * middle(errors), 100.0 * worst)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    f64::midpoint(values[values.len() / 2], values[(values.len() - 1) / 2])
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
    let mut results: Vec<(String, Vec<Value>)> = Vec::new();
    for round in 0..ROUNDS {
        for (index, (model, batch, one)) in plans().into_iter().enumerate() {
            let charts = folder.join(format!("{model}-p2"));
            // The plan whose charts are kept is kept as well.
            let kept = (one.0 == "p2" && round + 1 == ROUNDS).then_some(charts.as_path());
            let result = measure(folder, device, (model, batch, one), kept);
            if round == 0 {
                results.push((format!("{model} {}", one.0), Vec::new()));
            }
            results[index].1.push(result);
        }
        println!("round {} of {ROUNDS}", round + 1);
    }
    let mut rows = String::new();
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for (name, rounds) in &results {
        let all = |at: &str| -> Vec<f64> {
            let number = |round: &Value| round.pointer(at).and_then(Value::as_f64);
            rounds.iter().map(|round| number(round).expect(at)).collect()
        };
        let error = middle(all("/timing/iteration/error"));
        let measured = all("/timing/iteration/measured_s");
        let spread = all("/timing/spread");
        let peak = middle(all("/memory/error"));
        let line = format!(
            "| {name} | {:.1} | {:.1} | {:+.1} | {:.1} | {:+.1} |",
            1e3 * middle(all("/timing/iteration/predicted_s")),
            1e3 * middle(measured),
            100.0 * error,
            100.0 * middle(spread),
            100.0 * peak
        );
        println!("{line}");
        writeln!(rows, "{line}").expect("memory");
        times.push(error.abs());
        peaks.push(peak.abs());
    }
    let [time, peak] = [times, peaks].map(summary);
    let by_round: Vec<String> = (0..ROUNDS)
        .map(|round| {
            let error = |all: &Vec<Value>| {
                all[round].pointer("/timing/iteration/error").and_then(Value::as_f64)
            };
            let errors = results.iter().filter_map(|(_, all)| error(all).map(f64::abs));
            summary(errors.collect())
        })
        .collect();
    let by_round = by_round.join("; ");
    let page = format!(
        "# Predictions against runs on this machine's cores\n\nDevice: {provenance}.\n\nError of the \
         iteration time, by the middle one of {ROUNDS} rounds: {time}. By round: {by_round}. Error of \
         peak memory: {peak}.\n\n| plan | predicted ms | measured ms \
         | error % | spread % | memory error % |\n|---|---:|---:|---:|---:|---:|\n{rows}"
    );
    std::fs::write(folder.join("verify.md"), page).expect("the comparison");
    println!("iteration: {time} (by round: {by_round})\nmemory: {peak}");
}
