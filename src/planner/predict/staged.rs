//! A decided plan as stages: blocks, durations, memory.

use crate::lower::work::StageWork;
use crate::lower::{
    BlockTimes, Links, Pipeline, StageCollectives, StageMemory, StageModel, StageTimes,
};
use crate::planner::job::Job;
use crate::planner::job::block_choices::block_times;
use crate::planner::job::costs::Costs;
use crate::planner::predict::choice::Choice;
use crate::units::{Bytes, SimTime};

/// The blocks, stages and durations of a plan.
pub(crate) struct Staged<'a> {
    pub(crate) job: &'a Job,
    pub(crate) choice: &'a Choice,
    pub(crate) embedding: BlockTimes,
    pub(crate) layer: BlockTimes,
    pub(crate) head: BlockTimes,
    pub(crate) pipeline: Pipeline,
    pub(crate) links: Links,
}

/// Everything that a simulation needs, by stage.
pub(crate) struct Evaluated {
    pub(crate) times: Vec<StageTimes>,
    pub(crate) memory: Vec<StageMemory>,
    /// Saved bytes of one micro-batch by chunk.
    pub(crate) saved: Vec<Vec<Bytes>>,
}

/// Embedding, layer and head of a choice, as stages see them.
pub fn block_times_of(job: &Job, choice: &Choice) -> [BlockTimes; 3] {
    let staged = Staged::new(job, choice);
    [staged.embedding, staged.layer, staged.head]
}

/// Memory of each stage under a memory model; `own_table` where the head has a token table of its
/// own though the embedding's, which it is tied to, is on its stage.
pub fn stage_memory(
    job: &Job,
    choice: &Choice,
    model: &crate::lower::MemoryModel,
    own_table: bool,
) -> Vec<StageMemory> {
    let mut staged = Staged::new(job, choice);
    if own_table {
        staged.head = block_times(&choice.head, job.launch(), true);
    }
    let shape = job.shape(&choice.mapping.candidate);
    let peak = |q: usize| {
        let in_flight = staged.pipeline.in_flight(q as u64);
        model.peak(&shape, &staged.layer, &staged.works(q), &in_flight)
    };
    (0..choice.mapping.stages.len()).map(peak).collect()
}

/// By stage, over one iteration: the optimizer's kernels, and the collectives beside those of the
/// layers' passes.
pub fn beside_passes(job: &Job, choice: &Choice) -> Vec<(SimTime, StageCollectives)> {
    let staged = Staged::new(job, choice);
    let prices = job.prices(&choice.mapping.candidate);
    let shape = job.shape(&choice.mapping.candidate);
    let model = StageModel { shape, layer: &staged.layer, prices: prices.as_ref() };
    let of_stage = |q: usize| {
        let works = staged.works(q);
        let optimizer = prices.optimizer_step(model.updated(&works));
        (optimizer, model.collectives(&works, staged.pipeline.micro_batches))
    };
    (0..choice.mapping.stages.len()).map(of_stage).collect()
}

impl<'a> Staged<'a> {
    pub(crate) fn new(job: &'a Job, choice: &'a Choice) -> Self {
        let c = &choice.mapping.candidate;
        let launch = job.launch();
        Staged {
            job,
            choice,
            embedding: block_times(&choice.embedding, launch, true),
            layer: block_times(&choice.layer, launch, true),
            head: block_times(&choice.head, launch, c.pipeline > 1),
            pipeline: c.pipeline_shape(),
            links: job.links(c),
        }
    }

    /// The chunks of a stage.
    pub(crate) fn works(&self, q: usize) -> Vec<StageWork<'_>> {
        let chunks = self.pipeline.chunks as usize;
        let work = |chunk| StageWork {
            layers: self.choice.mapping.chunk_layers(q, chunk),
            embedding: None,
            head: None,
        };
        let mut works: Vec<StageWork<'_>> = (0..self.pipeline.chunks).map(work).collect();
        if q == 0 {
            works[0].embedding = Some(&self.embedding);
        }
        if q + 1 == self.choice.mapping.stages.len() {
            works[chunks - 1].head = Some(&self.head);
        }
        works
    }

    pub(crate) fn evaluate(&self) -> Evaluated {
        let candidate = &self.choice.mapping.candidate;
        let prices = self.job.prices(candidate);
        let shape = self.job.shape(candidate);
        let model = StageModel { shape, layer: &self.layer, prices: prices.as_ref() };
        let memory = self.job.memory(candidate);
        let mut evaluated = Evaluated { times: Vec::new(), memory: Vec::new(), saved: Vec::new() };
        for q in 0..self.choice.mapping.stages.len() {
            let works = self.works(q);
            let in_flight = self.pipeline.in_flight(q as u64);
            evaluated.times.push(model.stage(&works));
            evaluated.memory.push(memory.peak(&shape, &self.layer, &works, &in_flight));
            let saved =
                works.iter().map(|work| crate::lower::memory::chunk_saved(&self.layer, work));
            evaluated.saved.push(saved.collect());
        }
        evaluated
    }
}
