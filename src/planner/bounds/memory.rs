//! Whether a candidate can beat a cutoff when its stages recompute what their memory forces them
//! to: decided without columns, in microseconds.
//!
//! A stage with n layers, whose activations are held for a known number of micro-batches, has room
//! for so many bytes a layer. The least recomputation that gets there is bounded from below by
//! mixing two kinds of recomputation in fractions. With it, a path through the stage
//! ([`crate::planner::bounds`]) says how many layers the stage may have below the cutoff; when the stages
//! together can not place all layers, nothing is below.

use crate::lower::{BlockTimes, InFlight, Pipeline};
use crate::plan::OptimizerSharding;
use crate::planner::bounds::communication::{fewest, held};
use crate::planner::bounds::{BoundInput, Work};
use crate::spec::ScheduleKind;
use crate::units::SimTime;

/// Parts of a time to which [`MemoryBound::least_time`] is exact.
const FINENESS: u64 = 512;

/// Decides for one candidate and one sharding of its layers.
pub struct MemoryBound<'a> {
    input: &'a BoundInput<'a>,
    layer: &'a BlockTimes,
    recomputes: [bool; 3],
    in_flight: &'a [Vec<InFlight>],
    pipeline: Pipeline,
    work: Work,
    round: SimTime,
    /// What a late start and the sum of the tied table add to paths that begin and end on the first
    /// stage, however many layers it has.
    around: SimTime,
}

impl<'a> MemoryBound<'a> {
    /// Prepares the decision. `recomputes` says which recomputations are allowed (none,
    /// selective, full), `in_flight` what each stage holds.
    pub fn new(
        input: &'a BoundInput<'a>,
        layer: &'a BlockTimes,
        recomputes: [bool; 3],
        in_flight: &'a [Vec<InFlight>],
    ) -> Self {
        let (work, round) = (input.work(layer), input.round(layer));
        let candidate = input.candidate;
        let late = if candidate.chunks > 1 {
            let layers = input.num_layers / (candidate.pipeline * candidate.chunks);
            let counted = work.forward * layers + input.embedding_forward(&work);
            input.late_start(layers, counted)
        } else {
            input.least_late_start(&work)
        };
        let around = late + input.tied;
        let pipeline = candidate.pipeline_shape();
        MemoryBound { input, layer, recomputes, in_flight, pipeline, work, round, around }
    }

    /// Whether some plan may be faster than `cutoff`; false is a proof that none is.
    pub fn may_beat(&self, cutoff: SimTime) -> bool {
        self.most_layers(cutoff).is_some()
    }

    /// The most layers that each stage may have in a plan that is faster than `cutoff`; nothing where
    /// there is no such plan.
    pub fn most_layers(&self, cutoff: SimTime) -> Option<Vec<u64>> {
        let candidate = self.input.candidate;
        let (p, layers) = (candidate.pipeline, self.input.num_layers);
        let mut most = Vec::with_capacity(p as usize);
        if candidate.chunks > 1 {
            for q in 0..p as usize {
                if !self.stage_may_beat(q, layers / p, cutoff) {
                    return None;
                }
                most.push(layers / p);
            }
            return Some(most);
        }
        for q in 0..p as usize {
            let (mut fitting, mut too_many) = (0, layers + 2 - p);
            while too_many - fitting > 1 {
                let middle = fitting + (too_many - fitting) / 2;
                if self.stage_may_beat(q, middle, cutoff) {
                    fitting = middle;
                } else {
                    too_many = middle;
                }
            }
            if fitting == 0 {
                return None;
            }
            most.push(fitting);
        }
        (most.iter().sum::<u64>() >= layers).then_some(most)
    }

    /// A time that no plan is faster than, at least `low`, which is one; a plan may be faster than
    /// `high`. It is found to a part in [`FINENESS`].
    pub fn least_time(&self, low: SimTime, high: SimTime) -> SimTime {
        let grain = |time: SimTime| (time.picos() / FINENESS).max(1);
        let (mut low, mut high, mut step) = (low.picos(), high.picos(), grain(low));
        while high - low > grain(SimTime::from_picos(low)) {
            // First steps that double, then halves.
            let next = low.saturating_add(step).min(low + (high - low) / 2);
            if self.may_beat(SimTime::from_picos(next)) {
                (high, step) = (next, u64::MAX);
            } else {
                low = next;
                step = step.saturating_mul(2);
            }
        }
        SimTime::from_picos(low)
    }

