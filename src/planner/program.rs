//! From a decided plan to the programs of its ranks.

use super::block::{BlockError, BlockOption, block_code};
use super::choice::Choice;
use super::job::Job;
use crate::graph::BlockKind;
use crate::lower::{BlockCode, Pipeline, Placed, Program};
use crate::plan::Recompute;

impl Choice {
    /// Shape of the pipeline.
    pub const fn pipeline(&self) -> Pipeline {
        let c = &self.candidate;
        Pipeline {
            schedule: c.schedule,
            stages: c.pipeline,
            chunks: c.chunks,
            micro_batches: c.micro_batches,
        }
    }

    /// What the ranks of a stage execute: the shardings that were priced, in the order that was
    /// simulated.
    ///
    /// # Errors
    /// Strategies that the job's blocks do not have, as of a choice made for another job.
    pub fn program(&self, job: &Job, stage: u64) -> Result<Program, BlockError> {
        let c = &self.candidate;
        let blocks = [
            self.code(job, BlockKind::Embedding, &self.embedding)?,
            self.code(job, BlockKind::Layer, &self.layer)?,
            self.code(job, BlockKind::Head, &self.head)?,
        ];
        let mut program = Program {
            pipeline: self.pipeline(),
            stage,
            replicas: c.data,
            sharding: c.sharding,
            tensor: c.tensor,
            context: c.context,
            micro_batch: c.micro_batch,
            blocks,
            chunks: (0..c.chunks).map(|chunk| self.placed(stage, chunk)).collect(),
            actions: Vec::new(),
        };
        let tied = program.is_tied();
        program.actions = Program::actions(program.pipeline, stage, c.data, c.sharding, tied);
        Ok(program)
    }

    fn code(
        &self,
        job: &Job,
        kind: BlockKind,
        option: &BlockOption,
    ) -> Result<BlockCode, BlockError> {
        let c = &self.candidate;
        let context = job.shard_context(c.tensor, c.context, c.micro_batch);
        let boundary = Job::boundary(c.sequence_parallel);
        block_code(&job.graph, job.block(kind), &context, boundary, &option.strategies)
    }

    /// The blocks of a chunk, in forward order. Layers that recompute everything come first, as
    /// the simulator has them.
    fn placed(&self, stage: u64, chunk: u64) -> Vec<Placed> {
        let (p, v) = (self.candidate.pipeline, self.candidate.chunks);
        let layers = |stage: u64, chunk: u64| self.chunk_layers(stage as usize, chunk);
        let virtual_stage = chunk * p + stage;
        let before = (0..virtual_stage).map(|s| layers(s % p, s / p).iter().sum::<u64>());
        let mut layer: u64 = before.sum();
        let [none, selective, full] = layers(stage, chunk);
        let mut placed = Vec::new();
        let end = |kind| Placed { kind, layer: 0, recompute: Recompute::None };
        if virtual_stage == 0 {
            placed.push(end(BlockKind::Embedding));
        }
        let counts =
            [(full, Recompute::Full), (selective, Recompute::Selective), (none, Recompute::None)];
        for (count, recompute) in counts {
            for _ in 0..count {
                placed.push(Placed { kind: BlockKind::Layer, layer, recompute });
                layer += 1;
            }
        }
        if virtual_stage + 1 == p * v {
            placed.push(end(BlockKind::Head));
        }
        placed
    }
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
