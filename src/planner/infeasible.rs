//! Why no plan fits, and the smallest change that would help.

use crate::lower::Candidate;
use crate::lower::{BlockTimes, StageMemory, StageModel};
use crate::planner::job::Job;
use crate::planner::job::costs::{BlockSet, Costs};
use crate::planner::master::column::ColumnMaker;
use crate::planner::objective::Objective;
use crate::planner::outcome::SearchStatus;
use crate::planner::request::Request;
use crate::planner::search::fastest;
use crate::planner::space::conflict::{self, Conflict, Known, RELEASES};
use crate::planner::space::{Pins, Space, Ways};
use crate::units::{Bytes, SimTime};
use rayon::prelude::*;
use std::cell::RefCell;
use std::fmt;

/// Asked all the while; where it says why, what has not been found yet is left out.
pub type Stop<'a> = &'a (dyn Fn() -> Option<SearchStatus> + Sync);

/// The answer where no plan fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Infeasibility {
    /// The plan that comes closest, if the space holds any.
    pub closest: Option<Closest>,
    /// Memory of a device.
    pub capacity: Bytes,
    /// What would help, the smallest change first.
    pub remedies: Vec<String>,
    /// How many devices of the same kind would do, where only more of them help.
    pub devices: Option<u64>,
    /// The fastest plan, where a deadline, not memory, is what nothing meets.
    pub missed: Option<Missed>,
    /// Which of the fixed parts can not be, where they leave no combination at all.
    pub conflict: Option<String>,
}

/// The fastest plan, which misses a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// Ways, batch, schedule, sharding.
    pub candidate: Candidate,
    /// Its iteration time.
    pub time: SimTime,
    /// What the deadline leaves for an iteration.
    pub allowed: SimTime,
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
///
/// Where `stop` says so, what would help is left out.
pub(crate) fn explain(job: &Job, space: &Space, request: &Request, stop: Stop) -> Infeasibility {
    let capacity = job.machine.device.memory;
    if let Some(found) = conflict(job, space, stop) {
        let (remedies, conflict) = (found.remedies, Some(found.what));
        let (closest, devices, missed) = (None, None, None);
        return Infeasibility { closest, capacity, remedies, devices, missed, conflict };
    }
    let closest = closest_until(job, space, stop);
    let missed = missed(job, space, request.objective, stop);
    let (mut remedies, mut devices) = (Vec::new(), None);
    if missed.is_some() {
        remedies.push("allow a longer deadline, or plan for more devices".to_owned());
    } else {
        remedies.extend(pin_remedy(job, &space.pins, stop));
        if remedies.is_empty() {
            let found = devices_needed(job, space, stop);
            devices = found.map(|(devices, _)| devices);
            remedies.extend(found.map(|(devices, as_fixed)| {
                let without = if as_fixed { "" } else { ", without the fixed parts" };
                format!("{devices} such devices instead of {}{without}", job.machine.devices)
            }));
        }
    }
    Infeasibility { closest, capacity, remedies, devices, missed, conflict: None }
}

/// Why `space` holds no candidate of `job`, if it holds none.
pub fn conflict(job: &Job, space: &Space, stop: Stop) -> Option<Conflict> {
    let searches = std::cell::Cell::new(SEARCHES);
    let fits = |pins: &Pins| {
        let narrowed = Space { pins: pins.clone(), ..space.clone() };
        let left = searches.get();
        let even = fits_evenly_until(job, &narrowed, stop);
        searches.set(left.saturating_sub(u32::from(!even)));
        even || (left > 0 && !fastest(&narrowed, job, stop).best.is_empty())
    };
    conflict::conflict(space, Known { stack: &job.workload.stack.name, fits: &fits })
}

/// Searches that are worth a way out of a conflict: layers spread unevenly may fit where evenly
/// spread ones do not.
const SEARCHES: u32 = 6;

/// Whether any candidate fits, with layers spread evenly.
pub fn fits_evenly(job: &Job, space: &Space) -> bool {
    fits_evenly_until(job, space, &|| None)
}

/// The same; false where `stop` says so first.
fn fits_evenly_until(job: &Job, space: &Space, stop: Stop) -> bool {
    let room = job.machine.device.memory;
    // The more ways, the less there is on each device.
    space
        .ways()
        .par_iter()
        .rev()
        .any(|ways| needs(job, space, *ways, stop).any(|need| need.memory.total() <= room))
}

