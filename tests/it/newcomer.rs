//! README.md, done from its first command on in a clean clone.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

#[test]
fn the_readme_can_be_followed_and_leaves_the_clone_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("bash")
        .arg(root.join("tests/newcomer.sh"))
        .env("LMPLAN", assert_cmd::cargo::cargo_bin("lmplan"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}
