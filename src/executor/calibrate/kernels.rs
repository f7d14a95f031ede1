//! Kernels of the probes, measured by ranks of this machine: by the first alone, and by all at
//! once, in turn.
//!
//! Cores of one machine share its memory and its last-level cache, and those of a rented one may be
//! halves of one core. So each kernel has two times: while the other ranks wait, and while they are
//! busy with the same kernels.

use super::benchmark;
use super::probes::{Probe, probes};
use super::request::{Request, plan, stack};
use crate::cost::fit::MeasuredKernel;
use crate::cost::{follows_copies, optimizer_kernels};
use crate::executor::error::{ExecutorError, Result};
use crate::executor::ranks::launch;
use crate::executor::ranks::task::{Mode, Task};
use crate::executor::ranks::{RankResult, Sample};
use crate::executor::run::comm::Ranks;
use crate::executor::run::gauge::{self, Gauge, Reading};
use crate::executor::run::rank::{Groups, Rank};
use crate::executor::run::record::Beside;
use crate::executor::run::setup::{self, RunOptions};
use crate::executor::run::timed;
use crate::graph::{Kernel, PassKind};
use crate::lower::Workload;
use crate::mesh::Coordinates;
use crate::sharding::Instruction;
use crate::spec::Pace;
use crate::units::statistics::clipped_mean;
use crate::units::{Bytes, Seconds};
use std::path::Path;
use tch::{Device, Kind};

/// Kernels with their usual times.
#[derive(Debug, Clone, Default)]
pub(super) struct Measured {
    /// By one rank while the others waited.
    pub(super) alone: Vec<MeasuredKernel>,
    /// By all ranks at once; none where there is one.
    pub(super) busy: Vec<MeasuredKernel>,
    /// Bytes a second of a copy that no cache holds, by each of the ranks at once; and the speed of a
    /// product in the cache then over that of one rank alone. None where there is one rank.
    pub(super) shared: Option<[f64; 2]>,
    /// How fast the machine was meanwhile, while one rank was busy and while all were.
    pub(super) pace: [Option<Pace>; 2],
    /// What all runs took over what they were if each took its usual time.
    pub(super) interruptions: f64,
}

/// Kernels with the seconds of each run.
type Times = Vec<(Kernel, Vec<f64>)>;

/// Runs of a probe at most, until one asks for no memory.
const TRIES: usize = 3;

/// Rounds over all probes, and runs of each in a round, alone and busy.
const fn rounds(quick: bool) -> (usize, usize) {
    if quick { (2, 1) } else { (4, 3) }
}

/// Measures the kernels of the probes on `ranks` of this machine.
pub(super) fn measure(program: &Path, request: &Request, ranks: u64) -> Result<Measured> {
    let all = probes(request.quick, request.cuda);
    let first = all.first().ok_or_else(|| ExecutorError::Program("no probes".to_owned()))?;
    let mode = Mode::Kernels { quick: request.quick };
    let task = Task {
        cuda: request.cuda,
        patience_s: 120.0,
        ..Task::new(mode, first.model.clone(), plan(ranks, first.batch), stack()?)
    };
    let answers = launch(program, &task)?;
    let count = answers.first().map_or(0, |answer| answer.kernels.len());
    if count == 0 || answers.iter().any(|answer| answer.kernels.len() != count) {
        return Err(ExecutorError::Rank("ranks measured different kernels".to_owned()));
    }
    let mut measured = Measured::default();
    let (mut all_s, mut usual_s) = (0.0, 0.0);
    for index in 0..count {
        let samples = || answers.iter().filter_map(|answer| answer.kernels.get(index));
        let times = |of: fn(&Sample) -> &Vec<f64>| -> Vec<f64> {
            samples().flat_map(|sample| of(sample).iter().copied()).collect()
        };
        let Some(kernel) = samples().next().map(|sample| &sample.kernel) else { continue };
        let mut push = |into: &mut Vec<MeasuredKernel>, times: Vec<f64>| {
            if times.is_empty() {
                return;
            }
            let usual = clipped_mean(&times);
            all_s += times.iter().sum::<f64>();
            usual_s += usual * times.len() as f64;
            into.push(MeasuredKernel {
                device: String::new(),
                kernel: kernel.clone(),
                beside: Bytes::ZERO,
                time: Seconds::new(usual),
            });
        };
        push(&mut measured.alone, times(|sample| &sample.alone_s));
        push(&mut measured.busy, times(|sample| &sample.busy_s));
    }
    let each: Vec<[f64; 2]> = answers.iter().filter_map(|answer| answer.shared).collect();
    let mean = |index: usize| each.iter().map(|one| one[index]).sum::<f64>() / each.len() as f64;
    measured.shared = (!each.is_empty()).then(|| [mean(0), mean(1)]);
    let pace = |of: fn(&RankResult) -> &Vec<Reading>| {
        let all: Vec<Reading> = answers.iter().flat_map(of).copied().collect();
        gauge::pace(&all)
    };
    measured.pace = [pace(|answer| &answer.pace_alone), pace(|answer| &answer.pace)];
    measured.interruptions = if usual_s > 0.0 { all_s / usual_s } else { 1.0 };
    Ok(measured)
}

