//! Every combination of ways, batch, schedule and sharding that divides as model and batch demand.

pub mod conflict;

use crate::lower::{Candidate, Pipeline};
use crate::plan::{MOST_PASSES, OptimizerSharding, Recompute};
use crate::spec::ScheduleKind;

/// A part that the user has fixed, in the user's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Name of the flag, without its dashes.
    pub flag: &'static str,
    /// What was given.
    pub text: String,
    /// The least count that was given; nothing of words.
    pub count: Option<u64>,
}

/// A choice of (t, p, d): all candidates that share it are bounded together first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ways {
    /// Tensor-parallel ways (t).
    pub tensor: u64,
    /// Stages (p).
    pub pipeline: u64,
    /// Replicas (d).
    pub data: u64,
}

/// Parts of the plan that the user has fixed; `None` leaves the choice to the search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins {
    /// Allowed tensor-parallel ways.
    pub tensor: Option<Vec<u64>>,
    /// Allowed numbers of stages.
    pub pipeline: Option<Vec<u64>>,
    /// Allowed numbers of replicas.
    pub data: Option<Vec<u64>>,
    /// Allowed micro-batch sizes.
    pub micro_batch: Option<Vec<u64>>,
    /// Allowed numbers of chunks a stage.
    pub chunks: Option<Vec<u64>>,
    /// Allowed schedules.
    pub schedule: Option<Vec<ScheduleKind>>,
    /// Sequence parallelism on or off.
    pub sequence_parallel: Option<bool>,
    /// Allowed optimizer shardings.
    pub sharding: Option<Vec<OptimizerSharding>>,
    /// Allowed recomputations.
    pub recompute: Option<Vec<Recompute>>,
    /// Devices that must be used, all of them.
    pub all_devices: bool,
    /// What of this was asked for, in the user's words; for messages alone.
    pub asked: Vec<Asked>,
}

impl Pins {
    /// Whether layers may recompute nothing, the attention core, everything.
    pub fn recomputes(&self) -> [bool; 3] {
        let kinds = [Recompute::None, Recompute::Selective, Recompute::Full];
        kinds.map(|kind| self.recompute.as_ref().is_none_or(|allowed| allowed.contains(&kind)))
    }
}

/// The space of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// Devices there are.
    pub devices: u64,
    /// Sequences of an optimizer step (B).
    pub global_batch: u64,
    /// Layers (L).
    pub num_layers: u64,
    /// Numbers that tensor-parallel ways must divide: heads, inner width, hidden size; then the
    /// key-value heads, where there are fewer and the stack splits attention by them.
    pub tensor_divides: Vec<u64>,
    /// Tokens of a sequence: sequence parallelism must divide it.
    pub sequence_length: u64,
    /// Schedules that the stack offers.
    pub schedules: Vec<ScheduleKind>,
    /// What the user has fixed.
    pub pins: Pins,
}

/// Divisors of `n` in ascending order.
pub fn divisors(n: u64) -> Vec<u64> {
    let mut low: Vec<u64> = Vec::new();
    let mut high: Vec<u64> = Vec::new();
    let mut k = 1;
    while k <= n / k {
        if n.is_multiple_of(k) {
            low.push(k);
            if k != n / k {
                high.push(n / k);
            }
        }
        k += 1;
    }
    low.extend(high.into_iter().rev());
    low
}

fn allowed<T: PartialEq>(pin: &Option<Vec<T>>, value: &T) -> bool {
    pin.as_ref().is_none_or(|values| values.contains(value))
}

impl Space {
    /// Tensor-parallel ways: common divisors of what they split, that fit the cluster.
    pub fn tensor_ways(&self) -> Vec<u64> {
        let smallest = self.tensor_divides.iter().copied().min().unwrap_or(1).max(1);
        let fits = |t: &u64| {
            *t <= self.devices
                && self.tensor_divides.iter().all(|n| n.is_multiple_of(*t))
                && allowed(&self.pins.tensor, t)
        };
        divisors(smallest).into_iter().filter(fits).collect()
    }

