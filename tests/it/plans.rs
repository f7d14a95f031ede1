//! `explain` and `diff`, on a small job.

use assert_cmd::Command;
use predicates::prelude::*;
use serde_json::Value;
use std::path::Path;

fn lmplan(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("lmplan").unwrap();
    command.current_dir(folder).env("NO_COLOR", "1");
    command
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Searches GPT-3 1.3B on eight devices into `name`.
fn search(folder: &Path, name: &str, pins: &[&str]) {
    let line = ["search", "--model", "gpt3-1.3b", "--cluster", "a100x8", "--global-batch", "16"];
    let mut command = lmplan(folder);
    command.args(line).args(["--quiet", "-o", name]).args(pins).assert().success();
}

fn explain(folder: &Path, more: &[&str]) -> Value {
    let mut command = lmplan(folder);
    let text = stdout(command.args(["explain", "best", "--format", "json"]).args(more));
    serde_json::from_str(&text).unwrap()
}

/// What `explain` says of another choice is what a search with that choice finds, and nothing that
/// changes one choice is faster than the best plan.
#[test]
fn neighbours_and_why_not_are_the_best_of_their_kind() {
    let folder = tempfile::tempdir().unwrap();
    search(folder.path(), "best", &[]);
    search(folder.path(), "other", &["--tp", "2", "--pp", "2"]);
    let value = explain(folder.path(), &["--why-not", "tp=2,pp=2"]);
    assert_eq!(value["schema"], "lmplan.explain/1");
    let ours = value["prediction"]["iteration_time_s"].as_f64().unwrap();
    let neighbours = value["neighbours"].as_array().unwrap();
    assert!(neighbours.len() >= 5, "{neighbours:#?}");
    for near in neighbours {
        let time = near["iteration_time_s"].as_f64();
        assert!(time.is_none_or(|time| time >= ours * (1.0 - 1e-9)), "{near}");
        assert!(!near["changes"].as_array().unwrap().is_empty());
    }
    let text = std::fs::read(folder.path().join("other/search.json")).unwrap();
    let other: Value = serde_json::from_slice(&text).unwrap();
    let (said, found) = (&value["why_not"], &other["prediction"]);
    assert_eq!(said["outcome"], "fits");
    assert_eq!(said["iteration_time_s"], found["iteration_time_s"]);
    assert_eq!(said["peak_memory_bytes"], found["peak_memory_bytes"]);
    let again = explain(folder.path(), &["--why-not", "tp=2,pp=2"]);
    assert_eq!(value, again);

    for (format, said) in
        [("text", "Why not tp=3"), ("markdown", "## Why not tp=3"), ("csv", "nothing")]
    {
        let mut command = lmplan(folder.path());
        command.args(["explain", "best", "--why-not", "tp=3", "--format", format]);
        assert!(stdout(&mut command).contains(said), "{format}");
    }
}

#[test]
fn what_does_not_fit_names_stage_need_and_room() {
    let folder = tempfile::tempdir().unwrap();
    let line = ["search", "--model", "gpt3-6.7b", "--cluster", "a100x8", "--global-batch", "8"];
    let pins = ["--tp", "8", "--dp", "1", "--micro-batch", "1", "--quiet", "-o", "best"];
    lmplan(folder.path()).args(line).args(pins).assert().success();
    let value = explain(folder.path(), &["--why-not", "tp=1,pp=1,optimizer-sharding=none"]);
    let other = &value["why_not"];
    assert_eq!(other["outcome"], "overflows", "{other:#}");
    assert_eq!(other["stage"], 0);
    let need = other["needs_bytes"].as_u64().unwrap();
    // 18 bytes for each of 6.7 billion parameters are more than the device holds.
    assert!(need > 6_700_000_000 * 18 && need < 6_700_000_000 * 30, "{need}");
    assert!(need > other["memory_capacity_bytes"].as_u64().unwrap());
    let said = other["reasons"][0].as_str().unwrap();
    assert!(said.contains("needs") && said.contains("on stage 0"), "{said}");
}

#[test]
fn differences_are_told_in_words_and_numbers() {
    let folder = tempfile::tempdir().unwrap();
    search(folder.path(), "best", &["--tp", "1", "--pp", "1"]);
    search(folder.path(), "other", &["--tp", "2", "--pp", "1"]);
    let diff = |a: &str, b: &str, format: &str| {
        stdout(lmplan(folder.path()).args(["diff", a, b, "--format", format]))
    };
    let value: Value = serde_json::from_str(&diff("best", "other", "json")).unwrap();
    assert_eq!((&value["schema"], &value["same"]), (&"lmplan.diff/1".into(), &false.into()));
    let rows = value["differences"].as_array().unwrap();
    let tensor = rows.iter().find(|row| row["what"] == "tensor").unwrap();
    assert_eq!((&tensor["a"], &tensor["b"]), (&1.into(), &2.into()));
    let time = rows.iter().find(|row| row["what"] == "iteration time").unwrap();
    let read = |name: &str| {
        let text = std::fs::read(folder.path().join(name).join("search.json")).unwrap();
        let value: Value = serde_json::from_slice(&text).unwrap();
        value["prediction"]["iteration_time_s"].as_f64().unwrap()
    };
    assert_eq!(time["a"].as_f64().unwrap(), read("best"));
    assert_eq!(time["b"].as_f64().unwrap(), read("other"));
    let change = time["change"].as_f64().unwrap();
    assert!((change - (read("other") / read("best") - 1.0)).abs() < 1e-12);
    assert!(rows.iter().any(|row| row["what"] == "cost of a billion tokens"));
    assert!(rows.iter().any(|row| row["section"] == "stage 0" && row["what"] == "peak memory"));
    // The breakdown's differences add up to that of the time.
    let parts: f64 = rows
        .iter()
        .filter(|row| row["section"] == "breakdown")
        .map(|row| row["b"].as_f64().unwrap() - row["a"].as_f64().unwrap())
        .sum();
    assert!((parts - (read("other") - read("best"))).abs() < 1e-9, "{parts}");

    let text = diff("best", "other", "text");
    assert!(text.contains("other changes") && text.contains("tensor 1 -> 2"), "{text}");
    assert!(diff("best", "other", "markdown").contains("| plan | tensor | 1 | 2 |"));
    assert!(diff("best", "other", "csv").starts_with("section,what,a,b,unit,change\n"));
    // The plan of a report, predicted anew, is what the report says.
    let same: Value = serde_json::from_str(&diff("best", "best/plan.yaml", "json")).unwrap();
    assert_eq!(same["same"], true, "{same:#}");
    assert!(diff("best", "best", "text").contains("are the same"));
}

#[test]
fn bad_input_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.json"), "{\"schema\": 1}").unwrap();
    std::fs::write(folder.path().join("b.yaml"), "model: x\n").unwrap();
    let at = folder.path();
    lmplan(at)
        .args(["diff", "a.json", "b.yaml"])
        .assert()
        .code(3)
        .stderr(predicate::str::contains("neither a `search.json`"));
    lmplan(at).args(["diff", "b.yaml", "b.yaml"]).assert().code(3);
    lmplan(at).args(["diff", "none.json", "b.yaml"]).assert().code(3);
    lmplan(at).args(["diff", "a.json"]).assert().code(2);
    lmplan(at).args(["explain", "b.yaml"]).assert().code(3);
    lmplan(at)
        .args(["explain", "b.yaml", "--why-not", "tq=4"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("did you mean `tp`?"));
}
