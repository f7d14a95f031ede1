//! The device of this machine's cores: what was measured on it, where it was.

use assert_cmd::Command;
use lmplan::spec::machine::{CACHE_VARIABLE, LOCALHOST_CORE, Machine};
use lmplan::spec::{self, Calibration, DeviceSpec};
use lmplan::units::{Bytes, Seconds};
use std::path::Path;

fn search(folder: &Path) -> std::process::Output {
    let arguments = ["search", "--model", "gpt2-124m", "--cluster", "localhost", "--global-batch"];
    Command::cargo_bin("lmplan")
        .unwrap()
        .args(arguments)
        .args(["2", "--micro-batch", "1", "--no-report", "--format", "json", "--precision", "fp32"])
        .current_dir(folder)
        .env(CACHE_VARIABLE, folder.join("cache"))
        .output()
        .unwrap()
}

fn capacity(output: &std::process::Output) -> u64 {
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    value["prediction"]["memory_capacity_bytes"].as_u64().unwrap()
}

#[test]
fn localhost_is_this_machine_where_it_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let before = search(folder.path());
    let said = String::from_utf8_lossy(&before.stderr);
    let machine = Machine::host();
    let (mut device, _): (DeviceSpec, _) =
        spec::load_device(LOCALHOST_CORE, Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    // Where these tests run on a machine like that of the catalogue's file, that one holds.
    let own = machine.measured(&device);
    assert_eq!(said.contains("lmplan calibrate"), !own, "{said}");
    device.memory = Bytes::new(device.memory.get() + (1 << 30));
    device.calibration = Some(Calibration {
        processor: machine.processor.clone(),
        cores: machine.cores,
        driver: None,
        libtorch: spec::machine::LIBTORCH.to_owned(),
        date: "2026-11-01T00:00:00Z".to_owned(),
        quick: false,
        duration: Seconds::new(60.0),
    });
    assert!(machine.measured(&device));
    let file = folder.path().join("cache/devices").join(machine.file_name());
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, serde_yaml::to_string(&device).unwrap()).unwrap();
    let after = search(folder.path());
    assert_eq!(capacity(&after), capacity(&before) + (1 << 30));
    assert!(!String::from_utf8_lossy(&after.stderr).contains("lmplan calibrate"));
    // A file that is broken is named.
    std::fs::write(&file, "name: [").unwrap();
    let broken = search(folder.path());
    assert_eq!(broken.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&broken.stderr).contains(&machine.file_name()));
}
