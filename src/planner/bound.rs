//! Lower bounds on the iteration time of every plan of a candidate, from single paths through its
//! pipeline, in well under a microsecond each.
//!
//! Notation: f, b forward and backward time of a layer without recomputation; W = L (f + b) +
//! embedding + head; R = W plus the transfers of one round trip; m micro-batches, p stages; n* the
//! layers of the fullest stage, at least ⌈L/p⌉.

use super::costs::BlockSet;
use super::space::{Candidate, Space, Ways};
use crate::lower::{BlockTimes, Links, Prices};
use crate::spec::ScheduleKind;
use crate::units::SimTime;

/// What bounds need of a candidate's links and blocks.
pub struct BoundInput<'a> {
    /// The candidate.
    pub candidate: &'a Candidate,
    /// Layers of the model (L).
    pub num_layers: u64,
    /// Block choices.
    pub blocks: &'a BlockSet,
    /// Transfers.
    pub links: &'a Links,
    /// Prices, for the optimizer step.
    pub prices: &'a dyn Prices,
}

fn both(block: &BlockTimes) -> SimTime {
    block.forward + block.backward
}

fn least(blocks: &[BlockTimes], value: impl Fn(&BlockTimes) -> SimTime) -> SimTime {
    blocks.iter().map(value).min().unwrap_or(SimTime::ZERO)
}

/// No plan of `ways` is faster: its fullest stage computes at least its share of all layers.
///
/// `rate` is the least time of one sequence through one layer, forward and backward, over all
/// micro-batch sizes, in picoseconds.
pub fn ways_bound(space: &Space, ways: Ways, rate: f64) -> SimTime {
    let sequences = space.global_batch as f64 / ways.data as f64;
    let layers = space.num_layers as f64 / ways.pipeline as f64;
    // A hair below, so that rounding never lifts the bound over the truth.
    SimTime::from_picos((sequences * layers * rate * (1.0 - 1e-9)) as u64)
}

impl BoundInput<'_> {
    /// No plan of the candidate with this sharding of its layers is faster.
    pub fn layer_bound(&self, layer: &BlockTimes) -> SimTime {
        let pipeline = match self.candidate.schedule {
            ScheduleKind::OneFOneB => self.one_f_one_b(layer),
            ScheduleKind::Gpipe => self.gpipe(layer),
            ScheduleKind::Interleaved => self.interleaved(layer),
        };
        pipeline + self.links.gradient_norm + self.optimizer(layer)
    }

    /// No plan of the candidate is faster.
    pub fn bound(&self) -> SimTime {
        let bounds = self.blocks.layer.iter().map(|layer| self.layer_bound(layer));
        bounds.min().unwrap_or(SimTime::MAX)
    }

    fn ends(&self) -> (SimTime, SimTime) {
        let heads = self.blocks.heads(self.candidate.pipeline);
        (least(&self.blocks.embedding, both), least(heads, both))
    }

    /// All blocks once forward and backward, with the transfers of the round trip (R).
    pub fn round_trip(&self, layer: &BlockTimes) -> SimTime {
        let (embedding, head) = self.ends();
        both(layer) * self.num_layers + embedding + head + self.transfers() * 2
    }

    fn transfers(&self) -> SimTime {
        let hops = self.candidate.pipeline as usize - 1;
        self.links.hops.iter().take(hops).copied().sum()
    }

    /// Paths of 1F1B. After a first round trip, which every plan makes, a path may
    /// 1. stay on the last stage: R + (m - 1) t(p-1);
    /// 2. stay on the fullest stage q, where p - 1 - q forwards have already run:
    ///    R + (m - 1) b(q) + (m - p + q) f(q);
    /// 3. make i more round trips, each of which serves p micro-batches because the first stage
    ///    holds p in flight, then stay on the fullest stage: (i + 1) R + (m - 1 - i p) t(q).
    fn one_f_one_b(&self, layer: &BlockTimes) -> SimTime {
        let (p, m) = (self.candidate.pipeline, self.candidate.micro_batches);
        let round = self.round_trip(layer);
        let (embedding, head) = self.ends();
        let fullest = self.num_layers.div_ceil(p);
        if p == 1 {
            return round * m;
        }
        let stage = (both(layer) * fullest).max(both(layer) + embedding.max(head));
        let mut bound = round + (both(layer) + head) * (m - 1);
        let forward = layer.forward * fullest * m.saturating_sub(p);
        bound = bound.max(round + layer.backward * fullest * (m - 1) + forward);
        let rounds = (m - 1) / p;
        for i in [1, rounds] {
            if i <= rounds && i > 0 {
                bound = bound.max(round * (i + 1) + stage * (m - 1 - i * p));
            }
        }
        bound
    }

    /// Forwards down the pipeline, all on the fullest stage; the same for backwards.
    fn gpipe(&self, layer: &BlockTimes) -> SimTime {
        let m = self.candidate.micro_batches;
        let fullest = self.num_layers.div_ceil(self.candidate.pipeline);
        self.round_trip(layer) + (layer.forward + layer.backward) * fullest * (m - 1)
    }

    /// A device is busy for all its chunks and micro-batches; the first forward reaches it, and
    /// the last backward leaves it, through the first chunks of the devices before it.
    fn interleaved(&self, layer: &BlockTimes) -> SimTime {
        let Candidate { pipeline: p, chunks: v, micro_batches: m, .. } = *self.candidate;
        let (embedding, head) = self.ends();
        let chunk = both(layer) * (self.num_layers / (p * v));
        let first = (chunk * v + embedding) * m;
        let last = (chunk * v + head) * m + chunk * (p - 1) + embedding + self.transfers() * 2;
        first.max(last)
    }

    /// The fullest stage holds at least its share of the parameters.
    fn optimizer(&self, layer: &BlockTimes) -> SimTime {
        let fewest =
            |blocks: &[BlockTimes]| blocks.iter().map(|block| block.parameters).min().unwrap_or(0);
        let Candidate { pipeline, data, sharding, .. } = *self.candidate;
        let all = self.num_layers * layer.parameters
            + fewest(&self.blocks.embedding)
            + fewest(self.blocks.heads(pipeline));
        let stage = all / pipeline;
        let sharded = sharding != crate::plan::OptimizerSharding::None;
        self.prices.optimizer_step(if sharded { stage / data } else { stage })
    }
}