/// What a rank does: every round all probes, first by rank 0 alone, then by all at once.
pub(in crate::executor) fn work(world: &Ranks, device: Device, quick: bool) -> Result<RankResult> {
    let probes = probes(quick, device.is_cuda());
    let (rounds, repeats) = rounds(quick);
    let mut all: Vec<Vec<Sample>> = vec![Vec::new(); probes.len()];
    let (mut alone, mut busy) = (Meanwhile::new(device), Meanwhile::new(device));
    let mut kept: Vec<Option<(Workload, Rank)>> = probes.iter().map(|_| None).collect();
    for _ in 0..rounds {
        for ((probe, kept), samples) in probes.iter().zip(&mut kept).zip(&mut all) {
            let (workload, mut rank) = match kept.take() {
                Some(ready) => ready,
                None => warm(probe, device)?,
            };
            wait(world)?;
            if world.rank() == 0 {
                alone
                    .time((&workload, &mut rank), repeats, samples, |sample| &mut sample.alone_s)?;
            }
            wait(world)?;
            if world.size() > 1 {
                busy.time((&workload, &mut rank), repeats, samples, |sample| &mut sample.busy_s)?;
            }
            wait(world)?;
            // The few of a quick run are small.
            *kept = quick.then_some((workload, rank));
        }
    }
    for sample in all.iter_mut().flatten() {
        let copies = follows_copies(&sample.kernel);
        alone.at_its_pace(copies, &mut sample.alone_s);
        busy.at_its_pace(copies, &mut sample.busy_s);
    }
    Ok(RankResult {
        kernels: all.into_iter().flatten().collect(),
        pace_alone: alone.readings,
        pace: busy.readings,
        shared: shared(world, device)?,
        ..RankResult::default()
    })
}

/// How fast the machine was while kernels were timed.
struct Meanwhile {
    /// None beside a GPU, whose pace is not that of the host's cores.
    gauge: Option<Gauge>,
    readings: Vec<Reading>,
}

impl Meanwhile {
    fn new(device: Device) -> Meanwhile {
        Meanwhile { gauge: (device == Device::Cpu).then(Gauge::new), readings: Vec::new() }
    }

    fn read(&mut self) -> Option<Reading> {
        let reading = self.gauge.as_mut()?.read();
        self.readings.push(reading);
        Some(reading)
    }

    /// Runs a rank `repeats` times and adds the times of its kernels to `of` the samples, in times of
    /// what a product or a copy took just before and after. So a moment in which the machine is slow
    /// does not make those kernels slow that happened to be timed in it.
    fn time(
        &mut self,
        (workload, rank): (&Workload, &mut Rank),
        repeats: usize,
        samples: &mut Vec<Sample>,
        of: fn(&mut Sample) -> &mut Vec<f64>,
    ) -> Result<()> {
        let tries = if self.gauge.is_some() { TRIES } else { 1 };
        let mut before = self.read();
        for _ in 0..repeats {
            let mut found = gauge::until_steady(tries, || timed(workload, rank))?;
            let after = self.read();
            if let (Some(before), Some(after)) = (before, after) {
                let pace = before.between(after);
                for (kernel, seconds) in &mut found {
                    let unit = if follows_copies(kernel) { pace.copy_s } else { pace.product_s };
                    seconds.iter_mut().for_each(|seconds| *seconds /= unit);
                }
            }
            before = after;
            gather(samples, found, of);
        }
        Ok(())
    }

