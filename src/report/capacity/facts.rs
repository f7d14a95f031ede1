//! The answer in one sentence and a few numbers.

use super::input::CapacityInput;
use crate::capacity::{Cell, Objective, Place, Review};
use crate::report::number;
use crate::report::summary::plan_line;
use crate::report::table::{self, Fact};

/// `h100, 512 devices`.
pub(super) fn place(review: &Review, (c, s): Place) -> String {
    let cluster = &review.clusters[c];
    format!("{} {}", number::count(cluster.devices[s]), cluster.name)
}

/// `38.2 days (30.6 to 45.8)`.
pub(super) fn days(cell: &Cell) -> String {
    let (low, high) = (number::days(cell.days_low), number::days(cell.days_high));
    format!("{} ({} to {high})", number::days(cell.days), bare(&low, &high))
}

/// `4.21 million USD (3.37 to 5.05)`, or that no price is known.
pub(super) fn money(cell: &Cell) -> String {
    match (cell.cost_usd, cell.cost_low_usd, cell.cost_high_usd) {
        (Some(cost), Some(low), Some(high)) => {
            let (low, high) = (number::dollars(low), number::dollars(high));
            format!("{} ({} to {high})", number::dollars(cost), bare(&low, &high))
        }
        _ => "no price known".to_owned(),
    }
}

/// A quantity without its unit, where another of the same unit follows.
fn bare<'a>(text: &'a str, next: &str) -> &'a str {
    match (text.split_once(' '), next.split_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other => number,
        _ => text,
    }
}

/// A duration as people say it: `47.3 min`, `8.31 days`.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        v if v >= 2.0 * 86_400.0 => number::days(v / 86_400.0),
        v if v >= 7200.0 => format!("{} hours", number::rate(v / 3600.0)),
        v if v >= 120.0 => format!("{} min", number::rate(v / 60.0)),
        v => number::seconds(v),
    }
}

/// Megawatt-hours: `1,230 MWh`.
pub(super) fn energy(cell: &Cell) -> String {
    format!("{} MWh", number::rate(cell.energy_mwh))
}

/// What the recommended cell is best at.
pub(super) fn objective(review: &Review) -> &'static str {
    match review.objective {
        Objective::Time => "fastest",
        Objective::Cost if review.cells().all(|(_, cell)| cell.cost_usd.is_none()) => {
            "of fewest device-hours"
        }
        Objective::Cost => "cheapest",
        Objective::Devices => "of fewest devices",
        Objective::Energy => "of least energy",
    }
}

/// `within 30 days and 5 million USD`; empty without limits.
pub(super) fn limits(review: &Review) -> String {
    let days = review.limits.deadline.map(|deadline| number::days(deadline.get() / 86_400.0));
    let money = review.limits.budget.map(|budget| number::dollars(budget.get()));
    let words: Vec<String> = [days, money].into_iter().flatten().collect();
    if words.is_empty() { String::new() } else { format!(" within {}", words.join(" and ")) }
}

/// The answer in a sentence.
pub(super) fn headline(review: &Review) -> String {
    let what = format!("{}{}", objective(review), limits(review));
    let Some((at, cell)) = review.recommended() else {
        let limits = limits(review);
        return format!("No cluster and number of devices of this review keeps{limits}.");
    };
    let cost = cell.cost_usd.map_or(String::new(), |_| format!(" and {}", money(cell)));
    format!("{} devices, {what}: {}{cost}.", place(review, at), days(cell))
}

/// Numbers of the recommended cell.
pub(super) fn facts(input: &CapacityInput<'_>) -> Vec<Fact> {
    let review = input.review;
    let Some((at, cell)) = review.recommended() else { return Vec::new() };
    let terms = &review.clusters[at.0].terms;
    let spares = match cell.devices_rented.saturating_sub(review.clusters[at.0].devices[at.1]) {
        0 => "no further spares needed".to_owned(),
        spares => format!("{} paid for with {} spares", number::count(cell.devices_rented), spares),
    };
    let mut facts = vec![
        fact(
            "Devices",
            place(review, at),
            format!("{} used, {spares}", number::count(cell.devices_used)),
        ),
        fact(
            "Length of the run",
            number::days(cell.days),
            format!(
                "{} to {}, failures counted, for {} tokens",
                number::days(cell.days_low),
                number::days(cell.days_high),
                number::tokens(review.tokens)
            ),
        ),
    ];
    if let (Some(cost), Some(low), Some(high), Some(price)) =
        (cell.cost_usd, cell.cost_low_usd, cell.cost_high_usd, terms.price)
    {
        let (low, high) = (number::dollars(low), number::dollars(high));
        let note = format!("{low} to {high}, at {:.2} USD per device-hour", price.get());
        facts.push(fact("Cost", number::dollars(cost), note));
    }
    let failures = match cell.between_failures_s {
        Some(between) => format!(
            "a failure every {}, checkpoints every {}",
            span(between),
            span(cell.interval_daly_s.unwrap_or(0.0))
        ),
        None => "no failure rate known: none counted".to_owned(),
    };
    facts.push(fact("Goodput", number::percent(cell.goodput), failures));
    facts.push(fact(
        "Energy",
        energy(cell),
        format!(
            "at most: {} a device, for {} devices",
            terms.power,
            number::count(cell.devices_used)
        ),
    ));
    let p = &cell.prediction;
    facts.push(fact(
        "Iteration time",
        number::seconds(p.iteration_time_s),
        format!(
            "{} to {}, MFU {}",
            number::seconds(p.iteration_time_low_s),
            number::seconds(p.iteration_time_high_s),
            number::percent(p.mfu)
        ),
    ));
    facts.extend(table::trained(p));
    facts
}

fn fact(name: &'static str, value: String, note: String) -> Fact {
    Fact { name, value, note }
}

/// The plan of the recommended cell in a line.
pub(super) fn plan(review: &Review) -> String {
    review.recommended().map_or(String::new(), |(_, cell)| plan_line(&cell.plan))
}
