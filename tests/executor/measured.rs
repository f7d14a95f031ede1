//! `verify` on a machine on which nothing was measured.

use lmplan::spec::machine::{CACHE_VARIABLE, Machine};
use std::path::Path;
use std::process::{Command, Output};

const MODEL: &str = "\
name: tiny
family: gpt
num_layers: 1
hidden_size: 64
num_heads: 2
vocab_size: 128
sequence_length: 32
training: {objective: causal-lm, precision: fp32, global_batch_size: 2}
";

const PLAN: &str = "\
model: tiny.yaml
cluster: a100x8
stack: lmplan
parallelism: {tensor: 1, pipeline: 1, data: 1}
batch: {global: 2, micro: 2}
schedule: 1f1b
";

fn verify(folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lmplan"))
        .args(["verify", "plan.yaml", "--device", "cpu", "--mode", "whole"])
        .args(["--tolerance", "1e9", "--format", "json"])
        .current_dir(folder)
        .env(CACHE_VARIABLE, folder.join("cache"))
        .output()
        .unwrap()
}

#[test]
fn a_machine_is_measured_once_and_its_broken_file_replaced() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.yaml"), MODEL).unwrap();
    std::fs::write(folder.path().join("plan.yaml"), PLAN).unwrap();
    let file = folder.path().join("cache/devices").join(Machine::host().file_name());
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "name: nothing\n").unwrap();
    let mut found = Vec::new();
    for _ in 0..2 {
        let output = verify(folder.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        found.push((said, result["calibrated"].clone()));
    }
    let [(first, then), (second, later)] = <[_; 2]>::try_from(found).unwrap();
    assert!(first.contains("its file is broken"), "{first}");
    assert!(first.contains("measuring this processor") && first.contains("kept in"), "{first}");
    assert_eq!(then["now"], true);
    assert_eq!(then["device_file"], file.display().to_string());
    assert_eq!(then["cores"], Machine::host().cores);
    assert!(!second.contains("measuring"), "{second}");
    assert_eq!((&later["now"], &later["date"]), (&false.into(), &then["date"]));
}
