//! One rank's instructions at their true shapes on one device, each timed by itself, and composed
//! by the simulator into an iteration.

use super::measure;
use super::report::{ClassTimes, ComparedBytes, ComparedTime, Timing};
use crate::executor::error::{ExecutorError, Result};
use crate::executor::run::comm::Ranks;
use crate::executor::run::gauge::{self, Gauge};
use crate::executor::run::rank::{Groups, Rank};
use crate::executor::run::record::{Beside, Pass};
use crate::executor::run::setup::{self, RunOptions};
use crate::executor::run::timed::{Timed, timed};
use crate::graph::BlockKind;
use crate::lower::{
    self, Action, MemoryModel, Pipeline, Placed, Program, StageSettings, StageWork, Step,
};
use crate::mesh::Coordinates;
use crate::plan::{OptimizerSharding, Recompute};
use crate::planner::job::Job;
use crate::planner::job::costs::Costs;
use crate::planner::predict::choice::Choice;
use crate::planner::predict::predict;
use crate::planner::predict::staged::block_times_of;
use crate::sharding::{Instruction, PassCost};
use crate::sim::Timeline;
use crate::spec::{Pace, ScheduleKind};
use crate::units::statistics::{clipped_mean, spread};
use crate::units::{Bytes, Seconds, SimTime};
use std::time::Instant;
use tch::Device;

/// What the roles of a plan took.
#[derive(Debug, Clone, PartialEq)]
pub struct Roles {
    /// Times.
    pub timing: Timing,
    /// Peak of the tensors of the blocks that were run.
    pub memory: ComparedBytes,
    /// An iteration, predicted and composed of the measured times.
    pub timelines: [Timeline; 2],
}

/// Every block that any rank of the plan runs, once with each recomputation, over one micro-batch.
fn program(job: &Job, choice: &Choice) -> Result<Program> {
    let mut program = choice
        .mapping
        .program(&job.workload, 0)
        .map_err(|error| ExecutorError::Program(error.to_string()))?;
    program.pipeline =
        Pipeline { schedule: ScheduleKind::OneFOneB, stages: 1, chunks: 1, micro_batches: 1 };
    (program.stage, program.replicas, program.sharding) = (0, 1, OptimizerSharding::None);
    let mut blocks = vec![placed(BlockKind::Embedding, Recompute::None)];
    let kinds = [Recompute::None, Recompute::Selective, Recompute::Full];
    for (index, recompute) in kinds.into_iter().enumerate().rev() {
        if choice.mapping.stages.iter().any(|stage| stage[index] > 0) {
            blocks.push(placed(BlockKind::Layer, recompute));
        }
    }
    blocks.push(placed(BlockKind::Head, Recompute::None));
    program.chunks = vec![blocks];
    let step = |pass| Step { pass, chunk: 0, micro_batch: 0 };
    program.actions = vec![
        Action::Run(step(lower::Pass::Forward)),
        Action::Run(step(lower::Pass::Backward)),
        Action::GradientNorm,
        Action::Optimizer,
    ];
    Ok(program)
}

const fn placed(kind: BlockKind, recompute: Recompute) -> Placed {
    Placed { kind, layer: 0, recompute }
}

/// The roles of a plan that have been run.
#[derive(Debug)]
pub struct Ran {
    rank: Rank,
    /// Seconds of each repetition.
    passes: Vec<f64>,
    /// Most bytes that tensors took.
    peak: u64,
}

/// Runs at most that do not count: until none asks for memory.
const WARM_UPS: usize = 2;