    /// Whether activations between blocks may be sharded, for `tensor` ways.
    pub fn sequence_parallel(&self, tensor: u64) -> Vec<bool> {
        let may = tensor > 1 && self.sequence_length.is_multiple_of(tensor);
        let both = if may { vec![false, true] } else { vec![false] };
        let pin = self.pins.sequence_parallel;
        both.into_iter().filter(|on| pin.is_none_or(|pin| pin == *on || (pin && !may))).collect()
    }

    /// All micro-batch sizes that any candidate may have.
    pub fn micro_batches(&self) -> Vec<u64> {
        let all = divisors(self.global_batch);
        all.into_iter().filter(|b| allowed(&self.pins.micro_batch, b)).collect()
    }

    /// All (t, p, d) with at least one candidate, in ascending order.
    pub fn ways(&self) -> Vec<Ways> {
        let replicas = divisors(self.global_batch);
        let mut ways = Vec::new();
        for tensor in self.tensor_ways() {
            let most = (self.devices / tensor).min(self.num_layers);
            for pipeline in (1..=most).filter(|p| allowed(&self.pins.pipeline, p)) {
                let room = self.devices / (tensor * pipeline);
                for data in replicas.iter().copied().take_while(|d| *d <= room) {
                    let used = tensor * pipeline * data;
                    if allowed(&self.pins.data, &data)
                        && (!self.pins.all_devices || used == self.devices)
                    {
                        ways.push(Ways { tensor, pipeline, data });
                    }
                }
            }
        }
        ways
    }

    /// Chunks a stage that interleaving may have with `pipeline` stages: equal chunks only.
    fn interleavings(&self, pipeline: u64) -> Vec<u64> {
        if pipeline < 2 || !self.num_layers.is_multiple_of(pipeline) {
            return Vec::new();
        }
        let chunks = divisors(self.num_layers / pipeline).into_iter().skip(1);
        chunks.filter(|v| allowed(&self.pins.chunks, v)).collect()
    }

    /// Schedules of (p, m), each with its chunks, whose passes are few enough to be simulated. With one
    /// stage all schedules are the same.
    fn schedules(&self, pipeline: u64, micro_batches: u64) -> Vec<(ScheduleKind, u64)> {
        let mut schedules = Vec::new();
        let offered = |kind: ScheduleKind| {
            self.schedules.contains(&kind) && allowed(&self.pins.schedule, &kind)
        };
        if allowed(&self.pins.chunks, &1) {
            if offered(ScheduleKind::OneFOneB) {
                schedules.push((ScheduleKind::OneFOneB, 1));
            }
            let alone = schedules.is_empty();
            if offered(ScheduleKind::Gpipe) && (pipeline > 1 || alone) {
                schedules.push((ScheduleKind::Gpipe, 1));
            }
        }
        if offered(ScheduleKind::Interleaved) && micro_batches.is_multiple_of(pipeline) {
            let chunks = self.interleavings(pipeline).into_iter();
            schedules.extend(chunks.map(|v| (ScheduleKind::Interleaved, v)));
        }
        let few = |schedule: ScheduleKind, chunks: u64| {
            let stages = pipeline;
            Pipeline { schedule, stages, chunks, micro_batches }.passes() <= MOST_PASSES
        };
        schedules.retain(|(schedule, chunks)| few(*schedule, *chunks));
        schedules
    }

    /// Optimizer shardings of `data` replicas.
    pub(crate) fn shardings(&self, data: u64) -> Vec<OptimizerSharding> {
        use OptimizerSharding::{None, Zero1, Zero2, Zero3};
        let all: &[OptimizerSharding] =
            if data == 1 { &[None] } else { &[None, Zero1, Zero2, Zero3] };
        let pinned = |s: &&OptimizerSharding| allowed(&self.pins.sharding, s) || data == 1;
        all.iter().filter(pinned).copied().collect()
    }

