//! Predictions of the measured runs, held to those of the last accepted state: every change of the
//! model is a seen change. `BLESS=1 cargo test --test it validate::` accepts what is predicted now.

use lmplan::validate::{self, compare, read_runs, summarise};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Relative change from which on a prediction has moved.
const MOVED: f64 = 5e-4;

#[test]
fn predictions_are_those_accepted_last() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/published/predictions.csv");
    let rows = compare(read_runs("training.csv", validate::TRAINING).unwrap());
    let mut now = String::from("id,predicted_s\n");
    for row in &rows {
        let predicted =
            row.outcome.as_ref().map_or(String::new(), |p| format!("{:.4e}", p.seconds));
        writeln!(now, "{},{predicted}", row.row.id).unwrap();
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, now).unwrap();
        return;
    }
    let read = |text: &str| -> BTreeMap<String, f64> {
        text.lines()
            .skip(1)
            .filter_map(|line| line.rsplit_once(','))
            .map(|(id, value)| (id.to_owned(), value.parse().unwrap_or(0.0)))
            .collect()
    };
    let before = read(&std::fs::read_to_string(&path).unwrap());
    let now = read(&now);
    assert_eq!(before.len(), now.len(), "rows came or went");
    let moved: Vec<String> = now
        .iter()
        .filter_map(|(id, value)| {
            let old = before.get(id)?;
            ((value - old).abs() > MOVED * old.max(1e-12)).then(|| {
                format!("{id}: {old} s is now {value} s, {:+.2} %", (value / old - 1.0) * 100.0)
            })
        })
        .collect();
    assert!(moved.is_empty(), "{} predictions moved:\n{}", moved.len(), moved.join("\n"));
}

/// What docs/accuracy.md says of the rows that are judged.
#[test]
fn errors_are_within_what_is_claimed() {
    let rows = compare(read_runs("training.csv", validate::TRAINING).unwrap());
    let judged = |row: &&validate::Compared| {
        matches!(row.row.arch.as_str(), "gpt" | "bert" | "llama")
            && matches!(row.row.confidence.as_str(), "A" | "B")
    };
    let all = summarise(rows.iter().filter(judged));
    assert!(all.rows > 700, "{} rows", all.rows);
    assert!(all.median_abs_error < 0.07, "{all:?}");
    assert!(all.mean_abs_error < 0.12, "{all:?}");
    assert!(all.p90_abs_error < 0.25, "{all:?}");
    assert!(all.spearman > 0.98, "{all:?}");
    let within = rows.iter().filter(judged).filter(|row| {
        let (Ok(found), Some(measured)) = (&row.outcome, row.measured_s) else { return false };
        (measured / found.seconds - 1.0).abs() <= lmplan::planner::predict::INTERVAL
    });
    // What every page says of its interval: nine tenths of the runs, which is 89.6 % rounded.
    let share = within.count() as f64 / (all.rows - all.skipped) as f64;
    assert!((0.885..0.95).contains(&share), "{share} of the runs lie in the interval");
    let korthikanti: Vec<f64> = rows
        .iter()
        .filter(|row| row.row.source.starts_with("Korthikanti"))
        .filter_map(|row| row.error())
        .collect();
    assert_eq!(korthikanti.len(), 9);
    let mean = korthikanti.iter().map(|e| e.abs()).sum::<f64>() / 9.0;
    assert!(mean < 0.036, "{mean}");
    assert!(korthikanti.iter().all(|e| e.abs() < 0.088), "{korthikanti:?}");
}
