//! The page: one self-contained HTML file without scripts.

use super::chart::{Chart, style_sheet};
use super::input::ReportInput;
use super::{certificate, compare, reason, summary, table};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};

const TEMPLATE: &str = include_str!("templates/report.html");
/// The style sheet that all pages share.
pub(super) const PAGE_STYLE: &str = include_str!("templates/page.css");

/// The page's source.
pub(super) fn page(input: &ReportInput<'_>, charts: &[Chart]) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template("report.html", TEMPLATE)?;
    let outcome = input.outcome;
    let figures: Vec<Value> = charts
        .iter()
        .map(|chart| {
            context! {
                name => chart.name,
                title => &chart.title,
                description => &chart.description,
                svg => Value::from_safe_string(chart.drawing.inline().to_owned()),
            }
        })
        .collect();
    let others = if table::alternatives(input).is_some() {
        compare::runner_up(&outcome.plan, &outcome.prediction, &outcome.alternatives)
    } else {
        Vec::new()
    };
    environment.get_template("report.html")?.render(context! {
        model => &input.model.name,
        cluster => &input.cluster.name,
        stack => &outcome.plan.stack,
        devices => super::number::count(outcome.plan.devices()),
        global_batch => super::number::count(outcome.plan.batch.global),
        plan_line => summary::plan_line(&outcome.plan),
        status => certificate::word(input),
        proven => certificate::word(input) == "proven optimal",
        fits => summary::Headroom::of(&outcome.prediction).fits(),
        facts => Serde(table::facts(input)),
        interval_source => input.interval_source,
        reasons => joined(reason::reasons(input)),
        runner_up => joined(others),
        alternatives => Serde(table::alternatives(input)),
        certificate => joined(certificate::sentences(input)),
        stages => Serde(table::stages(input)),
        breakdown => Serde(table::breakdown(input)),
        operators => Serde(table::operators(input)),
        assumptions => Serde(&outcome.assumptions),
        inputs => Serde([
            ("Model", input.model_text),
            ("Cluster", input.cluster_text),
            ("Software stack", input.stack_text),
        ]),
        command => input.command,
        figures => figures,
        page_style => Value::from_safe_string(PAGE_STYLE.to_owned()),
        chart_style => Value::from_safe_string(style_sheet()),
    })
}

/// Keeps the sign of per cent on the line of its number.
pub(super) fn joined(sentences: Vec<String>) -> Vec<String> {
    sentences.into_iter().map(|sentence| sentence.replace(" %", "\u{a0}%")).collect()
}
