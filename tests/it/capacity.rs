//! `capacity` as a whole: files, formats, exit codes, the same bytes on any number of threads.

use assert_cmd::Command;
use predicates::prelude::*;
use serde_json::Value;
use std::path::Path;

const JOB: [&str; 8] = [
    "capacity",
    "--model",
    "bert-large",
    "--cluster",
    "a100x16,h100x16",
    "--tokens",
    "300B",
    "--quiet",
];

fn lmplan(folder: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("lmplan"));
    command.current_dir(folder).env("COLUMNS", "100").args(JOB);
    command
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_review_is_whole_and_the_same_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let mut reviews = Vec::new();
    for threads in ["1", "2", "5"] {
        let assert = lmplan(folder.path())
            .args(["--devices", "8..32", "--deadline", "5d", "--threads", threads, "-o", threads])
            .assert()
            .success()
            .stderr("");
        let mut review = vec![("out".to_owned(), assert.get_output().stdout.clone())];
        for entry in std::fs::read_dir(folder.path().join(threads)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            review.push((name, std::fs::read(path).unwrap()));
        }
        review.sort();
        reviews.push(review);
    }
    assert!(reviews.windows(2).all(|pair| pair[0] == pair[1]));
    let names: Vec<&str> = reviews[0].iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "capacity.csv",
            "capacity.json",
            "cluster.yaml",
            "cost-time.svg",
            "goodput.svg",
            "out",
            "plan.yaml",
            "report.html",
            "report.md",
            "scaling.svg",
            "tornado.svg"
        ]
    );
    check_files(&folder.path().join("1"));
    let assert = Command::new(assert_cmd::cargo::cargo_bin("lmplan"))
        .current_dir(folder.path().join("1"))
        .args(["simulate", "--model", "bert-large", "--cluster", "cluster.yaml"])
        .args(["--plan", "plan.yaml", "--no-report", "--format", "json"])
        .assert()
        .success();
    let simulated: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    let json: Value =
        serde_json::from_str(&read(&folder.path().join("1"), "capacity.json")).unwrap();
    let expected = &json["answers"]["recommended"]["expected"];
    let clusters = json["clusters"].as_array().unwrap();
    let cluster = clusters.iter().find(|c| c["name"] == expected["cluster"]).unwrap();
    let cells = cluster["cells"].as_array().unwrap();
    let cell = cells.iter().find(|cell| cell["devices"] == expected["devices"]).unwrap();
    assert_eq!(simulated["prediction"], cell["prediction"]);
}

