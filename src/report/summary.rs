//! The answer in a few numbers and one line.

use super::input::ReportInput;
use super::number;
use crate::plan::{OptimizerSharding, Plan, RecomputeCounts};
use crate::sim::{Prediction, StagePrediction};
use crate::spec::stack::ScheduleKind;

/// An estimate with the ends of its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    /// The estimate.
    pub(super) value: f64,
    /// Lower end.
    pub(super) low: f64,
    /// Upper end.
    pub(super) high: f64,
}

/// Time and money of the whole training run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RunTotals {
    /// Tokens.
    pub(super) tokens: u64,
    /// Days without interruption.
    pub(super) days: Range,
    /// US dollars, where a price is known.
    pub(super) dollars: Option<Range>,
}

/// The fullest stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Headroom {
    /// Its number, from 0.
    pub(super) stage: usize,
    /// Its peak, in bytes.
    pub(super) peak: u64,
    /// Memory of its device, in bytes.
    pub(super) capacity: u64,
}

impl Headroom {
    /// Of a prediction; its own peak counts where it lists no stages.
    pub(super) fn of(prediction: &Prediction) -> Self {
        let fullest = prediction
            .stages
            .iter()
            .enumerate()
            .rev()
            .max_by_key(|(_, stage)| stage.peak_memory_bytes);
        Headroom {
            stage: fullest.map_or(0, |(index, _)| index),
            peak: prediction.peak_memory_bytes,
            capacity: prediction.memory_capacity_bytes,
        }
    }

    /// Whether the plan fits.
    pub(super) fn fits(&self) -> bool {
        self.peak <= self.capacity
    }

    /// Peak over capacity.
    pub(super) fn share(&self) -> f64 {
        self.peak as f64 / self.capacity.max(1) as f64
    }

    /// `12.3 GiB (15.4 %) free`, or what is missing.
    pub(super) fn words(&self) -> String {
        let difference = self.capacity.abs_diff(self.peak);
        let share = number::percent(difference as f64 / self.capacity.max(1) as f64);
        let word = if self.fits() { "free" } else { "missing" };
        format!("{} ({share}) {word}", number::bytes(difference))
    }
}

/// Days and dollars for the token budget, where there is one.
pub(super) fn run(input: &ReportInput<'_>) -> Option<RunTotals> {
    let prediction = input.prediction();
    let tokens = input.token_budget()?;
    let rate = prediction.tokens_per_s;
    let time = prediction.iteration_time_s;
    if !(rate > 0.0 && rate.is_finite() && time > 0.0) {
        return None;
    }
    let value = tokens as f64 / rate / 86_400.0;
    let days = Range {
        value,
        low: value * prediction.iteration_time_low_s / time,
        high: value * prediction.iteration_time_high_s / time,
    };
    let per_day =
        input.device_hour_price().map(|price| price * 24.0 * input.outcome.plan.devices() as f64);
    let dollars = per_day.map(|factor| Range {
        value: days.value * factor,
        low: days.low * factor,
        high: days.high * factor,
    });
    Some(RunTotals { tokens, days, dollars })
}

/// Half the width of the interval over the iteration time.
pub(super) fn half_width(prediction: &Prediction) -> f64 {
    let width = prediction.iteration_time_high_s - prediction.iteration_time_low_s;
    width / 2.0 / prediction.iteration_time_s
}

/// The plan in one line.
pub(super) fn plan_line(plan: &Plan) -> String {
    let mut parts = vec![degrees(plan), micro_batches(plan), schedule(plan.schedule).to_owned()];
    if plan.parallelism.sequence_parallel {
        parts.push("sequence parallel".to_owned());
    }
    if plan.optimizer_sharding != OptimizerSharding::None {
        parts.push(plan.optimizer_sharding.name().to_owned());
    }
    parts.push(format!("recompute {}", recompute(plan)));
    parts.join(", ")
}

/// `t8 p8 d1`, with c, e and v where they are more than one.
pub(super) fn degrees(plan: &Plan) -> String {
    let p = &plan.parallelism;
    let mut text = format!("t{} p{} d{}", p.tensor, p.pipeline, p.data);
    for (letter, ways) in [('c', p.context), ('e', p.expert), ('v', p.virtual_stages)] {
        if ways > 1 {
            text.push_str(&format!(" {letter}{ways}"));
        }
    }
    text
}

fn micro_batches(plan: &Plan) -> String {
    match plan.num_micro_batches() {
        Some(1) => format!("micro-batch {} x 1", plan.batch.micro),
        Some(count) => format!("micro-batch {} x {}", plan.batch.micro, number::count(count)),
        None => format!("micro-batch {}", plan.batch.micro),
    }
}

/// Name of a schedule, as in plans.
pub(super) fn schedule(kind: ScheduleKind) -> &'static str {
    match kind {
        ScheduleKind::Gpipe => "gpipe",
        ScheduleKind::OneFOneB => "1f1b",
        ScheduleKind::Interleaved => "interleaved-1f1b",
    }
}

/// What is recomputed, over all stages: `selective`, or `24 none + 72 selective layers`.
pub(super) fn recompute(plan: &Plan) -> String {
    let mut total = RecomputeCounts::default();
    for stage in &plan.stages {
        total.none = total.none.saturating_add(stage.recompute.none);
        total.selective = total.selective.saturating_add(stage.recompute.selective);
        total.full = total.full.saturating_add(stage.recompute.full);
    }
    let kinds = recompute_kinds(&total);
    match kinds.as_slice() {
        [] => "none".to_owned(),
        [(name, _)] => (*name).to_owned(),
        several => {
            let parts: Vec<String> =
                several.iter().map(|(name, layers)| format!("{layers} {name}")).collect();
            format!("{} layers", parts.join(" + "))
        }
    }
}

/// The kinds of recomputation that occur, with their layers.
pub(super) fn recompute_kinds(counts: &RecomputeCounts) -> Vec<(&'static str, u64)> {
    [("none", counts.none), ("selective", counts.selective), ("full", counts.full)]
        .into_iter()
        .filter(|(_, layers)| *layers > 0)
        .collect()
}

/// Name and bytes of each kind of a stage's memory, in the order of the charts.
pub(super) fn memory_kinds(stage: &StagePrediction) -> [(&'static str, u64); 5] {
    [
        ("parameters", stage.parameters_bytes),
        ("gradients", stage.gradients_bytes),
        ("optimizer", stage.optimizer_bytes),
        ("activations", stage.activations_bytes),
        ("other", stage.other_bytes),
    ]
}