/// Times the roles of a plan, `repeats` times after runs that do not count. `gauge` is read
/// between their actions; made before memory is counted, it does not count.
///
/// # Errors
/// What libtorch reports, memory that is not there among it; what the executor lacks.
pub fn execute(
    job: &Job,
    choice: &Choice,
    cuda: bool,
    repeats: u64,
    gauge: Option<Gauge>,
) -> Result<Ran> {
    let program = program(job, choice)?;
    let options = RunOptions {
        device: if cuda { Device::Cuda(0) } else { Device::Cpu },
        double: false,
        dropout: true,
        gate_pieces: program.tensor,
        at_true_size: true,
        timed: true,
        seed: 0,
    };
    let ways = program.tensor as i64;
    let tensor = if ways > 1 { Ranks::Imitated { size: ways } } else { Ranks::Alone };
    let groups = Groups { data: Ranks::Alone, tied: Ranks::Alone, world: Ranks::Alone };
    let seat = Coordinates::default();
    lmplan_c10d::warm_up(options.device)?;
    let before = lmplan_c10d::memory(options.device)?.current;
    let mut rank = setup::of_program(&job.workload, program, seat, tensor, groups, &options)?;
    // A GPU's memory is its allocator's.
    gauge::until_steady(if cuda { 1 } else { WARM_UPS }, || rank.iteration())?;
    if let Some(gauge) = gauge {
        rank.recorder.with_gauge(gauge);
    }
    rank.recorder.clear();
    lmplan_c10d::reset_peak(options.device)?;
    let mut passes = Vec::new();
    for _ in 0..repeats {
        let start = Instant::now();
        rank.iteration()?;
        rank.recorder.synchronize();
        passes.push(start.elapsed().as_secs_f64());
    }
    let peak = lmplan_c10d::memory(options.device)?.peak.saturating_sub(before);
    Ok(Ran { rank, passes, peak })
}

impl Ran {
    /// How fast the machine was meanwhile, where that was measured.
    pub fn pace(&self) -> Option<Pace> {
        gauge::pace(&self.rank.recorder.readings())
    }

    /// Holds times and memory against their predictions.
    ///
    /// # Errors
    /// A plan that can not be predicted.
    pub fn compare(&self, job: &Job, choice: &Choice, device_file: &str) -> Result<Roles> {
        let predicted = predicted_peak(job, choice, &self.rank.program);
        let memory = ComparedBytes::new(predicted, Bytes::new(self.peak));
        let spread = spread(&self.passes);
        let (timing, timelines) = timing(job, choice, &self.rank, device_file, spread)?;
        Ok(Roles { timing, memory, timelines })
    }
}

fn timing(
    job: &Job,
    choice: &Choice,
    rank: &Rank,
    device_file: &str,
    spread_of_passes: f64,
) -> Result<(Timing, [Timeline; 2])> {
    let is_kernel = |timed: &Timed| {
        matches!(timed.instruction(&rank.program), Some(Instruction::Compute { .. }))
    };
    // Collectives are imitated: they are left out on both sides.
    let kernels: Vec<Timed> = timed(&rank.recorder).into_iter().filter(is_kernel).collect();
    let layers = job.workload.model.num_layers as f64;
    let weight = |timed: &Timed| if timed.block() == BlockKind::Layer { layers } else { 1.0 };
    let prices = job.prices(&choice.mapping.candidate);
    let [mut by_op_class, worst] =
        measure::compare(&kernels, &rank.program, prices.as_ref(), &weight);
    let optimizer = optimizer(job, rank, &prices.as_ref().optimizer_step(elements(rank)));
    let predicted = predict(job, choice).ok_or_else(unrunnable)?;
    let composed = predict(job, &with_times(choice, &kernels)).ok_or_else(unrunnable)?;
    let share = predicted.prediction.breakdown.optimizer_s;
    let correction = share * (optimizer.times.measured_s / optimizer.times.predicted_s - 1.0);
    by_op_class.push(optimizer);
    let measured = composed.time.seconds().get() + correction;
    let timing = Timing {
        mode: "roles",
        device_file: device_file.to_owned(),
        iteration: ComparedTime::new(predicted.time.seconds().get(), measured),
        spread: spread_of_passes,
        pace: None,
        by_op_class,
        worst,
    };
    let mut timelines = [predicted.timeline, composed.timeline];
    // Roles have no memory over time of their own.
    timelines.iter_mut().for_each(|timeline| timeline.memory.clear());
    Ok((timing, timelines))
}

