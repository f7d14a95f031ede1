//! A plan's topology on a model that is small enough to run anywhere.

use crate::lower::Mapping;
use crate::plan::{Plan, RecomputeCounts, StagePlan};
use crate::spec::{ModelSpec, ScheduleKind};

/// A narrowed model with its plan, and what was narrowed.
#[derive(Debug, Clone, PartialEq)]
pub struct Narrowed {
    /// The model.
    pub model: ModelSpec,
    /// The plan.
    pub plan: Plan,
    /// What the ways are reduced from, where they are.
    pub reduced: Option<String>,
}

/// Width of a head.
const HEAD: u64 = 8;

/// Keeps the schedule, the sharding of every operator, sequence parallelism, what each stage
/// recomputes and how the optimizer is sharded, and whether sizes divide by the tensor-parallel
/// ways; narrows everything else. Ways are halved, replicas first, until there are at most `ranks`.
pub fn narrow(model: &ModelSpec, plan: &Plan, mapping: &Mapping, ranks: u64) -> Narrowed {
    let mut plan = plan.clone();
    let given = plan.parallelism;
    let p = &mut plan.parallelism;
    while p.tensor * p.pipeline * p.data > ranks.max(1) {
        if p.data > 2 {
            p.data = 2;
        } else if p.tensor > 2 {
            p.tensor = 2;
        } else if p.pipeline > 2 {
            p.pipeline = 2;
        } else if p.data > 1 {
            p.data = 1;
        } else if p.pipeline > 1 {
            (p.pipeline, p.virtual_stages) = (1, 1);
        } else {
            p.tensor = 1;
        }
    }
    let now = *p;
    let ways = |p: &crate::plan::Parallelism| format!("t{} p{} d{}", p.tensor, p.pipeline, p.data);
    let reduced = (now != given).then(|| ways(&given));
    if now.virtual_stages == 1 && plan.schedule == ScheduleKind::Interleaved {
        plan.schedule = ScheduleKind::OneFOneB;
    }
    if now.tensor == 1 {
        plan.parallelism.sequence_parallel = false;
    }
    let stages = stages(mapping, now.pipeline, now.virtual_stages);
    let mut model = narrow_model(model, given.tensor, now.tensor);
    model.num_layers = stages.iter().map(|kinds| kinds.iter().sum::<u64>()).sum();
    let mut next = 0;
    plan.stages = stages
        .iter()
        .map(|[none, selective, full]| {
            let first = next;
            next += none + selective + full;
            StagePlan {
                layers: format!("{first}..{next}"),
                devices: String::new(),
                recompute: RecomputeCounts { none: *none, selective: *selective, full: *full },
            }
        })
        .collect();
    plan.batch.micro = plan.batch.micro.min(2);
    let many = mapping.candidate.micro_batches;
    let m = match plan.schedule {
        ScheduleKind::Interleaved => now.pipeline * 2.min(many / given.pipeline).max(1),
        _ => many.min(now.pipeline + 1),
    };
    plan.batch.global = plan.batch.micro * now.data * m;
    model.training.global_batch_size = plan.batch.global;
    Narrowed { model, plan, reduced }
}

/// Layers of each stage over all its chunks: one of each kind that it has, in every chunk.
fn stages(mapping: &Mapping, pipeline: u64, chunks: u64) -> Vec<[u64; 3]> {
    let given = &mapping.stages;
    let kept = |q: u64| given[(q as usize * given.len()) / pipeline as usize];
    let mut stages: Vec<[u64; 3]> =
        (0..pipeline).map(|q| kept(q).map(|count| count.min(1))).collect();
    if chunks > 1 {
        // All chunks hold as many layers.
        let count = |kinds: &[u64; 3]| kinds.iter().sum::<u64>();
        let most = stages.iter().map(count).max().unwrap_or(1);
        for kinds in &mut stages {
            kinds[0] += most - count(kinds);
            *kinds = kinds.map(|layers| layers * chunks);
        }
    }
    stages
}

/// Sizes divide by `ways` where the model's divide by `given`.
fn narrow_model(model: &ModelSpec, given: u64, ways: u64) -> ModelSpec {
    let mut narrow = model.clone();
    let (heads, kv_heads) = (model.num_heads, model.kv_heads());
    let group = (heads / kv_heads.max(1)).clamp(1, 2);
    // Odd where they did not divide, so that they do not here either.
    let kv_narrow = if kv_heads.is_multiple_of(given) { ways.max(2) } else { 1 };
    let kv_narrow =
        if heads.is_multiple_of(given) || kv_heads.is_multiple_of(given) { kv_narrow } else { 3 };
    narrow.num_heads = kv_narrow * group;
    narrow.num_kv_heads = model.num_kv_heads.map(|_| kv_narrow);
    if model.num_kv_heads.is_none() {
        narrow.num_heads = kv_narrow.max(2);
    }
    narrow.head_dim = Some(HEAD);
    let hidden = 16 * ways.max(2);
    narrow.hidden_size = hidden;
    let ffn = 24 * ways.max(2);
    narrow.ffn_hidden_size = Some(if model.ffn().is_multiple_of(given) { ffn } else { ffn + 1 });
    // A vocabulary that does not divide is made up at the end.
    let vocabulary = 128 * ways.max(2);
    narrow.vocab_size =
        if model.vocab_size.is_multiple_of(given) { vocabulary } else { vocabulary + 1 };
    let rows = 4 * ways.max(4);
    narrow.sequence_length = rows;
    narrow.max_position_embeddings = model.max_position_embeddings.map(|_| rows + 3);
    let masked = model.training.max_predictions_per_sequence;
    narrow.training.max_predictions_per_sequence = masked
        .map(|count| if count.is_multiple_of(given) { 2 * ways } else { 2 * ways + 1 }.min(rows));
    narrow.published_parameters = None;
    narrow
}