/// The candidates of the smallest micro-batch; larger ones only need more.
fn smallest(space: &Space, ways: Ways) -> Vec<Candidate> {
    let mut candidates = space.candidates(ways);
    // They come by micro-batch.
    let smallest = candidates.first().map_or(0, |c| c.micro_batch);
    candidates.retain(|c| c.micro_batch == smallest);
    candidates
}

/// What the fullest stages of those candidates need, until `stop` says so.
fn needs(job: &Job, space: &Space, ways: Ways, stop: Stop) -> impl Iterator<Item = Closest> {
    let goes_on = move |_: &Candidate| stop().is_none();
    let candidates = smallest(space, ways).into_iter().take_while(goes_on);
    candidates.filter_map(move |candidate| need(job, space, candidate))
}

/// The fastest plan, where there is one and a deadline is what it misses.
fn missed(job: &Job, space: &Space, objective: Objective, stop: Stop) -> Option<Missed> {
    let allowed = match objective {
        Objective::Time | Objective::Cost { deadline: None } => return None,
        Objective::Cost { deadline: Some(deadline) } | Objective::Devices { deadline } => deadline,
    };
    let best = fastest(space, job, stop).best.into_iter().next()?;
    Some(Missed { candidate: best.candidate, time: best.time, allowed })
}

/// The candidate whose fullest stage needs the least, with layers spread evenly.
pub fn closest(job: &Job, space: &Space) -> Option<Closest> {
    closest_until(job, space, &|| None)
}

/// The same among those that were looked at before `stop` said so.
fn closest_until(job: &Job, space: &Space, stop: Stop) -> Option<Closest> {
    let of_ways =
        |ways: &Ways| needs(job, space, *ways, stop).min_by_key(|need| need.memory.total());
    // The first of those that need the least, whatever the threads.
    let least: Vec<Option<Closest>> = space.ways().par_iter().map(of_ways).collect();
    least.into_iter().flatten().min_by_key(|need| need.memory.total())
}

/// The shardings that no other beats in memory; of equals the first. A stage never needs less with
/// one that another beats.
fn lightest(blocks: &[BlockTimes]) -> Vec<BlockTimes> {
    let no_more = |a: &BlockTimes, b: &BlockTimes| {
        let every = |a: &[Bytes; 3], b: &[Bytes; 3]| a.iter().zip(b).all(|(a, b)| a <= b);
        a.parameters <= b.parameters
            && a.trained() <= b.trained()
            && every(&a.saved, &b.saved)
            && every(&a.transient, &b.transient)
    };
    let mut kept: Vec<BlockTimes> = Vec::new();
    for block in blocks {
        if !kept.iter().any(|other| no_more(other, block)) {
            kept.retain(|other| !no_more(block, other));
            kept.push(block.clone());
        }
    }
    kept
}

/// What the fullest stage of a candidate needs at least.
fn need(job: &Job, space: &Space, candidate: Candidate) -> Option<Closest> {
    let blocks = job.blocks(candidate.tensor, candidate.micro_batch, candidate.sequence_parallel);
    let blocks = BlockSet::new(
        lightest(&blocks.embedding),
        lightest(&blocks.layer),
        [lightest(&blocks.head), lightest(&blocks.head_beside_embedding)],
    );
    need_with(job, space, candidate, &blocks)
}

/// What it needs with the best of `blocks`.
fn need_with(job: &Job, space: &Space, candidate: Candidate, blocks: &BlockSet) -> Option<Closest> {
    let pipeline = candidate.pipeline_shape();
    let p = candidate.pipeline;
    let (few, more) = (space.num_layers / p, space.num_layers % p);
    let even = |q: u64| few + u64::from(q < more);
    // Of stages alike but for their place the first holds the most micro-batches.
    let fullest_of_their_kind = |q: &u64| [0, 1, more, p - 1].contains(q);
    let in_flight: Vec<_> = (0..p)
        .map(|q| if fullest_of_their_kind(&q) { pipeline.in_flight(q) } else { Vec::new() })
        .collect();
    let prices = job.prices(&candidate);
    let stage_shape = job.shape(&candidate);
    let mut least: Option<Closest> = None;
    for layer in &blocks.layer {
        let maker = ColumnMaker {
            candidate: &candidate,
            blocks,
            layer,
            stages: StageModel { shape: stage_shape, layer, prices: prices.as_ref() },
            shape: stage_shape,
            memory: job.memory(&candidate),
            recomputes: space.pins.recomputes(),
            in_flight: &in_flight,
            times: RefCell::default(),
        };
        let fullest = (0..p)
            .filter(fullest_of_their_kind)
            .map(|q| (q as usize, maker.least_memory(q as usize, even(q))))
            .max_by_key(|(q, memory)| (memory.total(), std::cmp::Reverse(*q)));
        let Some((stage, memory)) = fullest else { continue };
        if least.as_ref().is_none_or(|least| memory.total() < least.memory.total()) {
            least = Some(Closest { candidate, stage, memory });
        }
    }
    least
}

