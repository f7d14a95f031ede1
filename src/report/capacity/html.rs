//! The page of a review: one self-contained HTML file without scripts.

use super::input::CapacityInput;
use super::{answers, facts, layout, sentences, tables};
use crate::report::chart::{Chart, style_sheet};
use crate::report::html::{PAGE_STYLE, joined};
use crate::report::number;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};

const TEMPLATE: &str = include_str!("../templates/capacity.html");

/// The page's source.
pub(super) fn page(
    input: &CapacityInput<'_>,
    charts: &[Chart],
) -> Result<String, minijinja::Error> {
    let review = input.review;
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template("capacity.html", TEMPLATE)?;
    let figures: Vec<Value> = charts
        .iter()
        .map(|chart| {
            context! {
                name => chart.name,
                description => &chart.description,
                svg => Value::from_safe_string(chart.drawing.inline().to_owned()),
            }
        })
        .collect();
    let names: Vec<&str> = review.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    environment.get_template("capacity.html")?.render(context! {
        subject => layout::subject(input),
        clusters => names.join(" and "),
        stack => &review.stack,
        global_batch => number::count(review.global_batch),
        complete => review.complete,
        incomplete => layout::INCOMPLETE,
        headline => facts::headline(review).replace(" %", "\u{a0}%"),
        plan_line => facts::plan(review),
        facts => Serde(facts::facts(input)),
        interval_source => input.interval_source,
        answers => Serde(answers::table(review)),
        reasons => joined(sentences::reasons(review)),
        runner_up => joined(sentences::runner_up(review)),
        flips => joined(sentences::flips(review)),
        levers => Serde(tables::levers(review)),
        figures => figures,
        cells => Serde(tables::cells(review)),
        failures => Serde(tables::failures(review)),
        certificate => joined(sentences::certificate(review)),
        assumptions => joined(sentences::assumptions(review)),
        inputs => Serde(input.inputs),
        command => input.command,
        page_style => Value::from_safe_string(PAGE_STYLE.to_owned()),
        chart_style => Value::from_safe_string(style_sheet()),
    })
}
