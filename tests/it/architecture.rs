//! Data flows one way: no module imports one above it.

use std::path::{Path, PathBuf};

/// Modules from the bottom to the top. A module may import itself and those before it.
const LAYERS: [&str; 19] = [
    "units", "spec", "plan", "mesh", "import", "graph", "sharding", "cost", "export", "lower",
    "sim", "solver", "planner", "explain", "capacity", "executor", "validate", "report", "cli",
];

/// What `check` may import: it shares no code with what it judges.
const CHECK: [&str; 5] = ["units", "spec", "graph", "plan", "check"];

/// All Rust files under `folder`, sorted.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

pub(crate) fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = rust_files(&root.join("src"));
    assert!(files.len() > 20, "only {} source files found", files.len());
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The module of `src/spec/load.rs` is `spec`.
fn module(file: &str) -> Option<&str> {
    let rest = file.strip_prefix("src/")?;
    let first = rest.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first))
}

/// The modules that follow `crate::` in the code (not in comments or tests), also in
/// `crate::{a, b::c}`.
fn imports(text: &str) -> Vec<String> {
    let code: String = text
        .split("#[cfg(test)]")
        .next()
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with('$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0_usize;
            let mut word = String::new();
            let mut fresh = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.push(std::mem::take(&mut word));
                        fresh = true;
                        continue;
                    }
                    _ => {}
                }
                if depth == 0 && fresh && (c.is_alphanumeric() || c == '_') {
                    word.push(c);
                } else if !word.is_empty() {
                    fresh = false;
                }
            }
            found.push(word);
        } else {
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// Why `file` may not import `target`, if it may not.
fn objection(file: &str, target: &str) -> Option<String> {
    let own = module(file)?;
    if matches!(own, "lib" | "main" | "bin") || own == target {
        return None;
    }
    let layer = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    if own == "check" {
        return (!CHECK.contains(&target))
            .then(|| format!("{file}: `check` may not import `{target}`"));
    }
    let Some(height) = layer(own) else {
        return Some(format!("{file}: module `{own}` has no layer; give it one in {}", file!()));
    };
    if target == "check" {
        return (own != "report" && own != "cli")
            .then(|| format!("{file}: `{own}` may not import `check`, which judges it"));
    }
    match layer(target) {
        Some(other) if other > height => {
            Some(format!("{file}: `{own}` may not import `{target}`, which stands above it"))
        }
        // Types at the root of the crate are re-exports, which hide where they come from.
        None => Some(format!("{file}: `crate::{target}` is no layer")),
        Some(_) => None,
    }
}

#[test]
fn no_module_imports_one_above_it() {
    let mut objections = Vec::new();
    for (file, text) in sources() {
        for target in imports(&text) {
            objections.extend(objection(&file, &target));
        }
    }
    assert!(objections.is_empty(), "{}", objections.join("\n"));
}

#[test]
fn imports_are_recognised() {
    let text = "use crate::units::Bytes;\n// use crate::cli;\nuse crate::{graph::{Op, Edge}, cost, plan::Plan};\n\
                fn f() { crate::sim::run() }\n$crate::sharding\n#[cfg(test)]\nmod tests { use crate::cli; }";
    assert_eq!(imports(text), ["units", "graph", "cost", "plan", "sim"]);
}

#[test]
fn upward_imports_are_objected_to() {
    assert!(objection("src/units/mod.rs", "spec").is_some());
    assert!(objection("src/planner/search.rs", "cli").is_some());
    assert!(objection("src/check/mod.rs", "cost").is_some());
    assert!(objection("src/check/mod.rs", "plan").is_none());
    assert!(objection("src/planner/search.rs", "check").is_some());
    assert!(objection("src/cli/mod.rs", "check").is_none());
    assert!(objection("src/stray.rs", "units").is_some());
    assert!(objection("src/sim/engine.rs", "cost").is_none());
}