    /// Seconds at the usual pace, of times in products or copies; as they are where no pace is known.
    fn at_its_pace(&self, copies: bool, times: &mut [f64]) {
        let Some(pace) = gauge::pace(&self.readings) else { return };
        let unit = if copies { pace.copy } else { pace.product };
        times.iter_mut().for_each(|time| *time *= unit.get());
    }
}

/// A side of a product whose operands fit in a core's own cache (three matrices of 64 KiB).
const CACHED: i64 = 128;

/// A copy and a product by all ranks at once, see [`Measured::shared`].
fn shared(world: &Ranks, device: Device) -> Result<Option<[f64; 2]>> {
    if world.size() == 1 {
        return Ok(None);
    }
    let product = || benchmark::product(device, Kind::Float, [CACHED; 3]);
    // One after the other, and then together.
    let mut alone = 0.0;
    for rank in 0..world.size() {
        wait(world)?;
        if rank == world.rank() {
            alone = product();
        }
    }
    wait(world)?;
    let together = product();
    wait(world)?;
    let bandwidth = benchmark::copy_bandwidth(device);
    wait(world)?;
    Ok(Some([bandwidth, (alone / together).min(1.0)]))
}

/// Waits for the others, asleep.
fn wait(world: &Ranks) -> Result<()> {
    world.real().map_or(Ok(()), |world| Ok(world.barrier()?))
}

/// A probe as one rank, after its first step.
fn warm(probe: &Probe, device: Device) -> Result<(Workload, Rank)> {
    let task = Task::new(Mode::Whole, probe.model.clone(), plan(1, probe.batch), stack()?);
    let (workload, mapping) = task.mapping(&task.plan)?;
    let options = RunOptions {
        device,
        double: false,
        dropout: true,
        gate_pieces: 1,
        at_true_size: true,
        timed: true,
        seed: 0,
    };
    let program =
        mapping.program(&workload, 0).map_err(|error| ExecutorError::Program(error.to_string()))?;
    let groups = Groups { data: Ranks::Alone, tied: Ranks::Alone, world: Ranks::Alone };
    let seat = Coordinates::default();
    let mut rank = setup::of_program(&workload, program, seat, Ranks::Alone, groups, &options)?;
    rank.iteration()?;
    Ok((workload, rank))
}

/// Runs a rank: each of its kernels with its times, the optimizer's passes as one.
fn timed(workload: &Workload, rank: &mut Rank) -> Result<Times> {
    rank.recorder.clear();
    rank.iteration()?;
    let mut all = Vec::new();
    for timed in timed::timed(&rank.recorder) {
        if let Some(Instruction::Compute { kernel, .. }) = timed.instruction(&rank.program) {
            all.push((kernel.clone(), timed.seconds));
        }
    }
    let beside = rank.recorder.beside_times();
    let of = |what: &Beside| beside.get(what).cloned().unwrap_or_default();
    let steps = of(&Beside::GradientNorm).into_iter().zip(of(&Beside::Optimizer));
    all.push((optimizer(workload, rank), steps.map(|(norm, update)| norm + update).collect()));
    Ok(all)
}

/// The optimizer's passes over all parameters of a rank, as one.
fn optimizer(workload: &Workload, rank: &Rank) -> Kernel {
    let elements = rank.blocks.iter().flatten().map(|state| state.flat.elements as u64).sum();
    let training = &workload.model.training;
    let passes =
        optimizer_kernels(elements, training.precision, &workload.stack, training.optimizer);
    let (mut all_read, mut all_written, mut all_launches) = (Bytes::ZERO, Bytes::ZERO, 0);
    for pass in &passes {
        if let Kernel::Memory { read, written, launches, .. } = pass {
            all_read += *read;
            all_written += *written;
            all_launches += launches;
        }
    }
    Kernel::Memory {
        pass: PassKind::Optimizer,
        read: all_read,
        written: all_written,
        launches: all_launches,
    }
}

/// Adds a round's times to those of the rounds before, kernel by kernel.
fn gather(samples: &mut Vec<Sample>, found: Times, of: fn(&mut Sample) -> &mut Vec<f64>) {
    for (index, (kernel, seconds)) in found.into_iter().enumerate() {
        if samples.len() == index {
            samples.push(Sample { kernel, alone_s: Vec::new(), busy_s: Vec::new() });
        }
        of(&mut samples[index]).extend(seconds);
    }
}
