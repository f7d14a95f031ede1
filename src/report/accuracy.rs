//! How far predictions are from measurements: text, Markdown, JSON and charts.

use super::chart::scatter;
use super::file::{ReportFile, file};
use crate::planner::predict::INTERVAL;
use crate::units::statistics::{quantile, sorted};
use crate::validate::compared_memory::ComparedMemory;
use crate::validate::interval::{Intervals, SHARE};
use crate::validate::{Compared, Summary, summarise};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Rows of runs and of memory, compared.
#[derive(Debug, Clone, Copy)]
pub struct Accuracy<'a> {
    /// Runs.
    pub runs: &'a [Compared],
    /// Peaks.
    pub memory: &'a [ComparedMemory],
}

/// Rows that are listed as the worst.
const WORST: usize = 10;

/// A share as per cent with one decimal; a dash where there is none.
fn percent(share: f64) -> String {
    match (share * 1000.0).round() / 10.0 {
        value if value.is_nan() => "-".to_owned(),
        0.0 => "0.0".to_owned(),
        value => format!("{value:.1}"),
    }
}

/// The same with its sign.
fn signed(share: f64) -> String {
    let text = percent(share);
    if share > 0.0 && text != "0.0" { format!("+{text}") } else { text }
}

/// A number that may be none.
fn number(value: f64) -> String {
    if value.is_nan() { "-".to_owned() } else { format!("{value:.3}") }
}

/// Whether a row is of a dense model and well enough known to be judged by.
fn judged(row: &Compared) -> bool {
    matches!(row.row.arch.as_str(), "gpt" | "bert" | "llama")
        && matches!(row.row.confidence.as_str(), "A" | "B")
}

type Cells = Vec<String>;

fn cells(name: &str, s: &Summary) -> Cells {
    vec![
        name.to_owned(),
        s.rows.to_string(),
        s.skipped.to_string(),
        percent(s.median_abs_error),
        percent(s.mean_abs_error),
        percent(s.p90_abs_error),
        signed(s.bias),
    ]
}

const HEAD: [&str; 7] = ["", "rows", "skipped", "median", "mean", "p90", "bias"];

impl<'a> Accuracy<'a> {
    fn by(&self, key: impl Fn(&'a Compared) -> &'a str) -> BTreeMap<&'a str, Summary> {
        let mut groups: BTreeMap<&str, Vec<&Compared>> = BTreeMap::new();
        for row in self.runs {
            groups.entry(key(row)).or_default().push(row);
        }
        groups.into_iter().map(|(key, rows)| (key, summarise(rows))).collect()
    }

    fn overall(&self) -> Vec<(&'static str, Summary)> {
        let of = |keep: &dyn Fn(&&Compared) -> bool| summarise(self.runs.iter().filter(keep));
        vec![
            ("all rows", of(&|_| true)),
            ("dense models, confidence A and B", of(&|row| judged(row))),
            ("dense models, confidence A", of(&|row| judged(row) && row.row.confidence == "A")),
            ("BERT, confidence A and B", of(&|row| judged(row) && row.row.arch == "bert")),
        ]
    }

    fn skips(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for row in self.runs {
            if let Err(skip) = &row.outcome {
                *reasons.entry(skip.to_string()).or_default() += 1;
            }
        }
        reasons
    }

    fn worst(&self) -> Vec<&Compared> {
        let mut rows: Vec<&Compared> = self.runs.iter().filter(|row| judged(row)).collect();
        let size = |row: &Compared| row.error().map_or(0.0, |error| (1.0 + error).ln().abs());
        rows.sort_by(|a, b| size(b).total_cmp(&size(a)));
        rows.truncate(WORST);
        rows
    }

    /// Share of the judged runs that took within `part` of what is predicted.
    fn within(&self, part: f64) -> f64 {
        let judged = self.runs.iter().filter(|row| judged(row));
        let ratios: Vec<f64> = judged
            .filter_map(|row| Some(row.measured_s? / row.outcome.as_ref().ok()?.seconds))
            .collect();
        let inside = ratios.iter().filter(|ratio| (*ratio - 1.0).abs() <= part).count();
        inside as f64 / ratios.len() as f64
    }

