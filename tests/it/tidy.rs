//! House rules that a machine can hold.

use crate::architecture::{rust_files, sources};
use std::path::Path;

const MAX_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 70;

/// What source files outside of tests may not contain, and what to do instead.
const BANNED: [(&str, &str); 9] = [
    (".unwrap()", "return an error, or say why it can not be"),
    ("todo!(", "write it"),
    ("unimplemented!(", "write it"),
    ("dbg!(", "remove it"),
    ("HashMap", "use BTreeMap: iteration must not depend on a seed"),
    ("HashSet", "use BTreeSet: iteration must not depend on a seed"),
    ("SystemTime", "results must not depend on the clock"),
    ("FIXME", "repair it"),
    ("XXX", "say what it is"),
];

/// Paths of a developer's machine.
const MACHINE_PATHS: [&str; 6] = ["/home/", "/Users/", "/root/", "/tmp/", "/work/", "C:\\\\"];

/// The part of a file before its unit tests; nothing of a file that holds only tests.
fn production<'a>(name: &str, text: &'a str) -> &'a str {
    if name.contains("/tests/") || name.ends_with("_tests.rs") {
        return "";
    }
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

fn lengthy_functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let is_function =
            ["fn ", "pub fn ", "pub(crate) fn ", "pub(super) fn ", "const fn ", "pub const fn "]
                .iter()
                .any(|prefix| code.starts_with(prefix));
        // A trait's declaration has no body.
        if !is_function || code.ends_with(';') {
            continue;
        }
        // rustfmt closes a function with a brace at the indentation that it began with.
        let indent = line.len() - code.len();
        let closing = format!("{}}}", " ".repeat(indent));
        let length = lines[start..].iter().position(|line| *line == closing).map_or(1, |at| at + 1);
        if length > MAX_FUNCTION_LINES {
            found.push((start + 1, length));
        }
    }
    found
}

#[test]
fn files_and_functions_are_short() {
    let mut long = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            long.push(format!("{name} has {lines} lines, more than {MAX_LINES}"));
        }
        for (line, length) in lengthy_functions(&text) {
            long.push(format!("{name}:{line} has {length} lines, more than {MAX_FUNCTION_LINES}"));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn banned_words_are_absent() {
    let mut found = Vec::new();
    for (name, text) in sources() {
        for (number, line) in production(&name, &text).lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            for (word, instead) in BANNED {
                if !is_comment && line.contains(word) {
                    found.push(format!("{name}:{}: `{word}`: {instead}", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_library_does_not_print() {
    let mut found = Vec::new();
    for (name, text) in sources() {
        if name.starts_with("src/cli") || name == "src/main.rs" {
            continue;
        }
        for (number, line) in production(&name, &text).lines().enumerate() {
            let code = line.trim_start();
            let prints = ["println!(", "print!(", "eprintln!(", "eprint!("];
            if !code.starts_with("//") && prints.iter().any(|word| code.contains(word)) {
                found.push(format!("{name}:{}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "only `cli` prints: {}", found.join(", "));
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut files = rust_files(&root.join("src"));
    files.extend(rust_files(&root.join("benches")));
    for folder in ["models", "hardware", "hardware/devices", "hardware/stacks"] {
        for entry in std::fs::read_dir(root.join(folder)).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_file() {
                files.push(path);
            }
        }
    }
    files.push(root.join("Cargo.toml"));
    for path in files {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if MACHINE_PATHS.iter().any(|part| line.contains(part)) {
                found.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn lengthy_functions_are_recognised() {
    let body = "    let x = 1;\n".repeat(MAX_FUNCTION_LINES);
    assert_eq!(lengthy_functions(&format!("pub fn long() {{\n{body}}}\n")), [(1, 72)]);
    assert_eq!(lengthy_functions("fn short() {\n    1;\n}\n"), []);
}
