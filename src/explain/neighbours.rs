//! Plans that differ by one choice.

use super::{Change, ExplainInput, Neighbour, Outcome, best};
use crate::lower::Candidate;
use crate::plan::{OptimizerSharding, Recompute};
use crate::planner::space::{Pins, divisors};
use crate::spec::ScheduleKind;
use std::fmt::Display;

/// Every neighbour of a plan that is one at all, ways first.
pub fn neighbours(subject: &ExplainInput<'_>) -> Vec<Neighbour> {
    let c = &subject.choice.mapping.candidate;
    let mut moves = ways(subject, c);
    moves.extend(batch(subject, c));
    moves.extend(schedules(subject, c));
    moves.extend(shardings(c));
    moves.extend(recompute(subject, c));
    let outcome = |(changes, pins): (Vec<Change>, Pins)| {
        let outcome = best(subject.job, pins);
        Neighbour { changes, outcome }
    };
    moves
        .into_iter()
        .map(outcome)
        .filter(|neighbour| neighbour.outcome != Outcome::Nothing)
        .collect()
}

type Move = (Vec<Change>, Pins);

fn change(choice: &'static str, from: impl Display, to: impl Display) -> Change {
    Change { choice, from: from.to_string(), to: to.to_string() }
}

/// Everything fixed as the plan has it, but for what it recomputes.
fn held(c: &Candidate) -> Pins {
    Pins {
        tensor: Some(vec![c.tensor]),
        pipeline: Some(vec![c.pipeline]),
        data: Some(vec![c.data]),
        micro_batch: Some(vec![c.micro_batch]),
        chunks: Some(vec![c.chunks]),
        schedule: Some(vec![c.schedule]),
        sequence_parallel: Some(c.sequence_parallel),
        sharding: Some(vec![c.sharding]),
        recompute: None,
        all_devices: false,
        asked: Vec::new(),
    }
}

/// Twice or half of one of the ways, made up by another, or by devices where only replicas change.
fn ways(subject: &ExplainInput<'_>, c: &Candidate) -> Vec<Move> {
    let now = [c.tensor, c.pipeline, c.data];
    let names = ["tensor", "pipeline", "data"];
    let mut moves = Vec::new();
    let mut push = |new: [u64; 3]| {
        let changed = (0..3).filter(|way| new[*way] != now[*way]);
        let changes = changed.map(|way| change(names[way], now[way], new[way])).collect();
        let [tensor, pipeline, data] = new.map(|ways| Some(vec![ways]));
        moves.push((changes, Pins { tensor, pipeline, data, ..Pins::default() }));
    };
    for up in 0..3 {
        for down in 0..3 {
            if up != down && now[down].is_multiple_of(2) {
                let mut new = now;
                new[up] *= 2;
                new[down] /= 2;
                push(new);
            }
        }
    }
    if c.data.is_multiple_of(2) {
        push([c.tensor, c.pipeline, c.data / 2]);
    }
    if c.devices() * 2 <= subject.job.machine.devices {
        push([c.tensor, c.pipeline, c.data * 2]);
    }
    moves
}

/// The next smaller and larger micro-batch.
fn batch(subject: &ExplainInput<'_>, c: &Candidate) -> Vec<Move> {
    let each = subject.job.workload.model.training.global_batch_size / c.data.max(1);
    let sizes = divisors(each.max(1));
    let at = sizes.iter().position(|size| *size == c.micro_batch);
    let near = at.map(|at| [at.checked_sub(1), Some(at + 1)]).unwrap_or_default();
    let sizes = near.into_iter().flatten().filter_map(|at| sizes.get(at));
    let to = |size: &u64| {
        let mut pins = Pins { micro_batch: Some(vec![*size]), ..held(c) };
        if c.schedule == ScheduleKind::Interleaved {
            // Another number of micro-batches may not interleave.
            (pins.schedule, pins.chunks) = (None, None);
        }
        (vec![change("micro-batch", c.micro_batch, size)], pins)
    };
    sizes.map(to).collect()
}

/// Other schedules, and the next smaller and larger number of chunks.
fn schedules(subject: &ExplainInput<'_>, c: &Candidate) -> Vec<Move> {
    if c.pipeline < 2 {
        return Vec::new();
    }
    let mut moves = Vec::new();
    for kind in &subject.job.workload.stack.schedules {
        if *kind != c.schedule {
            let pins = Pins { schedule: Some(vec![*kind]), chunks: None, ..held(c) };
            moves.push((vec![change("schedule", word(c.schedule), word(*kind))], pins));
        }
    }
    if c.schedule == ScheduleKind::Interleaved {
        let chunks = divisors(subject.job.workload.model.num_layers.div_ceil(c.pipeline));
        let smaller = chunks.iter().rev().find(|v| **v < c.chunks && **v > 1);
        let larger = chunks.iter().find(|v| **v > c.chunks);
        for v in smaller.into_iter().chain(larger) {
            let pins = Pins { chunks: Some(vec![*v]), ..held(c) };
            moves.push((vec![change("virtual stages", c.chunks, v)], pins));
        }
    }
    moves
}

/// Other shardings of the optimizer, and sequence parallelism on or off.
fn shardings(c: &Candidate) -> Vec<Move> {
    use OptimizerSharding::{None as Whole, Zero1, Zero2, Zero3};
    let mut moves = Vec::new();
    if c.replicas() > 1 {
        for kind in [Whole, Zero1, Zero2, Zero3].into_iter().filter(|kind| *kind != c.sharding) {
            let pins = Pins { sharding: Some(vec![kind]), ..held(c) };
            let change = change("optimizer sharding", c.sharding.name(), kind.name());
            moves.push((vec![change], pins));
        }
    }
    if c.tensor > 1 {
        let on = !c.sequence_parallel;
        let pins = Pins { sequence_parallel: Some(on), ..held(c) };
        moves.push((vec![change("sequence parallel", c.sequence_parallel, on)], pins));
    }
    moves
}

/// Nothing, only the attention core, or everything recomputed, where the plan does otherwise.
fn recompute(subject: &ExplainInput<'_>, c: &Candidate) -> Vec<Move> {
    let stages = &subject.choice.mapping.stages;
    let uses = |kind: usize| stages.iter().any(|stage| stage[kind] > 0);
    let names = ["none", "selective", "full"];
    let used: Vec<&str> = (0..3).filter(|kind| uses(*kind)).map(|kind| names[kind]).collect();
    let used = used.join(" and ");
    let kinds = [Recompute::None, Recompute::Selective, Recompute::Full];
    let others = (0..3).filter(|kind| used != names[*kind]);
    let to = |kind: usize| {
        let pins = Pins { recompute: Some(vec![kinds[kind]]), ..held(c) };
        (vec![change("recompute", &used, names[kind])], pins)
    };
    others.map(to).collect()
}

/// A schedule as files write it.
const fn word(kind: ScheduleKind) -> &'static str {
    match kind {
        ScheduleKind::Gpipe => "gpipe",
        ScheduleKind::OneFOneB => "1f1b",
        ScheduleKind::Interleaved => "interleaved-1f1b",
    }
}
