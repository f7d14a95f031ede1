//! The command as a script sees it: output, exit codes, closed pipes.

use assert_cmd::Command;
use predicates::prelude::*;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

fn lmplan(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("lmplan").unwrap();
    command.current_dir(folder).env("NO_COLOR", "1");
    command
}

/// A working folder with one file of each kind.
fn working_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/valid");
    for (at, name) in [
        ("models/sample-gpt.yaml", "model.yaml"),
        ("hardware/sample-cluster.yaml", "cluster.yaml"),
        ("hardware/devices/sample-device.yaml", "device.yaml"),
        ("hardware/stacks/sample-stack.yaml", "stack.yaml"),
    ] {
        let path = folder.path().join(at);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(fixtures.join(name), path).unwrap();
    }
    folder
}

const SUBJECTS: [&str; 4] = ["models", "clusters", "devices", "stacks"];

#[test]
fn lists_name_what_there_is_in_sixty_columns() {
    let folder = working_folder();
    for subject in SUBJECTS {
        let name = format!(
            "sample-{}",
            match subject {
                "models" => "gpt",
                other => other.trim_end_matches('s'),
            }
        );
        let output = lmplan(folder.path()).args(["list", subject]).assert().success().stderr("");
        let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        assert!(text.contains(&name), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 60, "{line}");
        }
    }
}

#[test]
fn lists_are_json_csv_and_markdown_too() {
    let folder = working_folder();
    for subject in SUBJECTS {
        let output =
            lmplan(folder.path()).args(["list", subject, "--format", "json"]).output().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["schema"], "lmplan.list/1");
        let rows = value[subject].as_array().unwrap();
        let output =
            lmplan(folder.path()).args(["list", subject, "--format", "csv"]).output().unwrap();
        let csv = String::from_utf8(output.stdout).unwrap();
        assert_eq!(csv.lines().count(), rows.len() + 1, "{csv}");
        let output =
            lmplan(folder.path()).args(["list", subject, "--format", "markdown"]).output().unwrap();
        let markdown = String::from_utf8(output.stdout).unwrap();
        assert!(markdown.lines().all(|line| line.starts_with("| ") && line.ends_with(" |")));
    }
    let output =
        lmplan(folder.path()).args(["list", "devices", "--format", "json"]).output().unwrap();
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = value["devices"].as_array().unwrap();
    let sample = rows.iter().find(|row| row["name"] == "sample-device").unwrap();
    assert_eq!(sample["memory_bytes"], 85_899_345_920_u64);
    assert_eq!(sample["peak_flop_per_s"]["bf16-mixed"], 312e12);
}

#[test]
fn a_file_that_is_wrong_is_left_out_and_named() {
    let folder = working_folder();
    std::fs::write(folder.path().join("models/broken.yaml"), "name: broken\n").unwrap();
    lmplan(folder.path())
        .args(["list", "models"])
        .assert()
        .success()
        .stdout(
            predicate::str::contains("sample-gpt").and(predicate::str::contains("broken").not()),
        )
        .stderr(predicate::str::contains("models/broken.yaml:1:1"));
    lmplan(folder.path()).args(["list", "models", "--quiet"]).assert().success().stderr("");
}

#[test]
fn the_files_fit_the_schemas_that_are_printed() {
    let folder = working_folder();
    for kind in ["model", "cluster", "device", "stack", "plan"] {
        let output = lmplan(folder.path()).args(["schema", kind]).assert().success();
        let schema: serde_json::Value =
            serde_json::from_slice(&output.get_output().stdout).unwrap();
        let fixture =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/valid/{kind}.yaml"));
        let text = std::fs::read_to_string(fixture).unwrap();
        let file: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        for field in schema["required"].as_array().unwrap() {
            assert!(file.get(field.as_str().unwrap()).is_some(), "{kind} lacks {field}");
        }
        for (field, _) in file.as_object().unwrap() {
            assert!(
                schema["properties"].get(field).is_some(),
                "{kind}: {field} is not in the schema"
            );
        }
        assert!(!schema.to_string().contains("\"null\""), "{kind}: null is no value of a file");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        &["--help"][..],
        &["--version"],
        &["list", "--help"],
        &["schema", "--help"],
        &["completions", "--help"],
        &["man", "--help"],
    ] {
        let assert = lmplan(folder.path()).args(line).assert().success().stderr("");
        let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        assert!(line == ["--version"] || text.contains("lmplan "), "{text}");
        assert!(line == ["--version"] || text.contains("Example"), "{text}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_two() {
    let folder = tempfile::tempdir().unwrap();
    for line in [&["lisst"][..], &["list"], &["list", "planets"], &["schema", "models"], &["--no"]]
    {
        lmplan(folder.path())
            .args(line)
            .assert()
            .code(2)
            .stdout("")
            .stderr(predicate::str::contains("error:"));
    }
    lmplan(folder.path())
        .args(["lisst"])
        .assert()
        .stderr(predicate::str::contains("similar").and(predicate::str::contains("list")));
}

#[test]
fn completions_and_the_manual_name_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        lmplan(folder.path()).args(["completions", shell]).assert().success().stdout(
            predicate::str::contains("completions").and(predicate::str::contains("schema")),
        );
    }
    lmplan(folder.path()).arg("man").assert().success().stdout(
        predicate::str::contains("LMPLAN LIST").and(predicate::str::contains("Exit codes")),
    );
    let output = lmplan(folder.path()).arg("man").output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    for command in [
        "SEARCH",
        "SIMULATE",
        "CHECK",
        "EXPLAIN",
        "DIFF",
        "IMPORT",
        "IMPORT HF",
        "EXPORT",
        "GRAPH",
        "LIST",
        "SCHEMA",
        "COMPLETIONS",
        "MAN",
        "VALIDATE",
        "VERIFY",
        "CALIBRATE",
    ] {
        assert!(page.contains(&format!(".SH \"LMPLAN {command}\"")), "{command}");
    }
    assert!(!page.contains("LMPLAN RANK"));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let folder = working_folder();
    for line in [&["man"][..], &["schema", "model"], &["completions", "bash"], &["list", "models"]]
    {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("lmplan"))
            .args(line)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{line:?}: {said}");
        assert_eq!(said, "", "{line:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_with_eight() {
    let folder = tempfile::tempdir().unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = std::process::Command::new(assert_cmd::cargo::cargo_bin("lmplan"))
        .args(["schema", "model"])
        .current_dir(folder.path())
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(8));
    assert!(String::from_utf8_lossy(&output.stderr).contains("output could not be written"));
}

#[test]
fn nothing_is_coloured_without_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    for line in [&["--help"][..], &["lisst"]] {
        let output = lmplan(folder.path()).env_remove("NO_COLOR").args(line).output().unwrap();
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b));
    }
}

#[test]
fn the_same_line_prints_the_same_bytes() {
    let folder = working_folder();
    for line in [&["list", "clusters", "--format", "json"][..], &["schema", "plan"], &["man"]] {
        let first = lmplan(folder.path()).args(line).output().unwrap();
        let second = lmplan(folder.path()).args(line).output().unwrap();
        assert_eq!(first.stdout, second.stdout);
    }
}
