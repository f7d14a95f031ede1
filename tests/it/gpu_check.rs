//! `scripts/gpu-check.sh` is run on machines that are lent for minutes: that its steps can be read
//! and that its plans can be predicted is seen here.

use assert_cmd::Command;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/gpu-check")
}

fn plans(of: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder().join(of)).unwrap();
    entries.map(|entry| Path::new(of).join(entry.unwrap().file_name())).collect()
}

#[test]
fn the_script_parses() {
    let script = folder().with_file_name("gpu-check.sh");
    Command::new("bash").arg("-n").arg(&script).assert().success();
    // A wrong option explains all of them, and runs nothing.
    let output = Command::new("bash").arg(&script).arg("--wrong").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stdout).unwrap();
    for word in ["pack", "--device", "--only", "LMPLAN_GPU_SECONDS"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

/// Each plan suits its model and cluster, and fits.
#[test]
fn all_plans_can_be_predicted() {
    let mut count = 0;
    for of in ["numerics", "roles", "whole", "small/numerics", "small/roles", "small/whole"] {
        for plan in plans(of) {
            let text = std::fs::read_to_string(folder().join(&plan)).unwrap();
            let named = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}: ")));
                line.unwrap_or_default().to_owned()
            };
            let mut command = Command::cargo_bin("lmplan").unwrap();
            command.current_dir(folder()).args(["simulate", "--no-report", "--stack", "lmplan"]);
            command.arg("--plan").arg(&plan);
            command.args(["--model", &named("model"), "--cluster", &named("cluster")]);
            command.assert().success();
            count += 1;
        }
    }
    assert_eq!(count, 8 + 6 + 3 + 2 + 1 + 1);
}
