//! A plan with everything decided and priced.

use crate::lower::mapping::BLOCKS;
use crate::lower::{Mapping, PlanError};
use crate::plan::{Batch, Parallelism, Plan, RecomputeCounts, StagePlan};
use crate::planner::block::{BlockOption, evaluate};
use crate::planner::job::Job;
use std::collections::BTreeMap;

/// A plan with everything decided, and what its blocks cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// How the job is spread over ranks.
    pub mapping: Mapping,
    /// The embedding under its strategies.
    pub embedding: BlockOption,
    /// A layer.
    pub layer: BlockOption,
    /// The head.
    pub head: BlockOption,
}

impl Choice {
    /// Reads a plan for a job and prices its blocks; see [`Mapping::of_plan`].
    ///
    /// # Errors
    /// What does not suit the job, the first thing found.
    pub fn of_plan(job: &Job, plan: &Plan) -> Result<Choice, PlanError> {
        let mapping = Mapping::of_plan(&job.workload, plan)?;
        let (used, there) = (plan.devices(), job.machine.devices);
        if used > there {
            let cluster = job.machine.cluster.name.clone();
            return Err(PlanError::Devices { used, there, cluster });
        }
        let c = &mapping.candidate;
        let context = job.workload.shard_context(c.tensor, c.context, c.micro_batch);
        let prices = job.block_prices(c.tensor, c.context);
        let option = |index: usize| {
            let (kind, name) = BLOCKS[index];
            let block = job.workload.block(kind);
            let (graph, boundary) = (&job.workload.graph, c.boundary());
            let strategies = &mapping.strategies[index];
            evaluate(graph, block, &context, boundary, &prices, strategies)
                .map_err(|error| PlanError::Block { block: name, error })
        };
        let (embedding, layer, head) = (option(0)?, option(1)?, option(2)?);
        Ok(Choice { mapping, embedding, layer, head })
    }

    /// The plan file. `names` are those of model, cluster and stack.
    pub fn plan(&self, job: &Job, names: [&str; 3]) -> Plan {
        let c = &self.mapping.candidate;
        let [model, cluster, stack] = names.map(str::to_owned);
        let operators =
            BLOCKS.iter().zip(&self.mapping.strategies).map(|((kind, name), chosen)| {
                let ops = job.workload.operators(*kind).map(str::to_owned);
                ((*name).to_owned(), ops.zip(chosen.iter().copied()).collect::<BTreeMap<_, _>>())
            });
        let training = &job.workload.model.training;
        Plan {
            model,
            cluster,
            stack,
            parallelism: Parallelism {
                tensor: c.tensor,
                pipeline: c.pipeline,
                data: c.data,
                context: c.context,
                expert: 1,
                virtual_stages: c.chunks,
                sequence_parallel: c.sequence_parallel,
            },
            batch: Batch { global: training.global_batch_size, micro: c.micro_batch },
            lora: training.lora.clone(),
            schedule: c.schedule,
            optimizer_sharding: c.sharding,
            stages: self.stage_plans(job),
            operators: if c.tensor > 1 { operators.collect() } else { BTreeMap::new() },
        }
    }

    /// Layers of each stage, by range, with where they stand.
    pub fn stage_plans(&self, job: &Job) -> Vec<StagePlan> {
        let mesh = self.mapping.candidate.mesh();
        let mut next = 0;
        let stage = |q: usize| {
            let [none, selective, full] = self.mapping.stage_layers(q);
            let first = next;
            next += none + selective + full;
            StagePlan {
                layers: format!("{first}..{next}"),
                devices: job.machine.nodes.devices(mesh.stage(q as u64)),
                recompute: RecomputeCounts { none, selective, full },
            }
        };
        (0..self.mapping.stages.len()).map(stage).collect()
    }
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