    /// The candidates of (t, p, d), in ascending order of micro-batch, then as listed.
    pub fn candidates(&self, ways: Ways) -> Vec<Candidate> {
        let Ways { tensor, pipeline, data } = ways;
        let mut candidates = Vec::new();
        for micro_batch in divisors(self.global_batch / data) {
            if !allowed(&self.pins.micro_batch, &micro_batch) {
                continue;
            }
            let micro_batches = self.global_batch / data / micro_batch;
            for (schedule, chunks) in self.schedules(pipeline, micro_batches) {
                for sequence_parallel in self.sequence_parallel(tensor) {
                    for sharding in self.shardings(data) {
                        candidates.push(Candidate {
                            tensor,
                            pipeline,
                            data,
                            context: 1,
                            micro_batch,
                            chunks,
                            micro_batches,
                            schedule,
                            sequence_parallel,
                            sharding,
                        });
                    }
                }
            }
        }
        candidates
    }

    /// Number of candidates of (t, p, d), without listing them.
    pub fn count(&self, ways: Ways) -> u64 {
        let each = self.sequence_parallel(ways.tensor).len() * self.shardings(ways.data).len();
        let rows = self.global_batch / ways.data;
        let batches = divisors(rows).into_iter().filter(|b| allowed(&self.pins.micro_batch, b));
        let schedules: usize = batches.map(|b| self.schedules(ways.pipeline, rows / b).len()).sum();
        (schedules * each) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(devices: u64, global_batch: u64, num_layers: u64) -> Space {
        Space {
            devices,
            global_batch,
            num_layers,
            tensor_divides: vec![96, 12288],
            sequence_length: 2048,
            schedules: vec![ScheduleKind::OneFOneB, ScheduleKind::Gpipe, ScheduleKind::Interleaved],
            pins: Pins::default(),
        }
    }

    #[test]
    fn counting_equals_listing() {
        for space in [space(64, 64, 96), space(8, 12, 30), space(1, 4, 2)] {
            for ways in space.ways() {
                let listed = space.candidates(ways);
                assert_eq!(space.count(ways), listed.len() as u64, "{ways:?}");
                for c in listed {
                    assert_eq!(c.micro_batch * c.micro_batches * c.data, space.global_batch);
                    assert!(c.devices() <= space.devices);
                }
            }
        }
    }

    #[test]
    fn every_number_of_stages_is_in_the_space() {
        let mut space = space(280, 280, 105);
        space.tensor_divides = vec![128, 20480, 81920];
        let ways = Ways { tensor: 8, pipeline: 35, data: 1 };
        assert!(space.ways().contains(&ways));
        assert!(space.candidates(ways).iter().any(|c| c.chunks == 3));
    }

    #[test]
    fn pipelines_of_too_many_passes_are_left_out() {
        let space = space(8, 1 << 20, 96);
        for ways in space.ways().into_iter().step_by(7) {
            let listed = space.candidates(ways);
            assert_eq!(space.count(ways), listed.len() as u64, "{ways:?}");
            assert!(listed.iter().all(|c| c.pipeline_shape().passes() <= MOST_PASSES));
        }
        let ways = Ways { tensor: 1, pipeline: 8, data: 1 };
        let fewest = space.candidates(ways).iter().map(|c| c.micro_batch).min();
        assert_eq!(fewest, Some(8), "2 x 8 x 2^20 / 8 passes");
    }

    #[test]
    fn pins_narrow_the_space() {
        let mut space = space(64, 64, 96);
        space.pins.tensor = Some(vec![8]);
        space.pins.pipeline = Some(vec![4, 8]);
        space.pins.sharding = Some(vec![OptimizerSharding::Zero1]);
        for ways in space.ways() {
            assert!(ways.tensor == 8 && [4, 8].contains(&ways.pipeline));
            for c in space.candidates(ways) {
                assert!(c.data == 1 || c.sharding == OptimizerSharding::Zero1);
            }
        }
    }

    #[test]
    fn divisors_are_all_and_ascending() {
        assert_eq!(divisors(1), [1]);
        assert_eq!(divisors(36), [1, 2, 3, 4, 6, 9, 12, 18, 36]);
        for n in 1..200 {
            let slow: Vec<u64> = (1..=n).filter(|k| n % k == 0).collect();
            assert_eq!(divisors(n), slow);
        }
    }
}
