//! The report as Markdown, for pull requests; charts are links to the SVG files beside it.

use super::chart::Chart;
use super::input::ReportInput;
use super::table::{self, Table};
use super::{certificate, compare, number, reason, summary};
use std::fmt::Write;

/// The document.
pub(super) fn page(input: &ReportInput<'_>, charts: &[Chart]) -> String {
    let outcome = input.outcome;
    let plan = &outcome.plan;
    let mut out = String::with_capacity(16 << 10);
    let _ = writeln!(out, "# {} on {}\n", cell(&input.model.name), cell(&input.cluster.name));
    let _ = writeln!(out, "**{}**\n", cell(&summary::plan_line(plan)));
    let _ = writeln!(
        out,
        "{} devices, global batch {}, {}; {}.\n",
        number::count(plan.devices()),
        number::count(plan.batch.global),
        cell(&plan.stack),
        certificate::word(input)
    );
    out.push_str("| | | |\n|---|---:|---|\n");
    for fact in table::facts(input) {
        let _ = writeln!(out, "| {} | **{}** | {} |", fact.name, fact.value, fact.note);
    }
    let _ = writeln!(out, "\nInterval: {}\n", input.interval_source.trim());

    out.push_str("## Why this plan\n\n");
    bullets(&mut out, &reason::reasons(input));
    rows(&mut out, &table::breakdown(input));
    if let Some(alternatives) = table::alternatives(input) {
        out.push_str("## The runner-up, and what would turn the choice\n\n");
        bullets(&mut out, &compare::runner_up(plan, &outcome.prediction, &outcome.alternatives));
        rows(&mut out, &alternatives);
    }
    out.push_str("## Certificate\n\n");
    bullets(&mut out, &certificate::sentences(input));
    out.push_str("## Charts\n\n");
    for chart in charts {
        let _ = writeln!(
            out,
            "![{}]({}.svg)\n\n*{}*\n",
            cell(&chart.title),
            chart.name,
            cell(&chart.description)
        );
    }
    out.push_str("## Stages\n\n");
    rows(&mut out, &table::stages(input));
    if let Some(operators) = table::operators(input) {
        out.push_str("## Sharding of the operators\n\n");
        rows(&mut out, &operators);
    }
    out.push_str("## Assumptions\n\n");
    if outcome.assumptions.is_empty() {
        out.push_str("None beyond the inputs below.\n\n");
    }
    bullets(&mut out, &outcome.assumptions);
    out.push_str("## Inputs\n\n");
    for (name, content) in [
        ("Model", input.model_text),
        ("Cluster", input.cluster_text),
        ("Software stack", input.stack_text),
    ] {
        let _ = writeln!(out, "<details><summary>{name}</summary>\n");
        fenced(&mut out, "yaml", content);
        out.push_str("</details>\n\n");
    }
    out.push_str("## How to reproduce\n\n");
    fenced(&mut out, "sh", input.command);
    out
}

/// Sentences as a list.
pub(super) fn bullets(out: &mut String, sentences: &[String]) {
    for sentence in sentences {
        let _ = writeln!(out, "- {}", inline(sentence));
    }
    if !sentences.is_empty() {
        out.push('\n');
    }
}

/// A table.
pub(super) fn rows(out: &mut String, table: &Table) {
    out.push('|');
    for head in &table.heads {
        let _ = write!(out, " {} |", head.name);
    }
    out.push_str("\n|");
    for head in &table.heads {
        out.push_str(if head.number { "---:|" } else { "---|" });
    }
    out.push('\n');
    for row in &table.rows {
        out.push('|');
        for text in row {
            let _ = write!(out, " {} |", cell(text));
        }
        out.push('\n');
    }
    out.push('\n');
}

/// On one line, without raw HTML.
pub(super) fn inline(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('<', "&lt;")
}

/// The same for a cell of a table.
pub(super) fn cell(text: &str) -> String {
    inline(text).replace('|', "\\|")
}

/// A code block whose fence is longer than any run of backticks in it.
pub(super) fn fenced(out: &mut String, language: &str, content: &str) {
    let longest = content.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let _ = writeln!(out, "{fence}{language}\n{}\n{fence}\n", content.trim_end());
}
