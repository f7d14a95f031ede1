//! Plans to export: drawn from the space, searched, and written by hand.

use lmplan::export::{ExportInput, Exported, Target, export};
use lmplan::plan::{Batch, OptimizerSharding, Parallelism, Plan, RecomputeCounts, StagePlan};
use lmplan::planner::Engine;
use lmplan::planner::answer::{Answer, plan};
use lmplan::planner::job::Job;
use lmplan::planner::objective::Objective;
use lmplan::planner::predict::choice::Choice;
use lmplan::planner::request::Request;
use lmplan::planner::space::Pins;
use lmplan::spec::{Cluster, ModelSpec, ScheduleKind, load_model, load_stack};
use proptest::prelude::*;
use std::path::Path;

pub(crate) const TARGETS: [Target; 4] =
    [Target::Megatron, Target::DeepSpeed, Target::Torchtitan, Target::Bridge];

/// Names of model, cluster and stack.
pub(crate) type Names = [&'static str; 3];

pub(crate) fn job(names: Names, batch: u64) -> Job {
    let folder = Path::new("no-such-folder");
    let (mut model, _) = load_model(names[0], folder).unwrap();
    model.training.global_batch_size = batch;
    job_of(model, names)
}

pub(crate) fn job_of(model: ModelSpec, names: Names) -> Job {
    let folder = Path::new("no-such-folder");
    let (cluster, _) = Cluster::load(names[1], folder).unwrap();
    let (stack, _) = load_stack(names[2], folder).unwrap();
    Job::new(model, cluster, stack).unwrap()
}

/// The plan with everything written out.
pub(crate) fn whole(job: &Job, plan: &Plan) -> Plan {
    let names = [plan.model.as_str(), &plan.cluster, &plan.stack];
    Choice::of_plan(job, plan).unwrap_or_else(|error| panic!("{error}: {plan:?}")).plan(job, names)
}

pub(crate) fn exported(job: &Job, plan: &Plan, target: Target) -> Exported {
    let mut usual = plan.clone();
    usual.operators.clear();
    let usual = whole(job, &usual).operators;
    let subject = ExportInput {
        plan,
        model: &job.workload.model,
        cluster: &job.machine.cluster,
        stack: &job.workload.stack,
        megatron_operators: &usual,
    };
    export(target, &subject)
}

/// What a search finds, best first.
pub(crate) fn searched(names: Names, batch: u64, pins: Pins) -> (Job, Vec<Plan>) {
    let job = job(names, batch);
    let request = Request {
        objective: Objective::Time,
        top: 3,
        engine: Engine::Search,
        pins,
        names: names.map(str::to_owned),
    };
    let Answer::Planned(planned) = plan(&job, &request, &|| None, &mut |_| {}) else {
        panic!("{names:?}: no plan");
    };
    let others = planned.outcome.alternatives.into_iter().map(|other| other.plan);
    let plans = std::iter::once(planned.outcome.plan).chain(others).collect();
    (job, plans)
}

/// A plan of a model with so many layers, without its stages.
pub(crate) fn shorthand(names: Names, ways: [u64; 4], batch: [u64; 2], v: u64) -> Plan {
    let [tensor, pipeline, data, context] = ways;
    let [global, micro] = batch;
    Plan {
        model: names[0].to_owned(),
        cluster: names[1].to_owned(),
        stack: names[2].to_owned(),
        parallelism: Parallelism {
            tensor,
            pipeline,
            data,
            context,
            expert: 1,
            virtual_stages: v,
            sequence_parallel: tensor > 1,
        },
        batch: Batch { global, micro },
        lora: None,
        schedule: if v > 1 { ScheduleKind::Interleaved } else { ScheduleKind::OneFOneB },
        optimizer_sharding: OptimizerSharding::Zero1,
        stages: Vec::new(),
        operators: Default::default(),
    }
}

/// Stages of so many layers each, with what each recomputes.
pub(crate) fn stages(layers: &[u64], recompute: impl Fn(u64) -> RecomputeCounts) -> Vec<StagePlan> {
    let mut next = 0;
    let stage = |&count: &u64| {
        let first = next;
        next += count;
        StagePlan {
            layers: format!("{first}..{next}"),
            devices: String::new(),
            recompute: recompute(count),
        }
    };
    layers.iter().map(stage).collect()
}

pub(crate) const GPT: Names = ["gpt3-2.7b", "a100x64", "megatron-core"];

/// Plans of GPT-3 2.7B (32 layers, 32 heads) on 64 devices, most of which Megatron can express.
pub(crate) fn any_plan() -> impl Strategy<Value = Plan> {
    let ways = (0..4u32, 0..4u32, 0..3u32, 0..2u32).prop_map(|(t, p, d, c)| [t, p, d, c]);
    let rest = (
        prop::sample::select(vec![1u64, 2, 4]),
        prop::sample::select(vec![1u64, 2]),
        0..4usize,
        0..6usize,
        any::<[prop::sample::Index; 3]>(),
        any::<bool>(),
        prop::sample::select(vec![ScheduleKind::OneFOneB, ScheduleKind::Gpipe]),
    );
    (ways, rest).prop_filter_map("fits 64 devices", |(ways, rest)| {
        let [t, p, d, c] = ways.map(|power| 1u64 << power);
        let (v, micro, sharding, recompute, moves, sequence, schedule) = rest;
        if t * p * d * c > 64 {
            return None;
        }
        let v = if p > 1 { v } else { 1 };
        let mut plan = shorthand(GPT, [t, p, d, c], [64, micro], v);
        plan.parallelism.sequence_parallel = sequence && t > 1;
        if v == 1 {
            plan.schedule = schedule;
        }
        use OptimizerSharding::{None as Whole, Zero1, Zero2, Zero3};
        plan.optimizer_sharding = [Whole, Zero1, Zero2, Zero3][sharding];
        let mut layers = vec![32 / p; p as usize];
        if v == 1 {
            // Layers move from one stage to another.
            for at in moves {
                let (from, to) =
                    (at.index(layers.len()), (at.index(layers.len()) + 1) % layers.len());
                if layers[from] > 1 {
                    layers[from] -= 1;
                    layers[to] += 1;
                }
            }
        }
        plan.stages = stages(&layers, |n| counts(recompute, n, v));
        Some(plan)
    })
}

/// Recomputation of `n` layers in `v` chunks, by kind of rule.
fn counts(rule: usize, n: u64, v: u64) -> RecomputeCounts {
    let each = n / v;
    let (selective, full) = match rule {
        1 => (n, 0),
        2 => (0, n),
        3 => (0, each.min(2) * v),
        4 => (each.min(1) * v, 0),
        5 if each > 1 => (v, v),
        _ => (0, 0),
    };
    RecomputeCounts { none: n - selective - full, selective, full }
}
