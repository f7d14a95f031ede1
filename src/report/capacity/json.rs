//! The review as `lmplan.capacity/1`.

use super::input::CapacityInput;
use super::sentences;
use crate::capacity::{BestCell, CellOutcome, Flip, Place, Review};
use serde_json::{Value, json};

/// The document, with a line feed at its end.
pub(super) fn document(input: &CapacityInput<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let review = input.review;
    let clusters: Result<Vec<Value>, _> =
        (0..review.clusters.len()).map(|c| cluster(review, c)).collect();
    let answers = &review.answers;
    let value = json!({
        "schema": "lmplan.capacity/1",
        "model": review.model,
        "stack": review.stack,
        "tokens": review.tokens,
        "global_batch_size": review.global_batch,
        "objective": review.objective,
        "deadline_s": review.limits.deadline.map(crate::units::Seconds::get),
        "budget_usd": review.limits.budget.map(crate::units::UsDollars::get),
        "complete": review.complete,
        "answers": {
            "recommended": answer(review, answers.recommended),
            "runner_up_same_cluster": place(review, answers.runner_up[0]),
            "runner_up_other_cluster": place(review, answers.runner_up[1]),
            "fewest_devices_for_deadline": answers.fewest.map(|fewest| answer(review, fewest)),
            "cheapest": answer(review, answers.cheapest),
            "fastest_under_budget": answer(review, answers.fastest),
        },
        "flips": review.flips.iter().map(|of| flip(review, of)).collect::<Vec<_>>(),
        "sensitivity": review.levers,
        "clusters": clusters?,
        "interval": input.interval_source,
        "assumptions": sentences::assumptions(review),
        "command": input.command,
    });
    let mut bytes = serde_json::to_vec_pretty(&value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn cluster(review: &Review, c: usize) -> Result<Value, serde_json::Error> {
    let cluster = &review.clusters[c];
    let terms = &cluster.terms;
    let cell = |s: usize| -> Result<Value, serde_json::Error> {
        let devices = cluster.devices[s];
        let mut value = match &cluster.outcomes[s] {
            CellOutcome::Planned(cell) => serde_json::to_value(cell)?,
            CellOutcome::Infeasible => json!({"status": "infeasible"}),
            CellOutcome::Stopped(status) => json!({ "status": status }),
        };
        value["devices"] = json!(devices);
        value["efficiency"] = json!(review.efficiency((c, s)));
        Ok(value)
    };
    let cells: Result<Vec<Value>, _> = (0..cluster.devices.len()).map(cell).collect();
    Ok(json!({
        "name": cluster.name,
        "device": cluster.device,
        "devices_per_node": terms.devices_per_node,
        "price_per_device_hour_usd": terms.price.map(crate::units::UsDollars::get),
        "power_per_device_w": terms.power.get(),
        "failures_per_device_per_day": terms.failures.get(),
        "checkpoint_bandwidth_per_node_bytes_per_s": terms.recovery.bandwidth_per_node.get(),
        "checkpoint_bandwidth_bytes_per_s": terms.recovery.bandwidth.map(crate::units::BytesPerSecond::get),
        "restart_time_s": terms.recovery.restart_time.get(),
        "repair_time_s": terms.recovery.repair_time.get(),
        "recovery_source": terms.recovery.source,
        "cells": cells?,
    }))
}

fn place(review: &Review, place: Option<Place>) -> Value {
    match place {
        None => Value::Null,
        Some((c, s)) => {
            let cluster = &review.clusters[c];
            json!({"cluster": cluster.name, "devices": cluster.devices[s]})
        }
    }
}

fn answer(review: &Review, answer: BestCell) -> Value {
    json!({
        "expected": place(review, answer.expected),
        "at_upper_end_of_interval": place(review, answer.sure),
    })
}

fn flip(review: &Review, flip: &Flip) -> Value {
    match flip {
        Flip::DearerThan(price, at) => json!({
            "if": "price of the recommended cluster from",
            "price_per_device_hour_usd": price.get(),
            "then": place(review, Some(*at)),
        }),
        Flip::CheaperThan(price, at) => json!({
            "if": "price of the other cluster under",
            "price_per_device_hour_usd": price.get(),
            "then": place(review, Some(*at)),
        }),
        Flip::SlowerThan(share, at) => json!({
            "if": "iterations longer by",
            "share": share,
            "then": place(review, *at),
        }),
        Flip::DeadlineUnder(deadline, at) => json!({
            "if": "deadline under",
            "deadline_s": deadline.get(),
            "then": place(review, *at),
        }),
        Flip::DeadlineFrom(deadline, at) => json!({
            "if": "deadline from",
            "deadline_s": deadline.get(),
            "then": place(review, Some(*at)),
        }),
        Flip::BudgetUnder(budget, at) => json!({
            "if": "budget under",
            "budget_usd": budget.get(),
            "then": place(review, *at),
        }),
    }
}
