//! Every dense model of the catalogue on twelve clusters: how long `lmplan search` takes, process start
//! to end, and what it needs.
//!
//! ```text
//! cargo bench --bench survey -- [--models PART,..] [--clusters PART,..] [--time-limit 60s] [-o FILE.csv]
//! ```
//!
//! Parts of names choose models and clusters; all are asked where none are given. A line tells of each
//! question, then come quantiles of the times, the slowest, what is not proven and the peak memory.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use lmplan::lower::Workload;
use lmplan::spec;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// From one node to tens of thousands of devices, old and new, with and without a switch.
const CLUSTERS: [&str; 12] = [
    "a100x8",
    "a100x64",
    "a100x1024",
    "h100x8",
    "h100x128",
    "h100x2048",
    "h100x16384",
    "b200x64",
    "gb200-nvl72x8",
    "dgx1-v100",
    "mi300x64",
    "l40sx8",
];

/// Between two looks at a process's memory.
const LOOK: Duration = Duration::from_millis(2);

/// What is asked.
struct Arguments {
    models: Vec<String>,
    clusters: Vec<String>,
    time_limit: String,
    output: Option<PathBuf>,
}

/// What came of one question.
struct Answer {
    model: String,
    cluster: String,
    seconds: f64,
    /// Peak resident memory in MiB, where the system tells.
    memory: f64,
    status: String,
    iteration_seconds: Option<f64>,
    candidates: u64,
    solved: u64,
}

impl Answer {
    fn is_proven(&self) -> bool {
        ["optimal", "infeasible", "refused"].contains(&self.status.as_str())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read(std::env::args().skip(1))?;
    let mut answers = Vec::new();
    for model in models(&arguments.models)? {
        for cluster in CLUSTERS.iter().filter(|name| chosen(name, &arguments.clusters)) {
            let answer = ask(&model, cluster, &arguments.time_limit)?;
            println!(
                "{:8.3} s {:7.1} MiB  {:10}  {model} on {cluster}",
                answer.seconds, answer.memory, answer.status
            );
            answers.push(answer);
        }
    }
    if let Some(path) = &arguments.output {
        write(path, &answers)?;
    }
    summarize(answers);
    Ok(())
}

impl Arguments {
    fn read(mut given: impl Iterator<Item = String>) -> Result<Arguments, Box<dyn Error>> {
        let (models, clusters) = (Vec::new(), Vec::new());
        let mut read = Arguments { models, clusters, time_limit: "60s".to_owned(), output: None };
        let parts = |text: String| text.split(',').map(str::to_owned).collect();
        while let Some(flag) = given.next() {
            if flag == "--bench" {
                continue; // Cargo's own.
            }
            let value = given.next().ok_or_else(|| format!("`{flag}` needs a value"))?;
            match flag.as_str() {
                "--models" => read.models = parts(value),
                "--clusters" => read.clusters = parts(value),
                "--time-limit" => read.time_limit = value,
                "-o" => read.output = Some(PathBuf::from(value)),
                _ => return Err(format!("unknown argument `{flag}`").into()),
            }
        }
        Ok(read)
    }
}

fn chosen(name: &str, parts: &[String]) -> bool {
    parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str()))
}

/// The models of the catalogue that can be planned.
fn models(parts: &[String]) -> Result<Vec<String>, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.join("models"))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.extension().is_none_or(|end| end != "yaml") || !chosen(&name, parts) {
            continue;
        }
        let (model, _) = spec::load_model(&name, folder)?;
        let (stack, _) = spec::load_stack("megatron-core", folder)?;
        if Workload::new(model, stack).is_ok() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Asks one question in a process of its own.
fn ask(model: &str, cluster: &str, time_limit: &str) -> Result<Answer, Box<dyn Error>> {
    let folder = std::env::temp_dir();
    let output = folder.join(format!("lmplan-survey-{}.json", std::process::id()));
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lmplan"))
        .args(["search", "--model", model, "--cluster", cluster, "--time-limit", time_limit])
        .args(["--format", "json", "--no-report"])
        .current_dir(&folder)
        .stdout(std::fs::File::create(&output)?)
        .stderr(Stdio::null())
        .spawn()?;
    let mut memory: f64 = 0.0;
    let code = loop {
        memory = memory.max(peak(child.id()).unwrap_or(0.0));
        if let Some(status) = child.try_wait()? {
            break status.code();
        }
        std::thread::sleep(LOOK);
    };
    let seconds = start.elapsed().as_secs_f64();
    let found: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&output)?).unwrap_or_default();
    std::fs::remove_file(&output)?;
    let search = &found["search"];
    let status = match (search["status"].as_str(), code) {
        (Some(status), _) => status.to_owned(),
        (None, Some(4)) => "infeasible".to_owned(),
        // What the device can not run, such as bf16 on a V100.
        (None, Some(3)) => "refused".to_owned(),
        (None, code) => format!("exit {}", code.unwrap_or(-1)),
    };
    let number = |name: &str| search[name].as_u64().unwrap_or(0);
    Ok(Answer {
        model: model.to_owned(),
        cluster: cluster.to_owned(),
        seconds,
        memory,
        status,
        iteration_seconds: found["prediction"]["iteration_time_s"].as_f64(),
        candidates: number("candidates"),
        solved: number("solved"),
    })
}

/// The peak resident memory of a process in MiB, under Linux.
fn peak(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes / 1024.0)
}

fn write(path: &Path, answers: &[Answer]) -> Result<(), Box<dyn Error>> {
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record([
        "model",
        "cluster",
        "seconds",
        "memory_mib",
        "status",
        "iteration_time_s",
        "candidates",
        "solved",
    ])?;
    for answer in answers {
        writer.write_record([
            answer.model.clone(),
            answer.cluster.clone(),
            format!("{:.3}", answer.seconds),
            format!("{:.1}", answer.memory),
            answer.status.clone(),
            answer.iteration_seconds.map(|seconds| seconds.to_string()).unwrap_or_default(),
            answer.candidates.to_string(),
            answer.solved.to_string(),
        ])?;
    }
    writer.flush()?;
    Ok(())
}

fn summarize(mut answers: Vec<Answer>) {
    answers.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let Some(slowest) = answers.first() else {
        println!("nothing was asked");
        return;
    };
    let at = |share: f64| answers[((1.0 - share) * (answers.len() - 1) as f64) as usize].seconds;
    println!(
        "\n{} questions: median {:.3} s, p90 {:.3} s, p99 {:.3} s, worst {:.3} s",
        answers.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        slowest.seconds
    );
    let memory = answers.iter().map(|answer| answer.memory).fold(0.0, f64::max);
    println!("peak memory {memory:.0} MiB\nslowest:");
    for answer in answers.iter().take(10) {
        println!("{:8.3} s  {} on {}", answer.seconds, answer.model, answer.cluster);
    }
    let open: Vec<&Answer> = answers.iter().filter(|answer| !answer.is_proven()).collect();
    println!("not proven: {}", open.len());
    for answer in open {
        println!("  {} on {}: {}", answer.model, answer.cluster, answer.status);
    }
}
