//! The tables of a report as rows of text; the page, Markdown and terminal lay them out.

use super::compare::changes;
use super::input::{Origin, ReportInput};
use super::number;
use super::summary::{self, Headroom, degrees, memory_kinds, recompute_kinds};
use serde::Serialize;

/// Heads and rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Table {
    /// Heads of the columns; those whose cells are numbers stand right.
    pub(super) heads: Vec<Head>,
    /// Cells by row.
    pub(super) rows: Vec<Vec<String>>,
}

/// Head of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Head {
    /// Name.
    pub(super) name: &'static str,
    /// Whether its cells are numbers.
    pub(super) number: bool,
}

/// Heads of columns of words, then of columns of numbers.
pub(super) fn heads(words: &[&'static str], numbers: &[&'static str]) -> Vec<Head> {
    let head = |number: bool| move |name: &&'static str| Head { name, number };
    words.iter().map(head(false)).chain(numbers.iter().map(head(true))).collect()
}

/// A number of the headline, with what it means beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fact {
    /// What.
    pub(super) name: &'static str,
    /// How much.
    pub(super) value: String,
    /// Interval, unit per device, or reference.
    pub(super) note: String,
}

/// The numbers of the headline.
pub(super) fn facts(input: &ReportInput<'_>) -> Vec<Fact> {
    let prediction = input.prediction();
    let room = Headroom::of(prediction);
    let span = |low: String, high: String| format!("{low} to {high}");
    let mut facts = vec![
        Fact {
            name: "Iteration time",
            value: number::seconds(prediction.iteration_time_s),
            note: span(
                number::seconds(prediction.iteration_time_low_s),
                number::seconds(prediction.iteration_time_high_s),
            ),
        },
        Fact {
            name: "Throughput",
            value: format!("{} tokens/s", number::rate(prediction.tokens_per_s)),
            note: format!(
                "{} tokens/s per device",
                number::rate(prediction.tokens_per_s_per_device)
            ),
        },
        Fact {
            name: "MFU",
            value: number::percent(prediction.mfu),
            note: format!(
                "{} TFLOP/s per device, HFU {}",
                number::rate(prediction.model_tflops_per_device),
                number::percent(prediction.hfu)
            ),
        },
        Fact {
            name: "Peak memory",
            value: number::bytes(room.peak),
            note: format!("of {}, {}", number::bytes(room.capacity), room.words()),
        },
    ];
    facts.extend(trained(prediction));
    if let Some(run) = summary::run(input) {
        facts.push(Fact {
            name: "Training run",
            value: number::days(run.days.value),
            note: format!(
                "{}, for {} tokens",
                span(number::days(run.days.low), number::days(run.days.high)),
                number::tokens(run.tokens)
            ),
        });
        if let (Some(dollars), Some(price)) = (run.dollars, input.device_hour_price()) {
            facts.push(Fact {
                name: "Cost",
                value: number::dollars(dollars.value),
                note: format!(
                    "{}, at {price:.2} USD per device-hour",
                    span(number::dollars(dollars.low), number::dollars(dollars.high))
                ),
            });
        }
    }
    facts
}

/// How many parameters are trained, where not all are.
pub(super) fn trained(prediction: &crate::sim::Prediction) -> Option<Fact> {
    let (trained, frozen) = (prediction.trained_parameters?, prediction.frozen_parameters?);
    Some(Fact {
        name: "Trained",
        value: format!("{} parameters", number::tokens(trained)),
        note: format!("{} are frozen", number::tokens(frozen)),
    })
}

/// The stages, with what each holds.
pub(super) fn stages(input: &ReportInput<'_>) -> Table {
    let plan = &input.outcome.plan;
    let rows = input.prediction().stages.iter().enumerate().map(|(index, stage)| {
        let planned = plan.stages.get(index);
        let recompute = planned.map(|stage| recompute_kinds(&stage.recompute)).unwrap_or_default();
        let recompute: Vec<String> =
            recompute.iter().map(|(kind, layers)| format!("{layers} {kind}")).collect();
        let mut cells = vec![
            index.to_string(),
            stage.layers.clone(),
            planned.map_or(String::new(), |stage| stage.devices.clone()),
            recompute.join(", "),
            number::seconds(stage.forward_s),
            number::seconds(stage.backward_s),
            number::bytes(stage.peak_memory_bytes),
        ];
        cells.extend(memory_kinds(stage).iter().map(|(_, amount)| number::bytes(*amount)));
        cells
    });
    Table {
        heads: heads(
            &["stage", "layers", "devices", "recompute"],
            &[
                "forward",
                "backward",
                "peak memory",
                "parameters",
                "gradients",
                "optimizer",
                "activations",
                "other",
            ],
        ),
        rows: rows.collect(),
    }
}

/// Where the iteration goes, longest part first; parts of nothing are left out.
pub(super) fn breakdown(input: &ReportInput<'_>) -> Table {
    let total = input.prediction().iteration_time_s;
    let mut parts: Vec<_> =
        input.prediction().breakdown.parts().into_iter().filter(|(_, time)| *time != 0.0).collect();
    parts.sort_by(|a, b| b.1.total_cmp(&a.1));
    let rows = parts
        .into_iter()
        .map(|(name, time)| {
            vec![name.to_owned(), number::seconds(time), number::percent(time / total)]
        })
        .collect();
    Table { heads: heads(&["part"], &["time", "share"]), rows }
}

/// The best plan and those behind it.
pub(super) fn alternatives(input: &ReportInput<'_>) -> Option<Table> {
    let outcome = input.outcome;
    if outcome.alternatives.is_empty() || input.origin == Origin::Given {
        return None;
    }
    let best = &outcome.prediction;
    let mut rows = vec![vec![
        "1".to_owned(),
        degrees(&outcome.plan),
        "the chosen plan".to_owned(),
        number::seconds(best.iteration_time_s),
        String::new(),
        number::bytes(best.peak_memory_bytes),
        String::new(),
        number::percent(best.mfu),
    ]];
    rows.extend(outcome.alternatives.iter().enumerate().map(|(index, other)| {
        let prediction = &other.prediction;
        let slower = prediction.iteration_time_s / best.iteration_time_s - 1.0;
        vec![
            (index + 2).to_string(),
            degrees(&other.plan),
            changes(&outcome.plan, &other.plan).join(", "),
            number::seconds(prediction.iteration_time_s),
            number::signed_percent(slower),
            number::bytes(prediction.peak_memory_bytes),
            number::signed_bytes(prediction.peak_memory_bytes, best.peak_memory_bytes),
            number::percent(prediction.mfu),
        ]
    }));
    Some(Table {
        heads: heads(
            &["rank", "degrees", "what differs"],
            &["time", "slower by", "memory", "memory against it", "MFU"],
        ),
        rows,
    })
}

/// The sharding of each operator of each distinct block, as the plan lists them.
pub(super) fn operators(input: &ReportInput<'_>) -> Option<Table> {
    let rows: Vec<Vec<String>> = input
        .outcome
        .plan
        .operators
        .iter()
        .flat_map(|(block, operators)| {
            operators.iter().map(move |(operator, sharding)| {
                vec![block.clone(), operator.clone(), sharding.to_string()]
            })
        })
        .collect();
    (!rows.is_empty())
        .then(|| Table { heads: heads(&["block", "operator", "sharding"], &[]), rows })
}