    /// Whether a plan whose stage `q` has `n` layers may be faster than `cutoff`.
    fn stage_may_beat(&self, q: usize, n: u64, cutoff: SimTime) -> bool {
        let Some(again) = self.least_recompute(q, n) else { return false };
        let candidate = self.input.candidate;
        let (p, m) = (candidate.pipeline, candidate.micro_batches);
        let work = &self.work;
        let (forward, backward) = (work.forward * n, work.backward * n + again);
        let (first, end) = (q == 0, q + 1 == p as usize);
        let head = if end { work.head } else { SimTime::ZERO };
        let round = self.round + again;
        // First the forwards down to the stage, then all its work, then what of its reduction
        // outlasts the last backward pass.
        let v = candidate.chunks;
        let before = if first || v > 1 { n / v } else { 1 };
        let late = self.input.late_start(before, work.forward * before);
        let down = work.forward * before * q as u64;
        let last = work.backward * (n / v) + again;
        let last = last + head + if first { work.embedding } else { SimTime::ZERO };
        let ends = (first, end && v == 1);
        let tail = self.input.least_tail(n / v, work.backward * (n / v), last, ends);
        let through = down + (forward + backward + head) * m + tail;
        let tied = if first || end { self.input.tied } else { SimTime::ZERO };
        let through = through + late + tied;
        // Of the first stage it is known how late it starts and how long it reduces.
        let around = if first {
            let counted = work.forward * before + self.input.embedding_forward(work);
            self.input.late_start(before, counted) + tail + tied
        } else {
            self.around
        };
        let path = match self.pipeline.forwards_between(q as u64) {
            None => {
                let chunk = (work.forward + work.backward) * (n / v);
                let through_all = (forward + backward + head) * m + chunk * q as u64;
                through.max(through_all + around)
            }
            Some(forwards) => {
                let stay = round + backward * (m - 1) + forward * forwards;
                let path = through.max(stay + around);
                if candidate.schedule == ScheduleKind::OneFOneB && m > p {
                    path.max((round * 2) + (forward + backward) * (m - 1 - p) + around)
                } else {
                    path
                }
            }
        };
        path + self.input.after_pipeline < cutoff
    }

    /// The least time that stage `q` with `n` layers recomputes for one micro-batch; nothing
    /// where it fits in no way.
    fn least_recompute(&self, q: usize, n: u64) -> Option<SimTime> {
        let candidate = self.input.candidate;
        let memory = &self.input.memory;
        let room = memory.capacity.as_f64() - self.state(q, n) - memory.fixed.as_f64();
        let transient = self.layer.transient.iter().zip(self.recomputes);
        let transient = transient.filter(|(_, allowed)| *allowed).map(|(bytes, _)| bytes.as_f64());
        let transient = transient.fold(f64::INFINITY, f64::min);
        let room = room / (1.0 + memory.fragmentation) - transient;
        let held = self.in_flight[q].iter().map(|held| held.all).max().unwrap_or(0);
        // Chunks of n / v layers, `held` of them at once.
        let layers_held = (held * (n / candidate.chunks)) as f64;
        if room < 0.0 {
            return None;
        }
        let each = if layers_held > 0.0 { room / layers_held } else { f64::INFINITY };
        let share = self.least_mixture(each)?;
        // A hair below, so that rounding never lifts the bound over the truth.
        Some(SimTime::from_picos((share * n as f64 * (1.0 - 1e-9)) as u64))
    }

    /// Least picoseconds of recomputation for a layer that may keep `room` bytes on average.
    fn least_mixture(&self, room: f64) -> Option<f64> {
        let mut points = [(0.0, 0.0); 3];
        let mut count = 0;
        for r in (0..3).filter(|r| self.recomputes[*r]) {
            points[count] = (self.layer.saved[r].as_f64(), self.layer.recompute[r].picos() as f64);
            count += 1;
        }
        let points = &points[..count];
        let mut least: Option<f64> = None;
        for (saved, time) in points {
            if *saved <= room {
                least = Some(least.map_or(*time, |best: f64| best.min(*time)));
                continue;
            }
            for (less, longer) in points.iter().filter(|(less, _)| *less <= room) {
                let share = (saved - room) / (saved - less);
                let mixed = time + (longer - time) * share;
                least = Some(least.map_or(mixed, |best: f64| best.min(mixed)));
            }
        }
        least.map(|time| time.max(0.0))
    }

    /// Least bytes of parameters, gradients and optimizer states of a stage.
    fn state(&self, q: usize, n: u64) -> f64 {
        let candidate = self.input.candidate;
        let elements = |of: fn(&BlockTimes) -> u64| {
            let mut elements = n * of(self.layer);
            if q == 0 {
                elements += fewest(self.input.blocks.embedding, of);
            }
            if q as u64 + 1 == candidate.pipeline {
                elements += fewest(self.input.blocks.head, of);
            }
            elements
        };
        let (all, trained) = (elements(held), elements(BlockTimes::trained));
        let share = |elements: u64, bytes: u64, from: OptimizerSharding| {
            let whole = elements as f64 * bytes as f64;
            if candidate.sharding >= from { whole / candidate.replicas() as f64 } else { whole }
        };
        let [parameter, gradient, optimizer] = self.input.memory.state;
        share(all, parameter, OptimizerSharding::Zero3)
            + share(trained, gradient, OptimizerSharding::Zero2)
            + share(trained, optimizer, OptimizerSharding::Zero1)
    }
}
