//! The review as text for a terminal and as Markdown.

use super::input::CapacityInput;
use super::{answers, charts, facts, sentences, tables};
use crate::report::markdown::{bullets, cell, fenced, rows};
use crate::report::number;
use crate::report::table::Table;
use crate::report::text::{Page, TextOptions};
use std::fmt::Write;

/// For a terminal, whose tables have so many columns of `room`; all that they need where none are
/// given.
pub fn text(input: &CapacityInput<'_>, options: TextOptions, room: Option<usize>) -> String {
    let review = input.review;
    let mut page = Page {
        out: String::with_capacity(8192),
        width: options.width.clamp(60, 100),
        style: options.style,
    };
    page.strong(&subject(input));
    page.wrapped("  ", &facts::headline(review));
    if !review.complete {
        page.wrapped("  ", INCOMPLETE);
    }
    if review.recommended().is_some() {
        page.strong("Recommended");
        page.wrapped("  ", &facts::plan(review));
        for fact in facts::facts(input) {
            page.wrapped_after("  ", &format!("{:<18}", fact.name), &fact.value, &fact.note);
        }
        page.wrapped("  ", &format!("Interval: {}", input.interval_source.trim()));
    }
    page.strong("Answers");
    for row in answers::table(review).rows {
        let [question, answer, days, cost, sure] = row.as_slice() else { continue };
        page.wrapped_after("  ", &format!("{question}: "), answer, "");
        if !days.is_empty() {
            page.wrapped(
                "    ",
                &format!("{days}, {cost}; at the upper end of the interval {sure}"),
            );
        }
    }
    page.strong("Cells");
    page.table(
        &tables::cells(review),
        &[0, 3, 1, 4, 5, 6, 7, 8, 9, 10, 2],
        &[2, 10, 6, 7, 5, 1, 4],
        room,
    );
    page.strong("Why");
    page.sentences(&sentences::reasons(review));
    page.sentences(&sentences::runner_up(review));
    let flips = sentences::flips(review);
    if !flips.is_empty() {
        page.strong("What would turn the choice");
        page.sentences(&flips);
    }
    if let Some(levers) = tables::levers(review) {
        page.strong("If an assumption is off");
        page.table(&levers, &[0, 1, 3, 4, 5, 6, 2], &[2, 5, 3, 6], room);
    }
    page.strong("Certificate");
    page.sentences(&sentences::certificate(review));
    page.strong("Assumptions");
    page.sentences(&sentences::assumptions(review));
    page.out
}

/// What a stopped review says of itself.
pub(super) const INCOMPLETE: &str = "The review was stopped: what is below holds for the cells that were \
                                     finished.";

/// `gpt3-175b, 300 billion tokens`.
pub(super) fn subject(input: &CapacityInput<'_>) -> String {
    format!("{}, {} tokens", input.review.model, number::tokens(input.review.tokens))
}

/// For pull requests; charts are links to the files beside it.
pub fn markdown(input: &CapacityInput<'_>) -> String {
    let review = input.review;
    let mut out = String::with_capacity(16 << 10);
    let _ = writeln!(out, "# Capacity: {}\n", cell(&subject(input)));
    let _ = writeln!(out, "**{}**\n", cell(&facts::headline(review)));
    if !review.complete {
        let _ = writeln!(out, "**{INCOMPLETE}**\n");
    }
    if review.recommended().is_some() {
        let _ = writeln!(out, "Plan: {}; {}.\n", cell(&facts::plan(review)), cell(&review.stack));
        out.push_str("| | | |\n|---|---:|---|\n");
        for fact in facts::facts(input) {
            let _ = writeln!(
                out,
                "| {} | **{}** | {} |",
                fact.name,
                cell(&fact.value),
                cell(&fact.note)
            );
        }
        let _ = writeln!(out, "\nInterval: {}\n", input.interval_source.trim());
    }
    let mut section = |title: &str, list: &[String], table: Option<&Table>| {
        if list.is_empty() && table.is_none() {
            return;
        }
        let _ = writeln!(out, "## {title}\n");
        bullets(&mut out, list);
        if let Some(table) = table {
            rows(&mut out, table);
        }
    };
    section("Answers", &[], Some(&answers::table(review)));
    section("Why", &sentences::reasons(review), None);
    section("Runner-up", &sentences::runner_up(review), None);
    section("What would turn the choice", &sentences::flips(review), None);
    section("If an assumption is off", &[], tables::levers(review).as_ref());
    out.push_str("## Charts\n\n");
    for chart in charts::charts(review) {
        let (title, description) = (cell(&chart.title), cell(&chart.description));
        let _ = writeln!(out, "![{title}]({}.svg)\n\n*{description}*\n", chart.name);
    }
    let mut section = |title: &str, list: &[String], table: Option<&Table>| {
        let _ = writeln!(out, "## {title}\n");
        bullets(&mut out, list);
        if let Some(table) = table {
            rows(&mut out, table);
        }
    };
    section("Cells", &[], Some(&tables::cells(review)));
    section("Failures and checkpoints", &[], Some(&tables::failures(review)));
    section("Certificate", &sentences::certificate(review), None);
    section("Assumptions", &sentences::assumptions(review), None);
    out.push_str("## Inputs\n\n");
    for (name, content) in input.inputs {
        let _ = writeln!(out, "<details><summary>{}</summary>\n", cell(name));
        fenced(&mut out, "yaml", content);
        out.push_str("</details>\n\n");
    }
    out.push_str("## How to reproduce\n\n");
    fenced(&mut out, "sh", input.command);
    out
}
