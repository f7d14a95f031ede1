//! Small models, and runs of them on several ranks.

use lmplan::executor::ExecutorError;
use lmplan::executor::ranks::task::{Mode, Task};
use lmplan::executor::ranks::world::World;
use lmplan::executor::verify::numerics::{self, Found};
use lmplan::executor::worker;
use lmplan::plan::{Batch, OptimizerSharding, Parallelism, Plan, RecomputeCounts, StagePlan};
use lmplan::planner::job::Job;
use lmplan::planner::predict::choice::Choice;
use lmplan::spec::{self, Cluster, ModelSpec, Precision, ScheduleKind};
use std::collections::BTreeMap;
use std::path::Path;

/// A model of the catalogue, made small.
pub(crate) fn small(name: &str) -> ModelSpec {
    let (mut model, _) = spec::load_model(name, Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    model.num_layers = 2;
    model.hidden_size = 32;
    model.num_heads = 4;
    model.num_kv_heads = model.num_kv_heads.map(|_| 2);
    model.head_dim = None;
    model.ffn_hidden_size = Some(48);
    model.vocab_size = 96;
    model.sequence_length = 16;
    model.max_position_embeddings = None;
    model.training.max_predictions_per_sequence =
        model.training.max_predictions_per_sequence.map(|_| 4);
    model.training.global_batch_size = 4;
    model.training.precision = Precision::Fp32;
    model.published_parameters = None;
    model
}

pub(crate) fn job(model: ModelSpec, fused_attention: bool) -> Job {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (cluster, _) = Cluster::load("a100x64", folder).unwrap();
    let (mut stack, _) = spec::load_stack("lmplan", folder).unwrap();
    stack.flash_attention = fused_attention;
    Job::new(model, cluster, stack).unwrap()
}

/// One device, micro-batches of `micro`.
pub(crate) fn single(global: u64, micro: u64) -> Plan {
    Plan {
        model: String::new(),
        cluster: String::new(),
        stack: String::new(),
        parallelism: Parallelism::SINGLE,
        batch: Batch { global, micro },
        lora: None,
        schedule: ScheduleKind::OneFOneB,
        optimizer_sharding: OptimizerSharding::None,
        stages: Vec::new(),
        operators: BTreeMap::new(),
    }
}

pub(crate) fn choice(job: &Job, plan: &Plan) -> Choice {
    match Choice::of_plan(job, plan) {
        Ok(choice) => choice,
        Err(error) => panic!("{error}"),
    }
}

/// Some of all topologies.
pub(crate) const SHAPES: [Shape; 14] = [
    (2, 1, 1, 1, false, 0, 0),
    (2, 1, 1, 1, true, 0, 1),
    (1, 2, 1, 1, false, 0, 2),
    (1, 1, 2, 1, false, 0, 0),
    (1, 1, 2, 1, false, 1, 1),
    (1, 1, 2, 1, false, 2, 2),
    (1, 1, 2, 1, false, 3, 0),
    (2, 2, 1, 1, true, 0, 2),
    (2, 1, 2, 1, true, 1, 1),
    (2, 1, 2, 1, true, 3, 0),
    (2, 1, 2, 1, false, 2, 0),
    (1, 2, 2, 1, false, 2, 1),
    (1, 2, 1, 2, false, 0, 0),
    (2, 2, 1, 2, true, 0, 1),
];

/// t, p, d, v, sequence parallelism, optimizer sharding (0 to 3), recomputation (0 to 2).
pub(crate) type Shape = (u64, u64, u64, u64, bool, usize, usize);

pub(crate) fn plan((t, p, d, v, sequence_parallel, zero, recompute): Shape, layers: u64) -> Plan {
    use OptimizerSharding::{None, Zero1, Zero2, Zero3};
    let mut plan = single(2 * d * p.max(2), 1);
    let ways = &mut plan.parallelism;
    (ways.tensor, ways.pipeline, ways.data, ways.virtual_stages) = (t, p, d, v);
    ways.sequence_parallel = sequence_parallel;
    plan.schedule = if v > 1 { ScheduleKind::Interleaved } else { ScheduleKind::OneFOneB };
    plan.optimizer_sharding = [None, Zero1, Zero2, Zero3][zero];
    let each = layers / p;
    let mut counts = [0; 3];
    counts[recompute] = each;
    let [none, selective, full] = counts;
    plan.stages = (0..p)
        .map(|q| StagePlan {
            layers: format!("{}..{}", q * each, (q + 1) * each),
            devices: String::new(),
            recompute: RecomputeCounts { none, selective, full },
        })
        .collect();
    plan
}

pub(crate) fn task(model: ModelSpec, plan: Plan, fused: bool) -> Task {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut stack, _) = spec::load_stack("lmplan", folder).unwrap();
    stack.flash_attention = fused;
    Task {
        mode: Mode::Numerics,
        model,
        plan,
        stack,
        cuda: false,
        double: true,
        steps: 3,
        patience_s: 30.0,
        seed: 0,
        precisions: Vec::new(),
        fault: None,
        nccl: false,
    }
}

/// Runs it with a process for each rank.
pub(crate) fn run(task: &Task) -> Result<Found, ExecutorError> {
    numerics::run(&World::Here(env!("CARGO_BIN_EXE_lmplan").into()), task, None)
}

/// Runs it with a thread for each rank.
pub(crate) fn run_here(task: &Task) -> Result<Found, ExecutorError> {
    numerics::run(&World::Threads(worker::run), task, None)
}

pub(crate) fn assert_equal(task: &Task, what: &str) {
    match run_here(task) {
        Ok(found) => assert!(found.passed(), "{what}: {found:?}"),
        Err(error) => panic!("{what}: {error}"),
    }
}

pub(crate) fn model(name: &str, layers: u64) -> ModelSpec {
    let mut model = small(name);
    model.num_layers = layers;
    model
}
