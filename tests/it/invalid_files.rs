//! Every file of `tests/fixtures/invalid` is refused with the diagnostics that stand beside it, at
//! once. `BLESS=1 cargo test invalid_files` writes what is said now; read the difference.

use lmplan::plan::Plan;
use lmplan::spec::read::decode;
use lmplan::spec::{ClusterSpec, DeviceSpec, Document, ModelSpec, SpecError, StackSpec, parse};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

pub(crate) fn read_as(kind: &str, name: &str, bytes: Vec<u8>) -> Result<(), SpecError> {
    fn read<T: Document>(name: &str, bytes: Vec<u8>) -> Result<(), SpecError> {
        parse::<T>(&decode(bytes, name.to_owned())?).map(drop)
    }
    match kind {
        "model" => read::<ModelSpec>(name, bytes),
        "cluster" => read::<ClusterSpec>(name, bytes),
        "device" => read::<DeviceSpec>(name, bytes),
        "stack" => read::<StackSpec>(name, bytes),
        "plan" => read::<Plan>(name, bytes),
        other => panic!("no kind of file is called {other}"),
    }
}

#[test]
fn each_is_refused_as_written_beside_it() {
    let bless = std::env::var_os("BLESS").is_some();
    let files = fixtures("invalid");
    assert!(files.len() >= 60, "only {} files", files.len());
    let mut differences = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let kind = name.split(['-', '.']).next().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let start = Instant::now();
        let outcome = read_as(kind, &name, bytes);
        let duration = start.elapsed();
        assert!(duration < Duration::from_millis(250), "{name} took {duration:?}");
        let Err(error) = outcome else {
            differences.push(format!("{name} was accepted"));
            continue;
        };
        let said = format!("{error}\n");
        assert!(said.len() < 20_000, "{name}: {} bytes of diagnostics", said.len());
        assert!(
            said.chars().all(|c| c == '\n' || !c.is_control()),
            "{name}: control characters reach the terminal"
        );
        let beside = path.with_extension("stderr");
        if bless {
            std::fs::write(&beside, said).unwrap();
        } else if std::fs::read_to_string(&beside).ok().as_ref() != Some(&said) {
            differences.push(format!("{name} is now answered with:\n{said}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_file_of_more_than_a_megabyte_is_not_read() {
    let error = decode(vec![b'a'; 1_000_001], "large.yaml".into()).unwrap_err();
    assert!(error.to_string().contains("larger than 1 MB"), "{error}");
}

#[test]
fn a_megabyte_of_openers_comes_back_at_once() {
    for opener in ["[", "{", "- ", "? ", "a: [", "!", "&a ", "\"", "'", "|\n", "%", "\t", "-\n "] {
        let text = opener.repeat(1_000_000 / opener.len());
        let start = Instant::now();
        let outcome = read_as("model", "openers.yaml", text.into_bytes());
        assert!(outcome.is_err(), "{opener:?} was accepted");
        assert!(start.elapsed() < Duration::from_secs(2), "{opener:?}: {:?}", start.elapsed());
    }
}
