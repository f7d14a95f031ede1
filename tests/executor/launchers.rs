//! `verify` in processes that a launcher started: each takes its rank from the environment.

use lmplan_c10d::{STOP, Store, send_signal};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const MODEL: &str = "\
name: tiny
family: gpt
num_layers: 2
hidden_size: 64
num_heads: 4
vocab_size: 256
sequence_length: 32
training: {objective: causal-lm, precision: fp32, global_batch_size: 4}
";

const PLAN: &str = "\
model: tiny.yaml
cluster: a100x8
stack: lmplan
parallelism: {tensor: 2, pipeline: 1, data: 1}
batch: {global: 4, micro: 2}
schedule: 1f1b
";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.yaml"), MODEL).unwrap();
    std::fs::write(folder.path().join("plan.yaml"), PLAN).unwrap();
    folder
}

/// One of `size` processes, by the variables of torchrun.
fn process(folder: &Path, arguments: &str, rank: u64, size: u64, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lmplan"));
    command
        .args(["verify", "plan.yaml", "--device", "cpu"])
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env("RANK", rank.to_string())
        .env("WORLD_SIZE", size.to_string())
        .env("LOCAL_RANK", rank.to_string())
        .env("MASTER_ADDR", "127.0.0.1")
        .env("MASTER_PORT", port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Rank 0 reports and the others are silent; all succeed.
fn assert_verified(outputs: &[Output]) -> serde_json::Value {
    for (rank, output) in outputs.iter().enumerate() {
        assert!(output.status.success(), "{rank}: {}", text(&output.stderr));
        if rank > 0 {
            assert_eq!((text(&output.stdout), text(&output.stderr)), Default::default());
        }
    }
    serde_json::from_slice(&outputs[0].stdout).unwrap()
}

fn run(start: impl Fn(u64) -> Command, size: u64) -> Vec<Output> {
    let children: Vec<Child> = (0..size).map(|rank| start(rank).spawn().unwrap()).collect();
    children.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

#[test]
fn rank_0_serves_the_others_and_reports() {
    let folder = folder();
    let port = free_port();
    // One more than the plan needs.
    let mode = "--mode whole --device-file localhost-core --tolerance 1e9 --format json -o out \
                --trace trace.json";
    let report = assert_verified(&run(|rank| process(folder.path(), mode, rank, 3, port), 3));
    assert_eq!(report["mode"], serde_json::json!(["whole"]));
    assert!(report["timing"]["iteration"]["measured_s"].as_f64().unwrap() > 0.0);
    for name in ["timeline", "classes", "memory", "memory-over-time"] {
        let path = folder.path().join(format!("out/verify-{name}.svg"));
        let chart = std::fs::read_to_string(path).unwrap();
        assert!(roxmltree::Document::parse(&chart).is_ok(), "{name}");
        let page = std::fs::read_to_string(folder.path().join("out/verify.md")).unwrap();
        assert!(page.contains(&format!("(verify-{name}.svg)")), "{name}: {page}");
    }
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(folder.path().join(name)).unwrap()).unwrap()
    };
    assert_eq!(read("out/verify.json"), report);
    // Two micro-batches forward and backward, reduction, norm, optimizer.
    let events = read("trace.json");
    let kinds = events["traceEvents"].as_array().unwrap().iter();
    let count = |name: &str| kinds.clone().filter(|event| event["name"] == name).count();
    assert_eq!([count("forward"), count("backward"), count("optimizer")], [2, 2, 2]);
    let mode = "--mode numerics --format json";
    let report = assert_verified(&run(|rank| process(folder.path(), mode, rank, 2, port), 2));
    assert_eq!(
        (&report["numerics"]["passed"], &report["numerics"]["ranks"]),
        (&true.into(), &2.into())
    );
}

#[test]
fn a_launcher_serves_the_store() {
    let folder = folder();
    let model = MODEL.replace("fp32", "bf16-mixed");
    std::fs::write(folder.path().join("tiny.yaml"), model).unwrap();
    let store = Store::tcp("127.0.0.1", 0, true, Duration::from_secs(20)).unwrap();
    let port = store.port().unwrap();
    // As after an elastic restart, with what the first attempt left.
    for attempt in ["0", "1"] {
        let start = |rank| {
            let mode = "--mode numerics --format json";
            let mut process = process(folder.path(), mode, rank, 2, port);
            process.env("TORCHELASTIC_USE_AGENT_STORE", "True");
            process.env("TORCHELASTIC_RESTART_COUNT", attempt);
            process
        };
        let report = assert_verified(&run(start, 2));
        assert_eq!(report["numerics"]["passed"], true);
        let found = &report["numerics_16_bit"];
        assert_eq!((&found["precision"], &found["passed"]), (&"bf16-mixed".into(), &true.into()));
    }
}

#[test]
fn failures_are_told_by_rank_0_and_end_all() {
    let folder = folder();
    std::fs::write(folder.path().join("plan.yaml"), PLAN.replace("micro: 2", "micro: 3")).unwrap();
    let port = free_port();
    let outputs = run(|rank| process(folder.path(), "", rank, 2, port), 2);
    assert_eq!(outputs[0].status.code(), Some(3), "{}", text(&outputs[0].stderr));
    assert!(text(&outputs[0].stderr).contains("plan.yaml"), "{}", text(&outputs[0].stderr));
    assert_eq!(outputs[1].status.code(), Some(6));
    assert!(text(&outputs[1].stderr).contains("rank 0 failed"), "{}", text(&outputs[1].stderr));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = folder();
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let start = Instant::now();
    let output = process(folder.path(), "", 0, 2, port).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    let error = text(&output.stderr);
    assert_eq!(
        error,
        format!("error: port {port} of 127.0.0.1 is taken: set MASTER_PORT to a free one\n")
    );
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[test]
fn variables_that_are_wrong_are_named() {
    let folder = folder();
    let mut process = process(folder.path(), "", 2, 2, 29_500);
    let output = process.output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("RANK is 2"), "{}", text(&output.stderr));
}

/// Ranks of this machine that have not ended, by their command line and this folder.
fn left_in(folder: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let here = |entry: &std::fs::DirEntry| {
        std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder)
    };
    processes.filter(here).count()
}

/// Rank 1 is sent a signal while the ranks compute; how rank 0 ends.
fn rank_0_after(signal: i32) -> String {
    let folder = folder();
    let port = free_port();
    let start = |rank| {
        let arguments = "--mode numerics --steps 1000";
        process(folder.path(), arguments, rank, 2, port).spawn().unwrap()
    };
    let (mut leader, mut other) = (start(0), start(1));
    let mut lines = BufReader::new(leader.stderr.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("numerics"));
    std::thread::sleep(Duration::from_secs(3));
    assert!(send_signal(other.id(), signal));
    let sent = Instant::now();
    let status = leader.wait().unwrap();
    assert_eq!(status.code(), Some(6));
    assert!(sent.elapsed() < Duration::from_secs(15), "{:?}", sent.elapsed());
    other.kill().unwrap();
    other.wait().unwrap();
    // What the kernel ends with its parent may take a moment.
    let gone = (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        left_in(folder.path()) == 0
    });
    assert!(gone, "processes are left");
    lines.map(Result::unwrap).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_process_that_is_killed_or_hangs_ends_the_run() {
    for signal in [9, STOP] {
        let error = rank_0_after(signal);
        assert_eq!(error, "error: rank 1 hangs: it has been silent for 8 seconds", "{signal}");
    }
}
