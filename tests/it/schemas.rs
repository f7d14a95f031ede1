//! The schemas beside the YAML files are those of the types, and every file names its own.

use assert_cmd::Command;
use std::path::Path;

/// Kind, folder of its files, its schema.
const SCHEMAS: [(&str, &str); 5] = [
    ("model", "models"),
    ("cluster", "hardware"),
    ("device", "hardware/devices"),
    ("stack", "hardware/stacks"),
    ("plan", "reports"),
];

#[test]
fn committed_schemas_are_what_the_types_generate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (kind, folder) in SCHEMAS {
        let path = root.join(folder).join(format!("{kind}.schema.json"));
        let committed = std::fs::read_to_string(&path).unwrap();
        let output = Command::cargo_bin("lmplan").unwrap().args(["schema", kind]).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(
            committed == printed,
            "{}: make it again with `lmplan schema {kind}`",
            path.display()
        );
    }
}

#[test]
fn every_catalogue_file_names_its_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for (kind, folder) in &SCHEMAS[..4] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&path).unwrap();
                let line = format!("# yaml-language-server: $schema={kind}.schema.json");
                assert_eq!(text.lines().next(), Some(line.as_str()), "{}", path.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 150, "{checked}");
}