    /// Median absolute error, bias, and the share of plans that ran and are said not to fit.
    fn memory_summary(&self) -> (usize, f64, f64, f64) {
        let errors: Vec<f64> = self.memory.iter().filter_map(ComparedMemory::error).collect();
        let absolute = sorted(errors.iter().map(|error| error.abs()));
        let refused =
            self.memory.iter().filter(|row| matches!(row.outcome, Ok((_, false)))).count();
        let count = errors.len();
        let of_any = |value: f64| if count == 0 { f64::NAN } else { value };
        let bias = of_any(quantile(&sorted(errors), 0.5));
        (count, of_any(quantile(&absolute, 0.5)), bias, of_any(refused as f64 / count as f64))
    }

    /// The comparison as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# Predicted against measured\n\nErrors in percent.\n");
        table(&mut text, &HEAD, self.overall().iter().map(|(name, s)| cells(name, s)).collect());
        let all = summarise(self.runs);
        let _ = writeln!(
            text,
            "\nRank correlation (Spearman) {}. Regret of the plan that would be picked among a job's \
             measured ones: mean {} %, worst {} %.\n\nThe interval that `search`, `simulate` and \
             `capacity` print, {:.0} % to either side, holds {} % of the dense models of confidence A \
             and B. The intervals of the rows in JSON are made of the errors of other sources alone, \
             to hold {:.0} %, and hold {} %.",
            number(all.spearman),
            percent(all.regret_mean),
            percent(all.regret_max),
            INTERVAL * 100.0,
            percent(self.within(INTERVAL)),
            SHARE * 100.0,
            percent(Intervals::new(self.runs).coverage())
        );
        text.push_str("\n## By source\n");
        let rows = self.by(|row| &row.row.source);
        table(&mut text, &HEAD, rows.iter().map(|(name, s)| cells(name, s)).collect());
        text.push_str("\n## By hardware\n");
        let rows = self.by(|row| &row.row.hardware);
        table(&mut text, &HEAD, rows.iter().map(|(name, s)| cells(name, s)).collect());
        text.push_str("\n## Left out\n");
        let skips = self.skips().into_iter().map(|(reason, count)| vec![reason, count.to_string()]);
        table(&mut text, &["reason", "rows"], skips.collect());
        text.push_str("\n## Farthest off\n");
        let worst = self.worst().into_iter().map(|row| {
            let predicted = row.outcome.as_ref().map_or(0.0, |found| found.seconds);
            vec![
                row.row.id.clone(),
                format!("{:.3}", row.measured_s.unwrap_or(0.0)),
                format!("{predicted:.3}"),
                signed(row.error().unwrap_or(f64::NAN)),
            ]
        });
        table(&mut text, &["row", "measured s", "predicted s", "error"], worst.collect());
        let (count, median, bias, refused) = self.memory_summary();
        let _ = writeln!(
            text,
            "\n## Peak memory\n\n{count} rows: median error {} %, bias {} %; {} % of the plans \
             that ran are said not to fit.",
            percent(median),
            signed(bias),
            percent(refused)
        );
        text
    }

    /// The comparison as JSON.
    pub fn json(&self) -> Value {
        let intervals = Intervals::new(self.runs);
        let runs = self.runs.iter().map(|row| {
            let found = row.outcome.as_ref().ok();
            let (low, high) = intervals.of(row);
            let seconds = found.map(|found| found.seconds);
            json!({
                "id": row.row.id,
                "measured_s": row.measured_s,
                "predicted_s": seconds,
                "low_s": seconds.map(|s| s * low),
                "high_s": seconds.map(|s| s * high).filter(|s| s.is_finite()),
                "error": row.error(),
                "plan": found.map(|found| &found.plan),
                "assumed": found.map(|found| &found.assumed),
                "skipped": row.outcome.as_ref().err(),
            })
        });
        let memory = self.memory.iter().map(|row| {
            json!({
                "id": row.row.id,
                "measured_bytes": (row.measured > 0.0).then(|| row.measured.round()),
                "predicted_bytes": row.outcome.as_ref().ok().map(|(bytes, _)| *bytes),
                "fits": row.outcome.as_ref().ok().map(|(_, fits)| *fits),
                "error": row.error(),
                "skipped": row.outcome.as_ref().err(),
            })
        });
        let (count, median, bias, refused) = self.memory_summary();
        json!({
            "schema": "lmplan.validate/1",
            "rows": runs.collect::<Vec<Value>>(),
            "memory_rows": memory.collect::<Vec<Value>>(),
            "summary": summarise(self.runs),
            "judged": self.overall().into_iter().collect::<BTreeMap<_, _>>(),
            "interval_share": SHARE,
            "interval_coverage": intervals.coverage(),
            "printed_interval": {"half_width": INTERVAL, "coverage": self.within(INTERVAL)},
            "memory_summary": {
                "rows": count,
                "median_abs_error": median,
                "bias": bias,
                "called_infeasible": refused,
            },
            "by_source": self.by(|row| &row.row.source),
            "by_hardware": self.by(|row| &row.row.hardware),
            "skipped": self.skips(),
        })
    }

    /// The files of the comparison: Markdown, JSON, charts.
    ///
    /// # Errors
    /// A value that JSON can not show.
    pub fn files(&self) -> Result<Vec<ReportFile>, serde_json::Error> {
        let mut document = serde_json::to_vec_pretty(&self.json())?;
        document.push(b'\n');
        let mut files = vec![
            file("accuracy.md", self.markdown().into_bytes()),
            file("accuracy.json", document),
        ];
        const GENERATIONS: [&str; 7] =
            ["V100", "A100", "H100, H200", "B200", "GB200", "GB300", "other"];
        let group = |hardware: &str| {
            let names = [("GB200", 4), ("GB300", 5), ("B200", 3), ("V100", 0), ("A100", 1)];
            let found = names.iter().find(|(name, _)| hardware.contains(name)).map(|(_, at)| *at);
            found.unwrap_or(if hardware.contains("H100") || hardware.contains("H200") {
                2
            } else {
                6
            })
        };
        let times = self.runs.iter().filter_map(|row| {
            let found = row.outcome.as_ref().ok()?;
            Some((row.measured_s?, found.seconds, group(&row.row.hardware)))
        });
        let peaks = self.memory.iter().filter_map(|row| {
            let (bytes, _) = row.outcome.as_ref().ok()?;
            let gib = |bytes: f64| bytes / f64::from(1u32 << 30);
            Some((gib(row.measured), gib(*bytes as f64), group(&row.row.hardware)))
        });
        let charts = [
            scatter::chart(
                "times",
                "Iteration time: predicted against measured".to_owned(),
                "s",
                &GENERATIONS,
                &times.collect::<Vec<_>>(),
            ),
            scatter::chart(
                "memory",
                "Peak memory: predicted against measured".to_owned(),
                "GiB",
                &GENERATIONS,
                &peaks.collect::<Vec<_>>(),
            ),
        ];
        for chart in charts.into_iter().flatten() {
            let name = format!("{}.svg", chart.name);
            files.push(ReportFile { name, bytes: chart.drawing.file().into_bytes() });
        }
        Ok(files)
    }
}

fn table(text: &mut String, head: &[&str], rows: Vec<Cells>) {
    let escape = |cell: &str| cell.replace('|', "\\|");
    let _ = writeln!(text, "\n| {} |", head.join(" | "));
    let _ = writeln!(
        text,
        "|{}|",
        head.iter()
            .enumerate()
            .map(|(i, _)| if i == 0 { "---" } else { "---:" })
            .collect::<Vec<_>>()
            .join("|")
    );
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| escape(cell)).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
}
