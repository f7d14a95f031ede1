//! The transcripts of the guide are what the commands print.
//!
//! In a block of the kind `console`, a line that begins with `$ lmplan` is run in one folder for the
//! whole file, and what follows has to be its standard output, then its standard error. A line of
//! `...` stands for any lines. `BLESS=1 cargo test --test it transcripts` writes what is printed now
//! in place of what differs.

use std::path::Path;

const GUIDES: [&str; 1] = ["docs/import-export.md"];

/// Commands with what they are said to print.
fn transcripts(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ lmplan ").filter(|_| inside) {
            found.push((command.to_owned(), Vec::new()));
        } else if inside && let Some((_, printed)) = found.last_mut() {
            printed.push(line.to_owned());
        }
    }
    found
}

/// Whether `printed` is `expected`, whose `...` stand for any lines.
fn matches(expected: &[String], printed: &[String]) -> bool {
    match (expected.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((line, rest)), _) if line == "..." => {
            (0..=printed.len()).any(|skip| matches(rest, &printed[skip..]))
        }
        (Some((line, rest)), Some((first, others))) => line == first && matches(rest, others),
        _ => false,
    }
}

/// What is printed, with as many lines around the first `...` as there were.
fn renewed(expected: &[String], printed: &[String]) -> Vec<String> {
    let Some(any) = expected.iter().position(|line| line == "...") else {
        return printed.to_vec();
    };
    let after = (expected.len() - any - 1).min(printed.len());
    let before = any.min(printed.len() - after);
    let mut lines = printed[..before].to_vec();
    lines.push("...".to_owned());
    lines.extend_from_slice(&printed[printed.len() - after..]);
    lines
}

#[test]
fn guides_show_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bless = std::env::var_os("BLESS").is_some();
    for guide in GUIDES {
        let folder = tempfile::tempdir().unwrap();
        let copy = |from: &str, to: &str| {
            let to = folder.path().join(to);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(root.join(from), to).unwrap();
        };
        copy("tests/fixtures/hugging-face/mistral-7b.json", "config.json");
        for name in ["plan.yaml", "search.json", "certificate.json"] {
            let path = format!("reports/gpt3-175b-on-a100x64/{name}");
            copy(&path, &path);
        }
        let mut text = std::fs::read_to_string(root.join(guide)).unwrap();
        let found = transcripts(&text);
        assert!(found.len() >= 5, "{guide} has {} transcripts", found.len());
        for (command, expected) in found {
            let output = assert_cmd::Command::cargo_bin("lmplan")
                .unwrap()
                .current_dir(folder.path())
                .args(command.split_whitespace())
                .output()
                .unwrap();
            let both = [output.stdout, output.stderr].concat();
            let printed = String::from_utf8(both).unwrap();
            let lines: Vec<String> =
                printed.lines().map(|line| line.trim_end().to_owned()).collect();
            let trimmed: Vec<String> =
                expected.iter().map(|line| line.trim_end().to_owned()).collect();
            if bless && !matches(&trimmed, &lines) {
                text = text.replace(&expected.join("\n"), &renewed(&expected, &lines).join("\n"));
                continue;
            }
            let expected = trimmed;
            assert!(matches(&expected, &lines), "{guide}: $ lmplan {command}\n{printed}");
        }
        if bless {
            std::fs::write(root.join(guide), text).unwrap();
        }
    }
}

#[test]
fn transcripts_are_recognised() {
    let text = "```console\n$ lmplan a b\nx\n...\ny\n```\n```sh\n$ lmplan c\n```\n";
    let found = transcripts(text);
    assert_eq!(found, [("a b".to_owned(), ["x", "...", "y"].map(str::to_owned).to_vec())]);
    let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&found[0].1, &lines("x 1 2 y")) && matches(&found[0].1, &lines("x y")));
    assert!(!matches(&found[0].1, &lines("x 1 z")) && !matches(&found[0].1, &lines("1 x y")));
}
