//! The files of `models/` and `hardware/` are all compiled in, and all valid.

use lmplan::spec::catalog::{Kind, find, names};
use lmplan::spec::machine::LOCALHOST_CORE;
use lmplan::spec::{Cluster, Document, SpecError, load_device, load_model, load_stack};
use std::path::Path;

const FOLDERS: [(Kind, &str); 4] = [
    (Kind::Model, "models"),
    (Kind::Cluster, "hardware"),
    (Kind::Device, "hardware/devices"),
    (Kind::Stack, "hardware/stacks"),
];

#[test]
fn every_file_is_compiled_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let empty = tempfile::tempdir().unwrap();
    for (kind, folder) in FOLDERS {
        let mut on_disk = Vec::new();
        for entry in std::fs::read_dir(root.join(folder)).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
                let text = std::fs::read_to_string(&path).unwrap();
                let found = find(kind, &stem, empty.path()).unwrap();
                // This machine's own device is what was measured on it, where it was.
                if found.name.starts_with("catalogue:") || stem != LOCALHOST_CORE {
                    assert_eq!(found.text, text, "{stem}");
                }
                on_disk.push(stem);
            }
        }
        on_disk.sort();
        assert_eq!(names(kind), on_disk, "{folder}");
    }
}

#[test]
fn every_file_is_valid_and_named_as_it_says() {
    let empty = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    let mut check = |name: &str, outcome: Result<String, SpecError>| match outcome {
        Ok(inside) if inside == name => {}
        Ok(inside) => wrong.push(format!("{name} calls itself {inside}")),
        Err(error) => wrong.push(error.to_string()),
    };
    let at = empty.path();
    for name in names(Kind::Model) {
        check(name, load_model(name, at).map(|(model, _)| model.name));
    }
    for name in names(Kind::Device) {
        check(name, load_device(name, at).map(|(device, _)| device.name));
    }
    for name in names(Kind::Stack) {
        check(name, load_stack(name, at).map(|(stack, _)| stack.name));
    }
    for name in names(Kind::Cluster) {
        check(name, Cluster::load(name, at).map(|(cluster, _)| cluster.spec.name));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn kinds_know_themselves() {
    assert_eq!(lmplan::spec::ModelSpec::KIND, Kind::Model);
    assert_eq!(lmplan::plan::Plan::KIND, Kind::Plan);
    assert_eq!(Kind::Cluster.word(), "cluster");
}

#[test]
fn a_name_means_a_file_of_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let cluster = "name: t4\nnodes:\n  - {count: 1, devices_per_node: 1, device: t4, \
                   intra_node: pcie3}\nsource: test\n";
    // A cluster that is named like its device, and a program that is named like a stack.
    put("t4.yaml", cluster);
    put("lmplan", "\u{7f}ELF");
    let (read, _) = Cluster::load("t4", folder.path()).unwrap();
    assert_eq!((read.spec.name.as_str(), read.groups[0].device.name.as_str()), ("t4", "t4"));
    assert_eq!(load_stack("lmplan", folder.path()).unwrap().0.name, "lmplan");
    // A file of that kind comes before the catalogue, one of another is told of where nothing else is.
    put("mine", "name: mine");
    assert_eq!(find(Kind::Stack, "mine", folder.path()).unwrap().text, "name: mine");
    put("other.yaml", cluster);
    assert_eq!(find(Kind::Device, "other", folder.path()).unwrap().text, cluster);
    assert_eq!(find(Kind::Cluster, "other.yaml", folder.path()).unwrap().text, cluster);
}

#[test]
fn a_bus_in_place_of_the_devices_link_is_slower() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = |device: &str, link: &str| {
        let text = format!(
            "name: linked\nnodes:\n  - {{count: 1, devices_per_node: 8, device: {device}, \
             intra_node: {link}}}\n"
        );
        std::fs::write(folder.path().join("linked.yaml"), text).unwrap();
        Cluster::load("linked.yaml", folder.path()).map(|(cluster, _)| cluster)
    };
    let bandwidth = |device: &str, link: &str| {
        let cluster = cluster(device, link).unwrap();
        cluster.groups[0].device.link.as_ref().unwrap().bandwidth.get()
    };
    // 16 lanes of 8 GT/s, 128 of 130 bits.
    assert!((bandwidth("a100-80gb-sxm", "pcie3") / 15.754e9 - 1.0).abs() < 1e-3);
    // The card has a bus of its own, whatever the board has.
    assert_eq!(bandwidth("a100-80gb-pcie", "pcie5"), 31.5e9);
    assert_eq!(bandwidth("a100-80gb-sxm", "nvlink3"), 300e9);
    let error = cluster("h100-80gb-sxm", "nvlink3").unwrap_err().to_string();
    assert!(error.contains("is `nvlink4`, not `nvlink3`"), "{error}");
    let error = cluster("h100-80gb-sxm", "shared-memory").unwrap_err().to_string();
    assert!(error.contains("not `shared-memory`"), "{error}");
    // A link whose name is no kind's is the device's own.
    let device = std::fs::read_to_string("hardware/devices/t4.yaml").unwrap();
    let device = device.replace("name: pcie3", "name: pcie3-x8").replace("name: t4", "name: mine");
    std::fs::write(folder.path().join("mine.yaml"), device).unwrap();
    assert_eq!(bandwidth("mine.yaml", "pcie3"), bandwidth("t4", "pcie3"));
    let own = cluster("mine.yaml", "pcie4").unwrap();
    assert_eq!(own.groups[0].device.link.as_ref().unwrap().name, "pcie3-x8");
}
