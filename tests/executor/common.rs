//! Small models.

use lmplan::plan::{Batch, OptimizerSharding, Parallelism, Plan};
use lmplan::planner::choice::Choice;
use lmplan::planner::job::Job;
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
        parallelism: Parallelism {
            tensor: 1,
            pipeline: 1,
            data: 1,
            context: 1,
            expert: 1,
            virtual_stages: 1,
            sequence_parallel: false,
        },
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
