//! Why no plan fits, and the smallest change that would help.

use super::column::ColumnMaker;
use super::costs::Costs;
use super::facade::Request;
use super::job::Job;
use super::objective::Objective;
use super::search::{Options, search};
use super::space::{Candidate, Pins, Space};
use crate::lower::{Pipeline, StageMemory, StageModel};
use crate::units::Bytes;
use std::cell::RefCell;
use std::fmt;

/// The answer where no plan fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Infeasibility {
    /// The plan that comes closest, if the space holds any.
    pub closest: Option<Closest>,
    /// Memory of a device.
    pub capacity: Bytes,
    /// What would help, the smallest change first.
    pub remedies: Vec<String>,
    /// Whether a deadline, not memory, is what nothing meets.
    pub deadline: bool,
}

/// The plan that needs the least memory on its fullest stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Closest {
    /// Ways, batch, schedule, sharding.
    pub candidate: Candidate,
    /// Its fullest stage.
    pub stage: usize,
    /// What that stage needs.
    pub memory: StageMemory,
}

/// Finds out why `space` holds no plan.
pub(super) fn explain(job: &Job, space: &Space, request: &Request) -> Infeasibility {
    let closest = closest(job, space);
    let fits = closest.as_ref().is_some_and(|c| c.memory.total() <= job.device.memory);
    let deadline = fits && !matches!(request.objective, Objective::Time);
    let mut remedies = Vec::new();
    if deadline {
        remedies.push("allow a longer deadline, or plan for more devices".to_owned());
    } else {
        remedies.extend(pin_remedy(job, &space.pins));
        remedies.extend(device_remedy(job, space));
    }
    Infeasibility { closest, capacity: job.device.memory, remedies, deadline }
}

/// The candidate whose fullest stage needs the least, with layers spread evenly.
pub fn closest(job: &Job, space: &Space) -> Option<Closest> {
    let mut least: Option<Closest> = None;
    for ways in space.ways() {
        let mut candidates = space.candidates(ways);
        // Candidates come by micro-batch; larger ones only need more.
        let smallest = candidates.first().map_or(0, |c| c.micro_batch);
        candidates.retain(|c| c.micro_batch == smallest);
        for candidate in candidates {
            let Some(found) = need(job, space, candidate) else { continue };
            let total = found.memory.total();
            if least.as_ref().is_none_or(|least| total < least.memory.total()) {
                least = Some(found);
            }
        }
    }
    least
}

/// What the fullest stage of a candidate needs at least.
fn need(job: &Job, space: &Space, candidate: Candidate) -> Option<Closest> {
    let blocks = job.blocks(candidate.tensor, candidate.micro_batch, candidate.sequence_parallel);
    let pipeline = Pipeline {
        schedule: candidate.schedule,
        stages: candidate.pipeline,
        chunks: candidate.chunks,
        micro_batches: candidate.micro_batches,
    };
    let in_flight: Vec<_> = (0..pipeline.stages).map(|q| pipeline.in_flight(q)).collect();
    let prices = job.prices(&candidate);
    let stage_shape = job.shape(&candidate);
    let mut least: Option<Closest> = None;
    for layer in &blocks.layer {
        let maker = ColumnMaker {
            candidate: &candidate,
            blocks: &blocks,
            layer,
            stages: StageModel { shape: stage_shape, layer, prices: prices.as_ref() },
            shape: stage_shape,
            memory: job.memory(&candidate),
            recomputes: space.pins.recomputes(),
            in_flight: &in_flight,
            times: RefCell::default(),
        };
        let p = candidate.pipeline;
        let even = |q: u64| space.num_layers / p + u64::from(q < space.num_layers % p);
        let fullest = (0..p)
            .map(|q| (q as usize, maker.least_memory(q as usize, even(q))))
            .max_by_key(|(q, memory)| (memory.total(), std::cmp::Reverse(*q)));
        let Some((stage, memory)) = fullest else { continue };
        if least.as_ref().is_none_or(|least| memory.total() < least.memory.total()) {
            least = Some(Closest { candidate, stage, memory });
        }
    }
    least
}

fn has_plan(job: &Job, space: &Space) -> bool {
    let options =
        Options { objective: Objective::Time, top: 1, stop: &|| None, progress: &mut |_| {} };
    !search(space, job, options).best.is_empty()
}

/// The one fixed part whose release gives a plan.
fn pin_remedy(job: &Job, pins: &Pins) -> Option<String> {
    type Release = (&'static str, fn(&mut Pins));
    let releases: [Release; 9] = [
        ("--recompute", |pins| pins.recompute = None),
        ("--optimizer-sharding", |pins| pins.sharding = None),
        ("--micro-batch", |pins| pins.micro_batch = None),
        ("--sequence-parallel", |pins| pins.sequence_parallel = None),
        ("--schedule", |pins| pins.schedule = None),
        ("--virtual-stages", |pins| pins.chunks = None),
        ("--dp", |pins| pins.data = None),
        ("--pp", |pins| pins.pipeline = None),
        ("--tp", |pins| pins.tensor = None),
    ];
    for (flag, release) in releases {
        let mut free = pins.clone();
        release(&mut free);
        if free != *pins && has_plan(job, &job.space(free)) {
            return Some(format!("leave out `{flag}`: then a plan fits"));
        }
    }
    None
}

/// How many devices of the same kind would do, in powers of two times those there are.
fn device_remedy(job: &Job, space: &Space) -> Option<String> {
    for factor in [2, 4, 8, 16, 32, 64] {
        let devices = job.devices * factor;
        let mut larger = space.clone();
        larger.devices = devices;
        larger.pins = Pins { all_devices: false, ..Pins::default() };
        let fits = closest(job, &larger).is_some_and(|c| c.memory.total() <= job.device.memory);
        if fits {
            return Some(format!("{devices} such devices instead of {}", job.devices));
        }
    }
    None
}

impl fmt::Display for Infeasibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.deadline {
            writeln!(f, "no plan meets the deadline")?;
        } else {
            writeln!(f, "no plan fits the memory of {} on each device", self.capacity)?;
        }
        match &self.closest {
            Some(Closest { candidate: c, stage, memory }) if !self.deadline => {
                let total = memory.total();
                writeln!(
                    f,
                    "closest: t{} p{} d{} b{}, optimizer sharding {}; stage {stage} needs {total}, {} more than there is",
                    c.tensor,
                    c.pipeline,
                    c.data,
                    c.micro_batch,
                    c.sharding.name(),
                    total.saturating_sub(self.capacity)
                )?;
                writeln!(
                    f,
                    "  parameters {}, gradients {}, optimizer {}, activations {}, other {}",
                    memory.parameters,
                    memory.gradients,
                    memory.optimizer,
                    memory.activations,
                    memory.other
                )?;
            }
            Some(_) => {}
            None => writeln!(f, "no combination divides the batch and the model as demanded")?,
        }
        for remedy in &self.remedies {
            writeln!(f, "help: {remedy}")?;
        }
        Ok(())
    }
}