fn unrunnable() -> ExecutorError {
    ExecutorError::Program("the plan's schedule can not be run".to_owned())
}

fn elements(rank: &Rank) -> u64 {
    rank.blocks.iter().flatten().map(|state| state.flat.elements as u64).sum()
}

/// The optimizer's passes over the blocks that were run: gradients measured and applied.
fn optimizer(job: &Job, rank: &Rank, predicted: &SimTime) -> ClassTimes {
    let beside = rank.recorder.beside_times();
    let parts = [Beside::GradientNorm, Beside::Optimizer];
    let of = |what: &Beside| beside.get(what).map_or(0.0, |seconds| clipped_mean(seconds));
    let _ = job;
    ClassTimes {
        name: "optimizer".to_owned(),
        times: ComparedTime::new(predicted.seconds().get(), parts.iter().map(of).sum()),
        spread: beside.get(&Beside::Optimizer).map_or(0.0, |seconds| spread(seconds)),
        instructions: 1,
    }
}

/// The choice with the measured times of its kernels in place of the predicted ones; its
/// collectives stay as predicted.
fn with_times(choice: &Choice, kernels: &[Timed]) -> Choice {
    let mut choice = choice.clone();
    let sum = |block: BlockKind, pass: Pass| {
        let of = kernels.iter().filter(|timed| timed.block() == block && timed.pass() == pass);
        SimTime::from_seconds(Seconds::new(of.map(Timed::usual).sum()))
    };
    let core = |block: BlockKind| {
        let of = kernels.iter().filter(|timed| {
            timed.block() == block && timed.pass() == Pass::Recompute && timed.key.3 == -1
        });
        // What is repeated selectively is repeated fully as well.
        SimTime::from_seconds(Seconds::new(of.map(Timed::usual).sum()))
    };
    let blocks = [BlockKind::Embedding, BlockKind::Layer, BlockKind::Head];
    let options = [&mut choice.embedding, &mut choice.layer, &mut choice.head];
    for (block, option) in blocks.into_iter().zip(options) {
        let measured = |cost: PassCost, compute: SimTime| PassCost { compute, launches: 0, ..cost };
        option.forward = measured(option.forward, sum(block, Pass::Forward));
        option.backward = measured(option.backward, sum(block, Pass::Backward));
        let full = sum(block, Pass::Forward);
        let selective = option.recompute[1];
        let share = core(block).min(full);
        option.recompute[1] = if selective.launches > 0 && share > SimTime::ZERO {
            measured(selective, share)
        } else {
            PassCost { launches: 0, ..selective }
        };
        option.recompute[2] = measured(option.recompute[2], full);
    }
    choice
}

/// The peak that the memory model gives the blocks that are run.
fn predicted_peak(job: &Job, choice: &Choice, program: &Program) -> Bytes {
    let mut model: MemoryModel = job.memory(&choice.mapping.candidate);
    model.transfer = Bytes::ZERO;
    let mut shape: StageSettings = job.shape(&choice.mapping.candidate);
    (shape.replicas, shape.sharding) = (1, OptimizerSharding::None);
    let [embedding, layer, mut head] = block_times_of(job, choice);
    if choice.mapping.candidate.pipeline > 1 && program.tables_agree(true) {
        // All blocks stand on one device here, where embedding and head share the table.
        head.parameters = head.parameters.saturating_sub(choice.head.tied_parameters);
    }
    let mut layers = [0; 3];
    for block in program.chunks.iter().flatten() {
        if block.kind == BlockKind::Layer {
            layers[block.recompute as usize] += 1;
        }
    }
    let work = StageWork { layers, embedding: Some(&embedding), head: Some(&head) };
    let in_flight = program.pipeline.in_flight(0);
    model.peak(&shape, &layer, &[work], &in_flight).total()
}
