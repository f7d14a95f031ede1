//! Cells, failures and sensitivity as tables.

use super::facts::{energy, span};
use crate::capacity::{CellOutcome, Change, Review};
use crate::planner::SearchStatus;
use crate::report::number;
use crate::report::summary::degrees;
use crate::report::table::{Table, heads};

/// All cells.
pub(super) fn cells(review: &Review) -> Table {
    let mut rows = Vec::new();
    for (c, cluster) in review.clusters.iter().enumerate() {
        for (s, (devices, outcome)) in cluster.devices.iter().zip(&cluster.outcomes).enumerate() {
            let mut row = vec![cluster.name.clone()];
            match outcome {
                CellOutcome::Planned(cell) => {
                    let p = &cell.prediction;
                    row.push(degrees(&cell.plan));
                    row.push(certificate(cell.status).to_owned());
                    row.extend([
                        number::count(*devices),
                        number::seconds(p.iteration_time_s),
                        number::percent(p.mfu),
                        review.efficiency((c, s)).map_or(String::new(), number::percent),
                        number::percent(cell.goodput),
                        number::days(cell.days),
                        cell.cost_usd.map_or(String::new(), number::dollars),
                        energy(cell),
                    ]);
                }
                CellOutcome::Infeasible => row.extend(empty("no plan fits", *devices)),
                CellOutcome::Stopped(_) => row.extend(empty("not finished", *devices)),
            }
            rows.push(row);
        }
    }
    Table {
        heads: heads(
            &["cluster", "plan", "certificate"],
            &["devices", "iteration", "MFU", "efficiency", "goodput", "run", "cost", "energy"],
        ),
        rows,
    }
}

fn empty(why: &str, devices: u64) -> Vec<String> {
    let mut row = vec![why.to_owned(), String::new(), number::count(devices)];
    row.extend(vec![String::new(); 7]);
    row
}

fn certificate(status: SearchStatus) -> &'static str {
    match status {
        SearchStatus::Optimal => "optimal",
        _ => "gap left",
    }
}

/// Failures and checkpoints of the cells.
pub(super) fn failures(review: &Review) -> Table {
    let rows = review.cells().map(|((c, s), cell)| {
        let cluster = &review.clusters[c];
        let time = |time: Option<f64>| time.map_or("-".to_owned(), span);
        vec![
            cluster.name.clone(),
            number::count(cluster.devices[s]),
            time(cell.between_failures_s),
            span(cell.checkpoint_s),
            span(cell.restart_s),
            time(cell.interval_young_s),
            time(cell.interval_daly_s),
            number::percent(cell.goodput),
            number::percent(cell.checkpoint_share),
            number::percent(cell.restart_share),
            number::percent(cell.lost_share),
            cell.spare_nodes.to_string(),
        ]
    });
    Table {
        heads: heads(
            &["cluster"],
            &[
                "devices",
                "between failures",
                "checkpoint",
                "restart",
                "interval (Young)",
                "interval (Daly)",
                "goodput",
                "checkpoints",
                "restarts",
                "done again",
                "spare nodes",
            ],
        ),
        rows: rows.collect(),
    }
}

/// What the recommended cell becomes.
pub(super) fn levers(review: &Review) -> Option<Table> {
    let (_, base) = review.recommended()?;
    let row = |name: &str, change: &Change| {
        let plan = match (change.days, change.plan_changes) {
            (None, _) => "no plan fits",
            (_, true) => "another plan",
            _ => "the same plan",
        };
        let share = |value: f64, now: f64| number::signed_percent(value / now - 1.0);
        let or_none = |text: Option<String>| text.unwrap_or_default();
        let cost = change.cost_usd.zip(base.cost_usd);
        vec![
            name.to_owned(),
            change.to.to_owned(),
            plan.to_owned(),
            or_none(change.days.map(number::days)),
            or_none(change.days.map(|days| share(days, base.days))),
            or_none(change.cost_usd.map(number::dollars)),
            or_none(cost.map(|(cost, now)| share(cost, now))),
        ]
    };
    let rows: Vec<Vec<String>> = review
        .levers
        .iter()
        .flat_map(|lever| [row(lever.name, &lever.less), row(lever.name, &lever.more)])
        .collect();
    let words = ["assumption", "changed to", "plan"];
    (!rows.is_empty()).then(|| Table {
        heads: heads(&words, &["run", "against now", "cost", "against now"]),
        rows,
    })
}
