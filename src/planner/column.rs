//! Value functions of a stage: for each number of layers, the Pareto-best durations that fit its
//! memory, over recomputation and the shardings of embedding and head.

use super::costs::BlockSet;
use super::space::Candidate;
use crate::lower::{
    BlockTimes, MemoryModel, StageMemory, StageModel, StageShape, StageTimes, StageWork,
};
use crate::units::Bytes;

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
    pub shape: StageShape,
    /// What decides memory.
    pub memory: MemoryModel,
    /// Recomputations allowed: none, selective, full.
    pub recomputes: [bool; 3],
    /// In-flight micro-batches by stage ([`crate::lower::Pipeline::in_flight`]).
    pub in_flight: &'a [Vec<Vec<u64>>],
}

impl<'a> ColumnMaker<'a> {
    /// The Pareto-best columns of stage `q` with `layers` layers; empty where none fits.
    pub fn columns(&self, q: usize, layers: u64) -> Vec<Column> {
        let last = self.candidate.pipeline as usize - 1;
        let ends =
            |there: bool, blocks: &'a [BlockTimes]| -> Vec<Option<(usize, &'a BlockTimes)>> {
                if there { blocks.iter().enumerate().map(Some).collect() } else { vec![None] }
            };
        let heads = self.blocks.heads(self.candidate.pipeline);
        let mut columns = Vec::new();
        for embedding in ends(q == 0, &self.blocks.embedding) {
            for head in ends(q == last, heads) {
                self.recomputations(q, layers, embedding, head, &mut columns);
            }
        }
        columns
    }

    /// The chunks of a stage, each with `recompute` layers.
    fn works(
        &self,
        recompute: [u64; 3],
        embedding: Option<&'a BlockTimes>,
        head: Option<&'a BlockTimes>,
    ) -> Vec<StageWork<'a>> {
        let chunks = self.candidate.chunks as usize;
        let mut works = vec![StageWork { layers: recompute, embedding: None, head: None }; chunks];
        works[0].embedding = embedding;
        works[chunks - 1].head = head;
        works
    }

    /// Adds the columns of one choice of embedding and head: for every number of layers that
    /// recompute everything, the fewest that recompute their attention core and fit.
    fn recomputations(
        &self,
        q: usize,
        layers: u64,
        embedding: Option<(usize, &'a BlockTimes)>,
        head: Option<(usize, &'a BlockTimes)>,
        columns: &mut Vec<Column>,
    ) {
        let per_chunk = layers / self.candidate.chunks;
        let most_full = if self.recomputes[2] { per_chunk } else { 0 };
        for full in 0..=most_full {
            let Some((recompute, memory)) =
                self.fewest_selective(q, per_chunk, full, embedding, head)
            else {
                continue;
            };
            let works = self.works(
                recompute,
                embedding.map(|(_, block)| block),
                head.map(|(_, block)| block),
            );
            let column = Column {
                layers,
                recompute,
                embedding: embedding.map(|(i, _)| i),
                head: head.map(|(i, _)| i),
                times: self.stages.stage(&works),
                memory,
            };
            insert_pareto(columns, column);
            if recompute[1] == 0 {
                // More full recomputation only adds time to a column that already fits.
                break;
            }
        }
    }

    /// The recomputation with `full` layers recomputed whole and the fewest selectively, that
    /// fits. Memory falls with every layer that recomputes more, except for the working memory
    /// of the first; both ends are tried and the rest found by bisection.
    fn fewest_selective(
        &self,
        q: usize,
        per_chunk: u64,
        full: u64,
        embedding: Option<(usize, &'a BlockTimes)>,
        head: Option<(usize, &'a BlockTimes)>,
    ) -> Option<([u64; 3], StageMemory)> {
        let rest = per_chunk - full;
        let (embedding, head) = (embedding.map(|(_, b)| b), head.map(|(_, b)| b));
        let fits = |selective: u64| {
            let recompute = [rest - selective, selective, full];
            let works = self.works(recompute, embedding, head);
            let memory = self.memory.peak(&self.shape, self.layer, &works, &self.in_flight[q]);
            (memory.total() <= self.memory.capacity).then_some((recompute, memory))
        };
        if self.recomputes[0] || rest == 0 {
            if let Some(found) = fits(0) {
                return Some(found);
            }
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
        let last = self.candidate.pipeline as usize - 1;
        let kinds = (0..3).filter(|r| self.recomputes[*r]);
        let per_chunk = layers / self.candidate.chunks;
        let ends = |there: bool, blocks: &'a [BlockTimes]| -> Vec<Option<&'a BlockTimes>> {
            if there { blocks.iter().map(Some).collect() } else { vec![None] }
        };
        let mut least: Option<StageMemory> = None;
        for kind in kinds {
            let mut recompute = [0; 3];
            recompute[kind] = per_chunk;
            for embedding in ends(q == 0, &self.blocks.embedding) {
                for head in ends(q == last, self.blocks.heads(self.candidate.pipeline)) {
                    let works = self.works(recompute, embedding, head);
                    let memory =
                        self.memory.peak(&self.shape, self.layer, &works, &self.in_flight[q]);
                    if least.is_none_or(|least| memory.total() < least.total()) {
                        least = Some(memory);
                    }
                }
            }
        }
        least.unwrap_or_default()
    }

    /// Memory of the device.
    pub fn capacity(&self) -> Bytes {
        self.memory.capacity
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
