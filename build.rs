//! Compiles the files of `models/` and `hardware/` into the binary, so that adding one needs no
//! code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Folder of the repository, and the name of the table generated from it.
const FOLDERS: [(&str, &str); 4] = [
    ("models", "MODELS"),
    ("hardware", "CLUSTERS"),
    ("hardware/devices", "DEVICES"),
    ("hardware/stacks", "STACKS"),
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    found_at_run_time("TORCH", "LIBTORCH", "lib");
    found_at_run_time("HIGHS_PREBUILT", "LMPLAN_HIGHS_LIB", "");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut code = String::new();
    for (folder, table) in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        let mut entries = String::new();
        for path in yaml_files(&root.join(folder))? {
            println!("cargo::rerun-if-changed={}", path.display());
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let _ = writeln!(entries, "    ({name:?}, include_str!({:?})),", path.display());
        }
        let _ = writeln!(code, "const {table}: &[(&str, &str)] = &[\n{entries}];");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("catalogue.rs"), code)
}

/// With a feature, has what is built find the libraries in the folder that a variable names (or in one
/// inside it) without LD_LIBRARY_PATH, which still wins where it is set.
fn found_at_run_time(feature: &str, variable: &str, inside: &str) {
    if env::var_os(format!("CARGO_FEATURE_{feature}")).is_none() {
        return;
    }
    println!("cargo::rerun-if-env-changed={variable}");
    if let Some(folder) = env::var_os(variable) {
        let folder = PathBuf::from(folder).join(inside);
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.display());
    }
}

/// The YAML files of a folder by name; none where there is no such folder.
fn yaml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_file() && path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path);
            }
        }
    }
    files.sort_by_key(|path: &PathBuf| path.file_stem().map(std::ffi::OsStr::to_owned));
    Ok(files)
}