/// The one fixed part whose release gives a plan, or that of all of them.
pub fn pin_remedy(job: &Job, pins: &Pins, stop: Stop) -> Option<String> {
    let has_plan = |pins: Pins| !fastest(&job.space(pins), job, stop).best.is_empty();
    for (flag, release) in RELEASES {
        let mut free = pins.clone();
        release(&mut free);
        if free != *pins && has_plan(free) {
            return Some(format!("leave out `--{flag}`: then a plan fits"));
        }
    }
    let free = Pins { all_devices: pins.all_devices, ..Pins::default() };
    let all = pins.asked.len() > 1 && has_plan(free);
    all.then(|| "leave out all fixed parts: then a plan fits".to_owned())
}

/// How many devices of the same kind would do, with layers spread evenly, and whether with the parts
/// that are fixed: a power of two times those there are, or whole nodes of five, six or seven eighths
/// of that.
pub fn devices_needed(job: &Job, space: &Space, stop: Stop) -> Option<(u64, bool)> {
    let per_node = job.machine.nodes.smallest();
    let with = |pins: &Pins| {
        let enough = |devices: &u64| {
            let pins = pins.clone();
            fits_evenly_until(job, &Space { devices: *devices, pins, ..space.clone() }, stop)
        };
        let doubled = |factor: u64| job.machine.devices.saturating_mul(factor);
        let most = [2, 4, 8, 16, 32, 64].into_iter().map(doubled).find(enough)?;
        let eighths = [5, 6, 7].into_iter().map(|eighths| most / 8 * eighths);
        let whole = |devices: &u64| most.is_multiple_of(8) && devices.is_multiple_of(per_node);
        eighths.filter(whole).find(enough).or(Some(most))
    };
    let as_fixed = with(&space.pins).map(|devices| (devices, true));
    if as_fixed.is_some() || space.pins.asked.is_empty() {
        return as_fixed;
    }
    with(&Pins::default()).map(|devices| (devices, false))
}

impl fmt::Display for Infeasibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(conflict) = &self.conflict {
            writeln!(f, "{conflict}")?;
        } else if let Some(missed) = &self.missed {
            writeln!(
                f,
                "no plan meets the deadline: it leaves {} an iteration, the fastest plan takes {}",
                missed.allowed.seconds(),
                missed.time.seconds()
            )?;
        } else {
            writeln!(f, "no plan fits the memory of {} on each device", self.capacity)?;
        }
        match &self.closest {
            Some(Closest { candidate: c, stage, memory }) if self.missed.is_none() => {
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
            _ => {}
        }
        for remedy in &self.remedies {
            writeln!(f, "help: {remedy}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{self, Cluster};

    #[test]
    fn the_lightest_shardings_need_as_little_as_all() {
        let folder = spec::catalog::built_in();
        for (model, cluster) in [("gpt2-1.5b", "a100x16"), ("bert-large", "a100x16")] {
            let (model, _) = spec::load_model(model, folder).unwrap();
            let (cluster, _) = Cluster::load(cluster, folder).unwrap();
            let (stack, _) = spec::load_stack("megatron-core", folder).unwrap();
            let job = Job::new(model, cluster, stack).unwrap();
            let space = job.space(Pins::default());
            let mut compared = 0;
            for ways in space.ways().into_iter().step_by(3) {
                for candidate in smallest(&space, ways).into_iter().step_by(5) {
                    let c = &candidate;
                    let all = job.blocks(c.tensor, c.micro_batch, c.sequence_parallel);
                    let expected = need_with(&job, &space, candidate, &all);
                    let found = need(&job, &space, candidate);
                    let total = |need: &Option<Closest>| need.as_ref().map(|n| n.memory.total());
                    assert_eq!(total(&found), total(&expected), "{}", candidate.label());
                    compared += 1;
                }
            }
            assert!(compared > 10, "only {compared} compared");
        }
    }
}