/// Content of the files, and that they say the same.
fn check_files(review: &Path) {
    let json: Value = serde_json::from_str(&read(review, "capacity.json")).unwrap();
    assert_eq!(json["schema"], "lmplan.capacity/1");
    let clusters = json["clusters"].as_array().unwrap();
    let cells: usize = clusters.iter().map(|c| c["cells"].as_array().unwrap().len()).sum();
    // 8, 16, 24 and 32 devices.
    assert_eq!((clusters.len(), cells), (2, 8));
    for cell in clusters.iter().flat_map(|cluster| cluster["cells"].as_array().unwrap()) {
        assert_eq!(cell["status"], "optimal");
        let number = |key: &str| cell[key].as_f64().unwrap_or_else(|| panic!("{key}: {cell}"));
        assert!(number("days_low") < number("days") && number("days") < number("days_high"));
        let hours = number("days") * 24.0 * number("devices_rented");
        assert!((hours / number("device_hours") - 1.0).abs() < 1e-9);
        let run = number("steps") * cell["prediction"]["iteration_time_s"].as_f64().unwrap();
        assert!((run / number("goodput") / 86_400.0 / number("days") - 1.0).abs() < 1e-9);
        let shares = ["goodput", "checkpoint_share", "restart_share", "lost_share"];
        assert!((shares.map(number).iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
    let csv = read(review, "capacity.csv");
    let columns = csv.lines().next().unwrap().split(',').count();
    assert_eq!(csv.lines().count(), 1 + cells);
    assert!(csv.lines().all(|line| line.split(',').count() == columns), "{csv}");
    let page = read(review, "report.html");
    assert!(page.matches("<svg ").count() == 4 && !page.contains("<script"));
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("src=") && !outside.contains("url(") && !outside.contains("http"));
    let markdown = read(review, "report.md");
    for name in ["cost-time", "scaling", "tornado", "goodput"] {
        assert!(markdown.contains(&format!("({name}.svg)")), "{name}");
        check_svg(&read(review, &format!("{name}.svg")), name);
    }
}

/// A chart is well-formed, and all of its text stands within the picture.
fn check_svg(source: &str, name: &str) {
    let document = roxmltree::Document::parse(source).unwrap();
    let root = document.root_element();
    let size: Vec<f64> = root
        .attribute("viewBox")
        .unwrap()
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    let texts: Vec<_> = document.descendants().filter(|node| node.has_tag_name("text")).collect();
    assert!(texts.len() > 10, "{name}");
    for node in texts {
        let number = |key: &str| node.attribute(key).unwrap().parse::<f64>().unwrap();
        let text = node.text().unwrap_or("").trim();
        let room = text.chars().count() as f64 * 0.58 * number("font-size");
        let x = number("x");
        let (left, right) = match node.attribute("text-anchor") {
            Some("middle") => (x - room / 2.0, x + room / 2.0),
            Some("end") => (x - room, x),
            _ => (x, x + room),
        };
        let inside = left >= 0.0 && right <= size[2] && (0.0..=size[3]).contains(&number("y"));
        assert!(inside, "{name}: {text:?} from {left} to {right}");
    }
}

#[test]
fn formats_go_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    for (format, part) in [
        ("json", "\"lmplan.capacity/1\""),
        ("csv", "cluster,device,devices,status"),
        ("markdown", "# Capacity: bert-large, 300 billion tokens"),
        ("text", "What would turn the choice"),
    ] {
        lmplan(folder.path())
            .args(["--devices", "8,16", "--no-report", "--format", format])
            .assert()
            .success()
            .stderr("")
            .stdout(predicate::str::contains(part));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn prices_and_failures_are_taken_as_given() {
    let folder = tempfile::tempdir().unwrap();
    let answer = |flags: &[&str]| -> Value {
        let assert = lmplan(folder.path())
            .args(["--devices", "8,16", "--no-report", "--format", "json"])
            .args(flags)
            .assert()
            .success();
        serde_json::from_slice(&assert.get_output().stdout).unwrap()
    };
    let cluster = |value: &Value| value["answers"]["cheapest"]["expected"]["cluster"].clone();
    assert_eq!(cluster(&answer(&["--price", "a100=0.10", "--price", "h100=9"])), "a100");
    assert_eq!(cluster(&answer(&["--price", "a100=9", "--price", "h100=0.10"])), "h100");
    let goodput = |value: &Value| value["clusters"][0]["cells"][1]["goodput"].as_f64().unwrap();
    let often = answer(&["--failures-per-device", "0.5 /d"]);
    let never = answer(&["--failures-per-device", "0 /d"]);
    assert!(goodput(&often) < 0.97 && goodput(&never) == 1.0);
    let slow = answer(&["--failures-per-device", "0.5 /d", "--restart-time", "2h"]);
    assert!(goodput(&slow) < goodput(&often));
    // A part of the plan that is fixed is fixed in every cell.
    let fixed = answer(&["--tp", "2"]);
    let plan = &fixed["clusters"][1]["cells"][0]["plan"];
    assert_eq!(plan["parallelism"]["tensor"], 2);
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, code, part) in [
        (&["--devices", "20"][..], 2, "no whole number of nodes"),
        (&["--devices", "32..16"], 2, "smaller end first"),
        (&["--objective", "devices"], 2, "needs `--deadline`"),
        (&["--cluster", "a100x32"], 2, "two sizes of one cluster"),
        (&["--price", "b200=3"], 2, "names none of the clusters"),
        (&["--budget", "5 EUR"], 2, "US dollars"),
        (&["--cluster", "a101x8"], 3, "did you mean"),
        (&["--stack", "nothing"], 3, "no stack"),
        (
            &["--devices", "8", "--deadline", "1h", "--no-report"],
            4,
            "keeps within 1 h: the fastest, on",
        ),
        (&["--devices", "8", "--tp", "7", "--no-report"], 4, "no plan fits"),
        (
            &["--devices", "8", "--time-limit", "1ns", "--no-report"],
            5,
            "before the plan for any number",
        ),
        (&["--devices", "8", "-o", "/dev/null/x"], 8, "could not be written"),
    ] {
        lmplan(folder.path())
            .args(flags)
            .assert()
            .code(code)
            .stderr(predicate::str::contains(part));
    }
}

/// The first Ctrl-C ends the search, and what is done is written.
#[cfg(target_os = "linux")]
#[test]
fn an_interruption_keeps_what_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("lmplan"))
        .args(["capacity", "--model", "gpt3-13b", "--cluster", "a100x64", "--devices", "64..4096"])
        .args(["--threads", "1", "-o", "review"])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(4));
    let running = child.try_wait().unwrap().is_none();
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let code = child.wait().unwrap().code();
    if !running {
        assert_eq!(code, Some(0), "done before the interruption");
        return;
    }
    assert_eq!(code, Some(130));
    // Either nothing was done yet, or there is a review that says that it was stopped.
    let review = folder.path().join("review");
    if review.exists() {
        let json: Value = serde_json::from_str(&read(&review, "capacity.json")).unwrap();
        assert_eq!(json["complete"], false);
        assert!(read(&review, "report.md").contains("was stopped"));
    }
}
