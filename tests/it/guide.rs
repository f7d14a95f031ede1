//! The commands of the guides print what the guides say. `BLESS=1 cargo test --test it guide` writes
//! what they print now.
#![cfg(unix)]

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// What a command of a guide prints, in an empty folder and 96 columns.
fn printed(line: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let program = assert_cmd::cargo::cargo_bin("lmplan");
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("COLUMNS", "96")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("error"), "{line}: {said}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.trim().is_empty(), "{line} prints nothing");
    text.trim_end().to_owned()
}

/// The guide with what its commands print now: a command stands behind `$ ` at the beginning of a
/// `console` block, on as many lines as end in a backslash or within a quote.
fn renewed(guide: &str) -> (String, usize) {
    let mut out = String::new();
    let mut lines = guide.lines();
    let mut commands = 0;
    while let Some(line) = lines.next() {
        writeln!(out, "{line}").unwrap();
        if line != "```console" {
            continue;
        }
        let mut command = String::new();
        for line in lines.by_ref() {
            writeln!(out, "{line}").unwrap();
            command.push_str(line.trim_start_matches("$ "));
            command.push('\n');
            let open_quote = command.matches('\'').count() % 2 == 1;
            if !open_quote && !line.ends_with('\\') {
                break;
            }
        }
        commands += 1;
        writeln!(out, "{}\n```", printed(&command)).unwrap();
        assert!(lines.by_ref().any(|line| line == "```"), "a block does not end");
    }
    (out, commands)
}

fn check(name: &str, least: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    let guide = std::fs::read_to_string(&path).unwrap();
    let (now, commands) = renewed(&guide);
    assert!(commands >= least, "{name} has {commands} commands");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, now).unwrap();
        return;
    }
    for (number, (said, now)) in guide.lines().zip(now.lines()).enumerate() {
        assert_eq!(said, now, "docs/{name}:{}", number + 1);
    }
    assert_eq!(guide.lines().count(), now.lines().count(), "docs/{name}");
}

#[test]
fn the_guide_to_capacity_reviews_prints_what_it_says() {
    check("capacity.md", 10);
}

#[test]
fn published_runs_are_predicted_as_it_says() {
    check("published-runs.md", 4);
}

#[test]
fn the_help_of_every_command_is_in_the_reference() {
    let help = printed("lmplan --help");
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let reference = std::fs::read_to_string(path).unwrap();
    for line in commands.take_while(|line| !line.is_empty()) {
        let name = line.strip_prefix("  ").unwrap().split(' ').next().unwrap();
        let heading = format!("\n$ lmplan {name} --help\n");
        assert!(["", "help"].contains(&name) || reference.contains(&heading), "{name}");
    }
    check("commands.md", 16);
}
