//! The whole plan on as many ranks as it names, timed.

use super::measure;
use super::report::{ClassTimes, ComparedBytes, ComparedTime, Timing};
use crate::executor::error::{ExecutorError, Result};
use crate::executor::gpu;
use crate::executor::ranks::RankResult;
use crate::executor::ranks::task::{Mode, Task};
use crate::executor::ranks::world::World;
use crate::executor::run::gauge;
use crate::executor::run::record::Beside;
use crate::executor::run::timed::Timed;
use crate::lower::StageCollectives;
use crate::mesh::Coordinates;
use crate::plan::{OptimizerSharding, Plan};
use crate::planner::job::Job;
use crate::planner::job::costs::Costs;
use crate::planner::predict::choice::Choice;
use crate::planner::predict::predict;
use crate::planner::predict::staged::{beside_passes, stage_memory};
use crate::sim::{MemorySample, Span, Timeline};
use crate::spec::Pace;
use crate::units::statistics::{clipped_mean, median, spread};
use crate::units::{Bytes, Seconds, SimTime};
use std::collections::BTreeMap;

/// What a run took.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// Times.
    pub timing: Timing,
    /// Peak of the tensors of the fullest rank.
    pub memory: ComparedBytes,
    /// Peaks of the tensors of the fullest rank of each stage.
    pub by_stage: Vec<ComparedBytes>,
    /// An iteration, predicted and as it was.
    pub timelines: [Timeline; 2],
    /// What the ranks talk over, where there are several.
    pub transport: Option<&'static str>,
    /// What the allocators of GPUs held.
    pub allocator: Option<String>,
}

/// A plan that has been run on all its ranks.
#[derive(Debug, Clone)]
pub struct Ran {
    answers: Vec<RankResult>,
    cuda: bool,
    nccl: bool,
}

/// Runs a plan, `repeats` times after one run that does not count. `expected` is about how long an
/// iteration takes, in seconds.
///
/// # Errors
/// A rank that fails, dies or hangs.
pub fn execute(
    world: &World,
    job: &Job,
    plan: &Plan,
    expected: f64,
    (cuda, repeats): (bool, u64),
) -> Result<Ran> {
    let task = Task {
        cuda,
        steps: repeats + 1,
        patience_s: (20.0 * expected).clamp(60.0, 600.0),
        nccl: cuda && world.has_gpu_for_each(plan.devices()),
        ..Task::new(
            Mode::Whole,
            job.workload.model.clone(),
            plan.clone(),
            job.workload.stack.clone(),
        )
    };
    Ok(Ran { answers: world.launch(&task)?, cuda, nccl: task.nccl })
}

impl Ran {
    /// How fast the machine was meanwhile, where that was measured.
    pub fn pace(&self) -> Option<Pace> {
        let all = self.answers.iter().flat_map(|answer| &answer.pace);
        gauge::pace(&all.copied().collect::<Vec<_>>())
    }

    /// Holds times and memory against their predictions.
    ///
    /// # Errors
    /// A plan that can not be predicted.
    pub fn compare(&self, job: &Job, choice: &Choice, device_file: &str) -> Result<Whole> {
        let predicted = predict(job, choice)
            .ok_or_else(|| ExecutorError::Program("the plan's schedule can not be run".into()))?;
        let answers = &self.answers;
        let iterations = iterations(answers);
        let by_stage = by_stage(job, choice, answers);
        let fullest = by_stage.iter().map(|bytes| bytes.predicted_bytes).max().unwrap_or(0);
        let peak = answers.iter().map(|answer| answer.peak_bytes).max().unwrap_or(0);
        let expected = predicted.time.seconds().get();
        Ok(Whole {
            timing: Timing {
                mode: "whole",
                device_file: device_file.to_owned(),
                iteration: ComparedTime::new(expected, clipped_mean(&iterations)),
                spread: spread(&iterations),
                pace: None,
                by_op_class: classes(job, choice, answers)?,
                worst: Vec::new(),
            },
            memory: ComparedBytes::new(Bytes::new(fullest), Bytes::new(peak)),
            by_stage,
            timelines: [predicted.timeline, timeline(choice, answers)],
            transport: (answers.len() > 1).then_some(if self.nccl { "nccl" } else { "gloo" }),
            allocator: self.cuda.then(|| {
                let most = answers.iter().max_by_key(|answer| answer.reserved_bytes);
                most.map_or(String::new(), |most| {
                    gpu::reserved(most.reserved_bytes, most.library_bytes)
                })
            }),
        })
    }
}

/// Iterations last until the last rank is done; the first does not count.
fn iterations(answers: &[RankResult]) -> Vec<f64> {
    let steps = answers.iter().map(|answer| answer.iterations_s.len()).min().unwrap_or(0);
    let slowest = |step: usize| answers.iter().map(|a| a.iterations_s[step]).fold(0.0, f64::max);
    (1..steps).map(slowest).collect()
}

/// Steps whose instructions were timed: each has one measurement of the gradients' norm.
fn timed_steps(answer: &RankResult) -> usize {
    let norms = answer.beside.iter().find(|(what, _)| *what == Beside::GradientNorm);
    norms.map_or(1, |(_, seconds)| seconds.len().max(1))
}

