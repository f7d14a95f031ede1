//! The space of a search, enumerated again from model, cluster and what was fixed.

use super::input::CheckInput;
use crate::plan::MOST_PASSES;
use serde_json::Value;
use std::collections::BTreeSet;

/// (t, p, d).
pub(super) type Ways = (u64, u64, u64);

/// A candidate as a certificate writes it, as text.
pub(super) type Key = String;

/// What the user fixed, from the certificate.
struct Pins<'a>(&'a Value);

impl Pins<'_> {
    fn allows(&self, name: &str, value: &Value) -> bool {
        match &self.0[name] {
            Value::Array(allowed) => allowed.contains(value),
            Value::Bool(only) => value == &Value::Bool(*only),
            _ => true,
        }
    }

    fn number(&self, name: &str, value: u64) -> bool {
        self.allows(name, &Value::from(value))
    }
}

/// All (t, p, d) with their candidates.
pub(super) fn enumerate(subject: &CheckInput<'_>, pins: &Value) -> Vec<(Ways, BTreeSet<Key>)> {
    let pins = Pins(pins);
    let (model, devices) = (subject.model, subject.devices);
    let batch = model.training.global_batch_size;
    let mut all = Vec::new();
    let mut numbers = vec![model.num_heads, model.ffn(), model.hidden_size];
    if !subject.stack.replicates_attention {
        numbers.push(model.kv_heads());
    }
    for t in 1..=devices.min(model.num_heads) {
        let divides = numbers.iter().all(|n| n % t == 0);
        if !divides || !pins.number("tensor", t) {
            continue;
        }
        for p in 1..=(devices / t).min(model.num_layers) {
            if !pins.number("pipeline", p) {
                continue;
            }
            for d in (1..=(devices / (t * p)).min(batch)).filter(|d| batch % d == 0) {
                if pins.number("data", d) {
                    let keys = candidates(subject, &pins, (t, p, d));
                    if !keys.is_empty() {
                        all.push(((t, p, d), keys));
                    }
                }
            }
        }
    }
    all
}

fn candidates(subject: &CheckInput<'_>, pins: &Pins<'_>, (t, p, d): Ways) -> BTreeSet<Key> {
    let rows = subject.model.training.global_batch_size / d;
    let may_shard = t > 1 && subject.model.sequence_length.is_multiple_of(t);
    let mut keys = BTreeSet::new();
    for b in (1..=rows).filter(|b| rows.is_multiple_of(*b) && pins.number("micro_batch", *b)) {
        for (schedule, v) in schedules(subject, pins, p, rows / b) {
            for sp in [false, true] {
                let pinned =
                    pins.allows("sequence_parallel", &Value::Bool(sp)) || (!sp && !may_shard);
                if (sp && !may_shard) || !pinned {
                    continue;
                }
                let shardings: &[&str] =
                    if d == 1 { &["none"] } else { &["none", "zero1", "zero2", "zero3"] };
                for z in shardings {
                    if d == 1 || pins.allows("optimizer_sharding", &Value::from(*z)) {
                        keys.insert(key(&serde_json::json!([t, p, d, b, v, schedule, sp, z])));
                    }
                }
            }
        }
    }
    keys
}

fn schedules(
    subject: &CheckInput<'_>,
    pins: &Pins<'_>,
    p: u64,
    m: u64,
) -> Vec<(&'static str, u64)> {
    let offered = |name: &str| {
        let listed = subject
            .stack
            .schedules
            .iter()
            .any(|kind| serde_json::to_value(kind).is_ok_and(|word| word == name));
        listed && pins.allows("schedule", &Value::from(name))
    };
    let mut all = Vec::new();
    if pins.number("virtual_stages", 1) {
        if offered("1f1b") {
            all.push(("1f1b", 1));
        }
        // On one stage both orders are the same; one of them stands for both.
        if offered("gpipe") && (p > 1 || all.is_empty()) {
            all.push(("gpipe", 1));
        }
    }
    if offered("interleaved-1f1b")
        && p > 1
        && m.is_multiple_of(p)
        && subject.model.num_layers.is_multiple_of(p)
    {
        let each = subject.model.num_layers / p;
        let chunks =
            (2..=each).filter(|v| each.is_multiple_of(*v) && pins.number("virtual_stages", *v));
        all.extend(chunks.map(|v| ("interleaved-1f1b", v)));
    }
    // Each chunk of each stage runs each micro-batch forward and backward.
    all.retain(|(_, v)| 2 * u128::from(p * v) * u128::from(m) <= u128::from(MOST_PASSES));
    all
}

/// A candidate as text, for comparison.
pub(super) fn key(candidate: &Value) -> Key {
    candidate.to_string()
}
