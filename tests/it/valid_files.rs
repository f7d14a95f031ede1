//! Files that are right are accepted, and survive being written and read again.

use crate::invalid_files::{fixtures, read_as};
use lmplan::plan::Plan;
use lmplan::spec::{
    Cluster, ClusterSpec, DeviceSpec, Document, ModelSpec, Source, StackSpec, job_findings,
    load_model, parse,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

#[test]
fn each_is_accepted() {
    for path in fixtures("valid") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let kind = name.split(['-', '.']).next().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        if let Err(error) = read_as(kind, &name, bytes) {
            panic!("{error}");
        }
    }
}

fn fixture(name: &str) -> Source {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/valid").join(name);
    Source { name: name.into(), text: std::fs::read_to_string(path).unwrap() }
}

fn round_trip<T: Document + Serialize + PartialEq + std::fmt::Debug>(name: &str) {
    let first: T = parse(&fixture(name)).unwrap();
    let text = serde_yaml::to_string(&first).unwrap();
    let again: T = parse(&Source { name: name.into(), text }).unwrap();
    assert_eq!(first, again);
}

#[test]
fn what_is_written_reads_back_the_same() {
    round_trip::<ModelSpec>("model.yaml");
    round_trip::<ModelSpec>("model-bert.yaml");
    round_trip::<ModelSpec>("model-moe.yaml");
    round_trip::<ClusterSpec>("cluster.yaml");
    round_trip::<DeviceSpec>("device.yaml");
    round_trip::<StackSpec>("stack.yaml");
    round_trip::<Plan>("plan.yaml");
}

#[test]
fn the_order_of_the_fields_changes_nothing() {
    let source = fixture("model.yaml");
    let (head, training) = source.text.split_once("training:").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    lines.reverse();
    let text = format!("training:{training}{}\n", lines.join("\n"));
    let reversed: ModelSpec = parse(&Source { name: "reversed".into(), text }).unwrap();
    assert_eq!(reversed, parse(&source).unwrap());
}

/// A working folder with the fixtures where names are looked up.
fn working_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |at: &str, name: &str| {
        let path: PathBuf = folder.path().join(at);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, fixture(name).text).unwrap();
    };
    put("models/sample-gpt.yaml", "model.yaml");
    put("hardware/sample-cluster.yaml", "cluster.yaml");
    put("hardware/devices/sample-device.yaml", "device.yaml");
    put("hardware/stacks/sample-stack.yaml", "stack.yaml");
    put("mine/own.yaml", "model-bert.yaml");
    folder
}

#[test]
fn names_are_looked_up_with_and_without_extension() {
    let folder = working_folder();
    for name in ["sample-gpt", "sample-gpt.yaml", "models/sample-gpt.yaml", "models/sample-gpt"] {
        let (model, source) = load_model(name, folder.path()).unwrap();
        assert_eq!(model.name, "sample-gpt");
        assert_eq!(source.name, "models/sample-gpt.yaml");
    }
    let (model, _) = load_model("mine/own.yaml", folder.path()).unwrap();
    assert_eq!(model.name, "sample-bert");
    let absolute = folder.path().join("mine/own.yaml");
    assert!(load_model(absolute.to_str().unwrap(), folder.path()).is_ok());
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let folder = working_folder();
    let error = load_model("smaple-gpt", folder.path()).unwrap_err().to_string();
    assert!(error.contains("no model is called `smaple-gpt`"), "{error}");
    assert!(error.contains("did you mean `sample-gpt`?"), "{error}");
    assert!(error.contains("lmplan list models"), "{error}");
    for nothing in ["", " ", "..", "/", "models", "no/such/file.yaml", "\0"] {
        assert!(load_model(nothing, folder.path()).is_err(), "{nothing:?}");
    }
}

#[test]
fn a_cluster_brings_its_devices() {
    let folder = working_folder();
    let (cluster, _) = Cluster::load("sample-cluster", folder.path()).unwrap();
    assert_eq!(cluster.num_devices(), 64);
    assert_eq!(cluster.num_nodes(), 8);
    assert_eq!(cluster.groups[0].device.sm_count, 108);
    let (mut model, _) = load_model("sample-gpt", folder.path()).unwrap();
    assert_eq!(job_findings(&model, &cluster), []);
    model.training.precision = lmplan::spec::Precision::Fp8;
    let findings = job_findings(&model, &cluster);
    assert_eq!(findings.len(), 1);
    assert!(findings[0].message.contains("no peak for `fp8`"), "{findings:?}");
}

#[test]
fn an_unknown_device_is_shown_where_the_cluster_names_it() {
    let folder = working_folder();
    let path = folder.path().join("hardware/sample-cluster.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("sample-device", "sample-devise")).unwrap();
    let error = Cluster::load("sample-cluster", folder.path()).unwrap_err();
    assert_eq!(error.diagnostics[0].position, Some((3, 45)), "{error}");
    assert!(error.to_string().contains("did you mean `sample-device`?"), "{error}");
}

#[test]
fn a_link_that_the_device_lacks_is_found() {
    let folder = working_folder();
    let path = folder.path().join("hardware/devices/sample-device.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("link:")).collect();
    std::fs::write(&path, without.join("\n")).unwrap();
    let error = Cluster::load("sample-cluster", folder.path()).unwrap_err();
    assert_eq!(error.diagnostics[0].code, "cluster::link", "{error}");
}
