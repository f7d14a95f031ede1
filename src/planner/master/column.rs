//! Value functions of a stage: for each number of layers, the Pareto-best durations that fit its
//! memory, over recomputation and the shardings of embedding and head.

use crate::lower::Candidate;
use crate::lower::{
    BlockTimes, InFlight, MemoryModel, StageMemory, StageModel, StageSettings, StageTimes,
    StageWork,
};
use crate::plan::OptimizerSharding;
use crate::planner::job::costs::BlockSet;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// One choice for one stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Layers of the stage, all chunks together.
    pub layers: u64,
    /// Layers of each chunk that recompute nothing, the attention core, everything.
    pub recompute: [u64; 3],
    /// Index of the embedding's sharding.
    pub embedding: Option<usize>,
    /// Index of the head's sharding.
    pub head: Option<usize>,
    /// Durations.
    pub times: StageTimes,
    /// Peak memory.
    pub memory: StageMemory,
}

/// Makes the columns of one candidate with one sharding of its layers.
pub struct ColumnMaker<'a> {
    /// The candidate.
    pub candidate: &'a Candidate,
    /// Block choices.
    pub blocks: &'a BlockSet,
    /// The layer's sharding.
    pub layer: &'a BlockTimes,
    /// Prices of stages.
    pub stages: StageModel<'a>,
    /// What the stages share.
    pub shape: StageSettings,
    /// What decides memory.
    pub memory: MemoryModel,
    /// Recomputations allowed: none, selective, full.
    pub recomputes: [bool; 3],
    /// In-flight micro-batches by stage ([`crate::lower::Pipeline::in_flight`]).
    pub in_flight: &'a [Vec<InFlight>],
    /// Durations by recomputation of the stages between the ends, which are alike.
    pub times: RefCell<BTreeMap<[u64; 3], StageTimes>>,
}

/// One block among its choices, if it stands on the stage.
type Choice<'a> = Option<(usize, &'a BlockTimes)>;

/// Embedding and head of a stage.
#[derive(Clone, Copy)]
struct Ends<'a> {
    embedding: Choice<'a>,
    head: Choice<'a>,
}

impl Ends<'_> {
    /// Whether both are no slower than the other's and of the same size.
    fn beats(&self, other: &Ends<'_>) -> bool {
        let better = |a: &Choice<'_>, b: &Choice<'_>| match (a, b) {
            (Some((_, a)), Some((_, b))) => beats(a, b),
            _ => true,
        };
        better(&self.embedding, &other.embedding) && better(&self.head, &other.head)
    }
}

/// Whether `a` is no slower than `b` and of the same size: where memory is no matter, `b` is in no
/// plan that is faster than all with `a`.
pub(crate) fn beats(a: &BlockTimes, b: &BlockTimes) -> bool {
    a.forward <= b.forward
        && a.backward <= b.backward
        && a.parameters == b.parameters
        && a.trained() == b.trained()
        && a.tensor_reduced <= b.tensor_reduced
}

