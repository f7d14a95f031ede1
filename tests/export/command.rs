//! `export` as a script sees it; the launch scripts under a torchrun that prints what it is given.

use crate::megatron::{parse, validate};
use assert_cmd::Command;
use std::path::{Path, PathBuf};

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/gpt3-175b-on-a100x64")
}

fn lmplan(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("lmplan").unwrap();
    command.current_dir(folder);
    command
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_target_prints_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    for (target, begins) in [
        ("megatron", "# gpt3-175b on a100x64: 64 devices, for NVIDIA/Megatron-LM"),
        ("deepspeed", "{\n  \"train_batch_size\": 64"),
        ("torchtitan", "# gpt3-175b on a100x64"),
        ("bridge", "# gpt3-175b on a100x64"),
    ] {
        let run = |format: &str| {
            let mut command = lmplan(folder.path());
            stdout(command.args(["export", target]).arg(sample()).args(["--format", format]))
        };
        assert!(run("text").starts_with(begins), "{target}");
        let value: serde_json::Value = serde_json::from_str(&run("json")).unwrap();
        assert_eq!(value["schema"], "lmplan.export/1");
        assert_eq!(value["ranks"].as_array().unwrap().len(), 64);
        assert_eq!(value["ranks"][63]["layers"].as_array().unwrap().len(), 6);
        assert_eq!(run("csv").lines().count(), 65);
        assert!(run("markdown").contains("## Not expressed"));
        assert_eq!(run("json"), run("json"));
    }
}

#[test]
fn the_scripts_hand_torchrun_what_megatron_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let line = ["-o", "launch", "--quiet"];
    lmplan(folder.path()).args(["export", "megatron"]).arg(sample()).args(line).assert().success();
    let launch = folder.path().join("launch");
    for script in ["args.sh", "torchrun.sh", "slurm.sbatch"] {
        let status =
            std::process::Command::new("bash").arg("-n").arg(launch.join(script)).status().unwrap();
        assert!(status.success(), "{script}");
    }
    let fake = folder.path().join("torchrun");
    std::fs::write(&fake, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").unwrap();
    let chmod = std::process::Command::new("chmod").arg("+x").arg(&fake).status().unwrap();
    assert!(chmod.success());
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let output = std::process::Command::new("bash")
        .arg(launch.join("torchrun.sh"))
        .envs([("PATH", path.as_str()), ("NODE_RANK", "3"), ("MASTER_ADDR", "node0")])
        .env("MEGATRON_PATH", folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let given: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    let script = given.iter().position(|word| word == "pretrain_gpt.py").unwrap();
    let expected = ["--nnodes=8", "--nproc-per-node=8", "--node-rank=3", "--master-addr=node0"];
    assert_eq!(given[..4], expected);
    let arguments = parse(&given[script + 1..]).unwrap();
    assert_eq!(validate(&arguments, 64), Ok(()));
}

#[test]
fn bad_input_and_bad_targets_have_their_codes() {
    let folder = tempfile::tempdir().unwrap();
    lmplan(folder.path()).args(["export", "megatron", "none.yaml"]).assert().code(3);
    lmplan(folder.path()).args(["export", "jax", "none.yaml"]).assert().code(2);
    std::fs::write(folder.path().join("file"), "").unwrap();
    lmplan(folder.path())
        .args(["export", "megatron"])
        .arg(sample())
        .args(["-o", "file/launch"])
        .assert()
        .code(8);
    // A plan for more devices than another cluster has.
    lmplan(folder.path())
        .args(["export", "megatron"])
        .arg(sample())
        .args(["--cluster", "a100x8"])
        .assert()
        .code(3);
}

#[test]
fn what_else_is_in_the_folder_stays() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    std::fs::create_dir(&report).unwrap();
    for name in ["report.html", "search.json", "pipeline.svg"] {
        std::fs::write(report.join(name), "kept").unwrap();
    }
    lmplan(folder.path())
        .args(["export", "bridge"])
        .arg(sample())
        .args(["-o", "report"])
        .assert()
        .success();
    for name in ["report.html", "search.json", "pipeline.svg"] {
        assert_eq!(std::fs::read_to_string(report.join(name)).unwrap(), "kept");
    }
    assert!(report.join("lmplan_recipe.py").is_file());
}