/// Times by class over all stages, each by one of its ranks, of one iteration.
fn classes(job: &Job, choice: &Choice, answers: &[RankResult]) -> Result<Vec<ClassTimes>> {
    let c = &choice.mapping.candidate;
    let prices = job.prices(c);
    let beside = beside_passes(job, choice);
    let mut sums: BTreeMap<String, (f64, f64, Vec<f64>, usize)> = BTreeMap::new();
    for (number, answer) in (0u64..).zip(answers) {
        let seat = c.mesh().coordinates(number);
        if seat.tensor > 0 || seat.data > 0 {
            continue;
        }
        let program = choice
            .mapping
            .program(&job.workload, seat.stage)
            .map_err(|error| ExecutorError::Program(error.to_string()))?;
        let steps = timed_steps(answer) as f64;
        let runs = |timed: &Timed| timed.seconds.len() as f64 / steps;
        let [by_class, _] = measure::compare(&answer.times, &program, prices.as_ref(), &runs);
        for row in by_class {
            let sum = sums.entry(row.name).or_default();
            sum.0 += row.times.predicted_s;
            sum.1 += row.times.measured_s;
            sum.2.push(row.spread);
            sum.3 += row.instructions;
        }
        if let Some(predicted) = beside.get(seat.stage as usize) {
            for (name, predicted, seconds) in beside_rows(predicted, answer) {
                let sum = sums.entry(name.to_owned()).or_default();
                sum.0 += predicted.seconds().get();
                sum.1 += seconds.iter().sum::<f64>() / steps;
                sum.2.push(spread(&seconds));
                sum.3 += 1;
            }
        }
    }
    let row =
        |(name, (predicted, measured, spreads, instructions)): (String, (_, _, Vec<f64>, _))| {
            ClassTimes {
                name,
                times: ComparedTime::new(predicted, measured),
                spread: median(&spreads),
                instructions,
            }
        };
    let mut rows: Vec<ClassTimes> = sums.into_iter().map(row).collect();
    rows.sort_by(|a, b| b.times.measured_s.total_cmp(&a.times.measured_s));
    Ok(rows)
}

/// What runs beside the blocks: predicted for an iteration, and seconds each time.
fn beside_rows(
    (optimizer, collectives): &(SimTime, StageCollectives),
    answer: &RankResult,
) -> Vec<(&'static str, SimTime, Vec<f64>)> {
    let rows: [(_, _, &[Beside]); 4] = [
        ("optimizer", *optimizer, &[Beside::GradientNorm, Beside::Optimizer]),
        ("gradient reduction", collectives.reduce, &[Beside::ReduceOverData]),
        ("parameter gathering", collectives.gather, &[Beside::GatherParameters]),
        ("reduction over tensor ranks", collectives.tensor_reduce, &[Beside::ReduceOverTensor]),
    ];
    let seconds = |parts: &[Beside]| -> Vec<f64> {
        let those = answer.beside.iter().filter(|(what, _)| parts.contains(what));
        those.flat_map(|(_, seconds)| seconds.iter().copied()).collect()
    };
    let rows = rows.map(|(name, predicted, parts)| (name, predicted, seconds(parts)));
    rows.into_iter().filter(|(_, _, seconds)| !seconds.is_empty()).collect()
}

/// Predicted and measured peaks by stage. `job` leaves out what tensors do not take: runtime,
/// communicators, fragmentation.
fn by_stage(job: &Job, choice: &Choice, answers: &[RankResult]) -> Vec<ComparedBytes> {
    let model = job.memory(&choice.mapping.candidate);
    // Where gradients are split, the executor keeps a table for each of its two places.
    let c = &choice.mapping.candidate;
    let own_table = c.sharding >= OptimizerSharding::Zero2 && c.data > 1;
    let predicted = stage_memory(job, choice, &model, own_table);
    let measured = |stage: u64| {
        let ranks = (0..).zip(answers);
        let of = ranks.filter(|(rank, _)| c.mesh().coordinates(*rank).stage == stage);
        of.map(|(_, answer)| answer.peak_bytes).max().unwrap_or(0)
    };
    (0..)
        .zip(predicted)
        .map(|(stage, memory)| ComparedBytes::new(memory.total(), Bytes::new(measured(stage))))
        .collect()
}

/// The last iteration, by the first rank of each stage.
fn timeline(choice: &Choice, answers: &[RankResult]) -> Timeline {
    let c = &choice.mapping.candidate;
    let time = |seconds: f64| SimTime::from_seconds(Seconds::new(seconds));
    let mut timeline = Timeline { stages: c.pipeline, ..Timeline::default() };
    for (rank, answer) in (0..).zip(answers) {
        let Coordinates { tensor, data, stage, .. } = c.mesh().coordinates(rank);
        let last = answer.iterations_s.last().copied().unwrap_or(0.0);
        timeline.end = timeline.end.max(time(last));
        if tensor > 0 || data > 0 {
            continue;
        }
        let first =
            MemorySample { stage, time: SimTime::ZERO, bytes: Bytes::new(answer.state_bytes) };
        timeline.memory.push(first);
        for ran in &answer.actions {
            let (start, end) = (time(ran.start_s), time(ran.end_s));
            let (micro_batch, chunk) = (ran.micro_batch, ran.chunk);
            timeline.spans.push(Span { stage, kind: ran.kind, micro_batch, chunk, start, end });
            timeline.memory.push(MemorySample { stage, time: end, bytes: Bytes::new(ran.bytes) });
        }
    }
    timeline
}
