//! Writing a report: whole or not at all.

use lmplan::report::{ReportFile, write};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn file(name: &str, content: &str) -> ReportFile {
    ReportFile { name: name.to_owned(), bytes: content.as_bytes().to_vec() }
}

/// Names and contents of a folder, hidden files too.
fn listing(dir: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(dir).expect("the folder is there");
    entries
        .map(|entry| {
            let entry = entry.expect("readable");
            let name = entry.file_name().into_string().expect("UTF-8");
            (name, fs::read_to_string(entry.path()).unwrap_or_else(|_| "a folder".to_owned()))
        })
        .collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
}

#[test]
fn creates_the_folder_and_replaces_an_earlier_report() {
    let root = tempfile::tempdir().expect("a folder");
    let dir = root.path().join("reports/a-on-b");
    let first = [file("report.html", "1"), file("scaling.svg", "1"), file("plan.yaml", "1")];
    write(&dir, &first).expect("written");
    fs::write(dir.join("notes.txt"), "mine").expect("written");
    write(&dir, &[file("report.html", "2"), file("plan.yaml", "2")]).expect("written");
    let expected = map(&[("notes.txt", "mine"), ("plan.yaml", "2"), ("report.html", "2")]);
    assert_eq!(listing(&dir), expected);
}

#[test]
fn leaves_other_peoples_charts_where_no_report_was() {
    let root = tempfile::tempdir().expect("a folder");
    fs::write(root.path().join("memory.svg"), "mine").expect("written");
    write(root.path(), &[file("report.html", "1")]).expect("written");
    assert_eq!(listing(root.path()), map(&[("memory.svg", "mine"), ("report.html", "1")]));
}

#[test]
fn a_failure_leaves_the_earlier_report() {
    let root = tempfile::tempdir().expect("a folder");
    let dir = root.path().join("r");
    write(&dir, &[file("report.html", "1"), file("scaling.svg", "1"), file("a.yaml", "1")])
        .expect("written");
    // A folder stands where the last file is to go, so the others are in place when it fails.
    fs::create_dir(dir.join("trace.json")).expect("created");
    let before = listing(&dir);
    let error = write(
        &dir,
        &[
            file("report.html", "2"),
            file("a.yaml", "2"),
            file("new.md", "2"),
            file("trace.json", "2"),
        ],
    )
    .expect_err("the folder is in the way");
    assert!(error.to_string().contains("trace.json` can not be replaced"), "{error}");
    assert_eq!(listing(&dir), before);
}

#[test]
fn a_failure_leaves_no_new_folder() {
    let root = tempfile::tempdir().expect("a folder");
    fs::write(root.path().join("file"), "mine").expect("written");
    let below_a_file = root.path().join("file/r");
    let error = write(&below_a_file, &[file("report.html", "1")]).expect_err("not a folder");
    assert!(error.to_string().contains("can not be created"), "{error}");
    let too_long = "x".repeat(300);
    let dir = root.path().join("a/b");
    write(&dir, &[file("report.html", "1"), file(&too_long, "1")]).expect_err("too long a name");
    assert_eq!(listing(root.path()), map(&[("file", "mine")]));
}

#[test]
fn names_stay_within_the_folder() {
    let root = tempfile::tempdir().expect("a folder");
    for name in ["../x", "/tmp/x", "a/b", "..", ""] {
        let error = write(&root.path().join("r"), &[file(name, "1")]).expect_err(name);
        assert!(error.to_string().contains("not a plain file name"), "{error}");
    }
    assert!(listing(root.path()).is_empty());
}