impl<'a> ColumnMaker<'a> {
    /// The choices of embedding and head on stage `q`.
    fn ends(&self, q: usize) -> Vec<Ends<'a>> {
        let last = self.candidate.pipeline as usize - 1;
        let choices = |there: bool, blocks: &'a [BlockTimes]| -> Vec<Choice<'a>> {
            if there { blocks.iter().enumerate().map(Some).collect() } else { vec![None] }
        };
        let heads = choices(q == last, self.blocks.heads(self.candidate.pipeline));
        let embeddings = choices(q == 0, &self.blocks.embedding);
        embeddings
            .iter()
            .flat_map(|e| heads.iter().map(|h| Ends { embedding: *e, head: *h }))
            .collect()
    }

    /// The Pareto-best columns of stage `q` with `layers` layers; empty where none fits.
    pub fn columns(&self, q: usize, layers: u64) -> Vec<Column> {
        let mut columns = Vec::new();
        // Choices that fit and need not recompute: those that they beat are in no best plan.
        let mut plain: Vec<Ends<'a>> = Vec::new();
        for ends in self.ends(q) {
            if plain.iter().any(|other| other.beats(&ends)) {
                continue;
            }
            let shows = self.recomputations(q, layers, ends, &mut columns);
            let monotone = self.is_monotone(q) || (self.candidate.chunks == 1 && !shows);
            if monotone && self.fits_plainly(q, layers, ends) {
                plain.push(ends);
            }
        }
        columns
    }

    /// Whether a stage is no slower where a block of it is, and of the same size. With several chunks,
    /// and where updated parameters are gathered while the pipeline fills, a faster block leaves more
    /// of a collective exposed.
    fn is_monotone(&self, q: usize) -> bool {
        use OptimizerSharding::{None, Zero3};
        let hides = self.shape.overlap_gather && !matches!(self.candidate.sharding, None | Zero3);
        self.candidate.chunks == 1 && (q == 0 || !hides)
    }

    /// Whether stage `q` fits with `layers` layers, nothing recomputed.
    fn fits_plainly(&self, q: usize, layers: u64, ends: Ends<'a>) -> bool {
        let recompute = [layers / self.candidate.chunks, 0, 0];
        self.recomputes[0] && self.peak(q, &mut self.works(ends), recompute).is_some()
    }

    /// Whether each stage fits, nothing recomputed, with as many as `most` layers, and no plan with a
    /// layer that this one beats ([`beats`]) is faster than all with this one.
    pub fn is_roomy(&self, most: u64) -> bool {
        (0..self.candidate.pipeline as usize).all(|q| {
            self.is_monotone(q)
                && self.best_ends(q).into_iter().all(|ends| self.fits_plainly(q, most, ends))
        })
    }

    /// The choices of embedding and head on stage `q` that are fastest where memory is no matter.
    fn best_ends(&self, q: usize) -> Vec<Ends<'a>> {
        let all = self.ends(q);
        if !self.is_monotone(q) {
            return all;
        }
        let mut best: Vec<Ends<'a>> = Vec::new();
        for ends in all {
            if !best.iter().any(|other| other.beats(&ends)) {
                best.retain(|other| !ends.beats(other));
                best.push(ends);
            }
        }
        best
    }

    /// The most layers, at most `most`, with which stage `q` fits in any way; at least one layer
    /// more never needs less.
    pub fn most_layers(&self, q: usize, most: u64) -> u64 {
        let v = self.candidate.chunks;
        let ends = self.ends(q);
        let fits = |per_chunk: u64| {
            ends.iter().any(|ends| {
                (0..3).filter(|r| self.recomputes[*r]).any(|r| {
                    let mut recompute = [0; 3];
                    recompute[r] = per_chunk;
                    self.peak(q, &mut self.works(*ends), recompute).is_some()
                })
            })
        };
        let (mut fitting, mut too_many) = (0, most / v + 1);
        while too_many - fitting > 1 {
            let middle = fitting + (too_many - fitting) / 2;
            if fits(middle) { fitting = middle } else { too_many = middle }
        }
        fitting * v
    }

    /// Durations of stage `q` with `layers` layers if memory were no matter, for each choice of
    /// embedding and head: no column of the stage is faster than the fastest of them.
    pub fn unlimited(&self, q: usize, layers: u64) -> Vec<StageTimes> {
        let allowed = (0..3).filter(|r| self.recomputes[*r]);
        let kind = allowed.min_by_key(|r| self.layer.recompute[*r]).unwrap_or(0);
        let mut recompute = [0; 3];
        recompute[kind] = layers / self.candidate.chunks;
        self.best_ends(q).into_iter().map(|ends| self.stage_times(recompute, ends)).collect()
    }

    /// The chunks of a stage, with no layers yet.
    fn works(&self, ends: Ends<'a>) -> Vec<StageWork<'a>> {
        let chunks = self.candidate.chunks as usize;
        let mut works = vec![StageWork::default(); chunks];
        works[0].embedding = ends.embedding.map(|(_, block)| block);
        works[chunks - 1].head = ends.head.map(|(_, block)| block);
        works
    }

    /// Peak memory of stage `q` with these layers in each chunk, where it fits.
    fn peak(
        &self,
        q: usize,
        works: &mut [StageWork<'a>],
        recompute: [u64; 3],
    ) -> Option<StageMemory> {
        works.iter_mut().for_each(|work| work.layers = recompute);
        let memory = self.memory.peak(&self.shape, self.layer, works, &self.in_flight[q]);
        (memory.total() <= self.memory.capacity).then_some(memory)
    }

    /// Adds the columns of one choice of embedding and head: for every number of layers that
    /// recompute everything, the fewest that recompute their attention core and fit. Says whether the
    /// first forward pass of any shows a gather that takes longer.
    fn recomputations(
        &self,
        q: usize,
        layers: u64,
        ends: Ends<'a>,
        columns: &mut Vec<Column>,
    ) -> bool {
        let mut shows = false;
        let per_chunk = layers / self.candidate.chunks;
        let mut works = self.works(ends);
        let most_full = if self.recomputes[2] { per_chunk } else { 0 };
        // A mixture never needs less than recomputing all other attention cores.
        let mut enough = |full: u64| {
            (0..2).filter(|r| self.recomputes[*r]).any(|r| {
                let mut recompute = [0, 0, full];
                recompute[r] = per_chunk - full;
                self.peak(q, &mut works, recompute).is_some()
            }) || full == per_chunk
        };
        let (mut least_full, mut high) = (0, if enough(0) { 0 } else { most_full });
        while least_full < high {
            let middle = least_full + (high - least_full) / 2;
            if enough(middle) { high = middle } else { least_full = middle + 1 }
        }
        for full in least_full..=most_full {
            let Some((recompute, memory)) = self.fewest_selective(q, per_chunk, full, &mut works)
            else {
                continue;
            };
            let times = self.stage_times(recompute, ends);
            shows |= times.chunks.iter().any(|chunk| chunk.first_forward > chunk.forward);
            let (embedding, head) = (ends.embedding.map(|(i, _)| i), ends.head.map(|(i, _)| i));
            let column = Column { layers, recompute, embedding, head, times, memory };
            insert_pareto(columns, column);
            if recompute[1] == 0 {
                // More full recomputation only adds time to a column that already fits.
                break;
            }
        }
        shows
    }

    /// Durations of a stage, computed once for all stages that are alike.
    fn stage_times(&self, recompute: [u64; 3], ends: Ends<'a>) -> StageTimes {
        let between = ends.embedding.is_none() && ends.head.is_none();
        if between && let Some(times) = self.times.borrow().get(&recompute) {
            return times.clone();
        }
        let mut works = self.works(ends);
        works.iter_mut().for_each(|work| work.layers = recompute);
        let times = self.stages.stage(&works);
        if between {
            self.times.borrow_mut().insert(recompute, times.clone());
        }
        times
    }

    /// The recomputation with `full` layers recomputed whole and the fewest selectively, that
    /// fits. Memory falls with every layer that recomputes more, except for the working memory
    /// of the first; both ends are tried and the rest found by bisection.
    fn fewest_selective(
        &self,
        q: usize,
        per_chunk: u64,
        full: u64,
        works: &mut [StageWork<'a>],
    ) -> Option<([u64; 3], StageMemory)> {
        let rest = per_chunk - full;
        let mut fits = |selective: u64| {
            let recompute = [rest - selective, selective, full];
            self.peak(q, works, recompute).map(|memory| (recompute, memory))
        };
        if (self.recomputes[0] || rest == 0)
            && let Some(found) = fits(0)
        {
            return Some(found);
        }
        if !self.recomputes[1] || rest == 0 {
            return None;
        }
        let mut best = fits(rest)?;
        if !self.recomputes[0] {
            return Some(best);
        }
        let (mut too_few, mut enough) = (0, rest);
        while enough - too_few > 1 {
            let middle = too_few + (enough - too_few) / 2;
            match fits(middle) {
                Some(found) => (best, enough) = (found, middle),
                None => too_few = middle,
            }
        }
        Some(best)
    }

    /// What the smallest possible stage `q` of `layers` layers needs, for messages.
    pub fn least_memory(&self, q: usize, layers: u64) -> StageMemory {
        let mut least: Option<StageMemory> = None;
        for kind in (0..3).filter(|r| self.recomputes[*r]) {
            let mut recompute = [0; 3];
            recompute[kind] = layers / self.candidate.chunks;
            for ends in self.ends(q) {
                let mut works = self.works(ends);
                works.iter_mut().for_each(|work| work.layers = recompute);
                let memory = self.memory.peak(&self.shape, self.layer, &works, &self.in_flight[q]);
                if least.is_none_or(|least| memory.total() < least.total()) {
                    least = Some(memory);
                }
            }
        }
        least.unwrap_or_default()
    }
}

/// Whether no duration of `a` is longer than `b`'s.
fn no_slower(a: &StageTimes, b: &StageTimes) -> bool {
    let chunk = |(a, b): (&crate::lower::ChunkTimes, &crate::lower::ChunkTimes)| {
        a.durations().iter().zip(b.durations()).all(|(a, b)| *a <= b)
    };
    a.optimizer <= b.optimizer && a.chunks.iter().zip(&b.chunks).all(chunk)
}

/// Adds a column unless another is at least as fast everywhere; drops those that it beats.
fn insert_pareto(columns: &mut Vec<Column>, column: Column) {
    let same = |other: &Column| other.layers == column.layers;
    if columns.iter().any(|other| same(other) && no_slower(&other.times, &column.times)) {
        return;
    }
    columns.retain(|other| !same(other) || !no_slower(&column.times, &other.times));
    columns.push(column);
}
