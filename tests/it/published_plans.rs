//! Plans that others have published, under our own simulator: they are all in the space, none is
//! better than what the search returns, and those that fill a device to the brim are refused.
#![allow(clippy::print_stdout, reason = "tests print the figures that they compare")]

use lmplan::plan::{Batch, OptimizerSharding, Parallelism, Plan, RecomputeCounts, StagePlan};
use lmplan::planner::job::Job;
use lmplan::planner::predict::choice::Choice;
use lmplan::planner::predict::{Predicted, predict};
use lmplan::planner::search::fastest;
use lmplan::planner::space::{Pins, Ways};
use lmplan::spec::{Cluster, ScheduleKind, load_model, load_stack};
use std::collections::BTreeMap;
use std::path::Path;

/// A published configuration of Megatron-LM.
struct Published {
    model: &'static str,
    tensor: u64,
    pipeline: u64,
    data: u64,
    micro_batch: u64,
    virtual_stages: u64,
    global_batch: u64,
    /// Full recomputation; otherwise of the attention core, with sequence parallelism.
    full: bool,
    /// Measured seconds of an iteration, for the printed table only.
    measured_s: f64,
}

const fn row(
    model: &'static str,
    [tensor, pipeline, data]: [u64; 3],
    [micro_batch, virtual_stages, global_batch]: [u64; 3],
    full: bool,
    measured_s: f64,
) -> Published {
    Published {
        model,
        tensor,
        pipeline,
        data,
        micro_batch,
        virtual_stages,
        global_batch,
        full,
        measured_s,
    }
}

/// Korthikanti et al. 2022, table 5 (arXiv:2205.05198).
const KORTHIKANTI: [Published; 8] = [
    row("megatron-22b", [8, 1, 1], [4, 1, 4], true, 1.42),
    row("megatron-22b", [8, 1, 1], [4, 1, 4], false, 1.10),
    row("megatron-175b", [8, 8, 1], [1, 3, 64], true, 18.13),
    row("megatron-175b", [8, 8, 1], [1, 3, 64], false, 13.75),
    row("megatron-530b", [8, 35, 1], [1, 3, 280], true, 49.05),
    row("megatron-530b", [8, 35, 1], [1, 3, 280], false, 37.83),
    row("megatron-1t", [8, 64, 1], [1, 1, 512], true, 94.42),
    row("megatron-1t", [8, 64, 1], [1, 1, 512], false, 71.49),
];

/// Narayanan et al. 2021, table 1 (arXiv:2104.04473); micro-batches and chunks are not in the
/// table, 1 is taken.
const NARAYANAN: [Published; 10] = [
    row("megatron-gpt-1.7b", [1, 1, 32], [1, 1, 512], true, 3.528),
    row("megatron-gpt-3.6b", [2, 1, 32], [1, 1, 512], true, 3.697),
    row("megatron-gpt-7.5b", [4, 1, 32], [1, 1, 512], true, 3.696),
    row("megatron-gpt-18b", [8, 1, 32], [1, 1, 1024], true, 9.399),
    row("megatron-gpt-39b", [8, 2, 32], [1, 1, 1536], true, 14.45),
    row("megatron-gpt-76b", [8, 4, 32], [1, 1, 1792], true, 16.06),
    row("megatron-gpt-145b", [8, 8, 24], [1, 1, 2304], true, 24.82),
    row("megatron-gpt-310b", [8, 16, 15], [1, 1, 2160], true, 37.61),
    row("megatron-gpt-530b", [8, 35, 9], [1, 1, 2520], true, 54.08),
    row("megatron-gpt-1008b", [8, 64, 6], [1, 1, 3072], true, 102.6),
];

fn job(model: &str, devices: u64, global_batch: u64, stack: &str) -> Job {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut model, _) = load_model(model, folder).expect("a model of the catalogue");
    model.training.global_batch_size = global_batch;
    let (mut cluster, _) = Cluster::load("a100x8", folder).expect("a cluster of the catalogue");
    let (large, _) = Cluster::load("a100x64", folder).expect("a cluster of the catalogue");
    if devices > 8 {
        cluster = large;
    }
    cluster.spec.nodes[0].count = devices.div_ceil(8);
    let cluster = Cluster::resolve(cluster.spec, folder).expect("devices of the catalogue");
    let (stack, _) = load_stack(stack, folder).expect("a stack of the catalogue");
    Job::new(model, cluster, stack).expect("a dense model on one kind of device")
}

impl Published {
    fn devices(&self) -> u64 {
        self.tensor * self.pipeline * self.data
    }

    /// The software of its time.
    fn stack(&self) -> &'static str {
        let with_sequence_parallelism =
            ["megatron-22b", "megatron-175b", "megatron-530b", "megatron-1t"];
        if with_sequence_parallelism.contains(&self.model) {
            "nemo-megatron"
        } else {
            "megatron-2021"
        }
    }

    fn plan(&self, layers: u64) -> Plan {
        let v = self.virtual_stages;
        let each = layers / self.pipeline;
        let stage = |q: u64| StagePlan {
            layers: format!("{}..{}", q * each, (q + 1) * each),
            devices: String::new(),
            recompute: if self.full {
                RecomputeCounts { none: 0, selective: 0, full: each }
            } else {
                RecomputeCounts { none: 0, selective: each, full: 0 }
            },
        };
        Plan {
            model: self.model.to_owned(),
            cluster: "a100".to_owned(),
            stack: self.stack().to_owned(),
            parallelism: Parallelism {
                tensor: self.tensor,
                pipeline: self.pipeline,
                data: self.data,
                context: 1,
                expert: 1,
                virtual_stages: v,
                sequence_parallel: !self.full,
            },
            batch: Batch { global: self.global_batch, micro: self.micro_batch },
            lora: None,
            schedule: if v > 1 { ScheduleKind::Interleaved } else { ScheduleKind::OneFOneB },
            optimizer_sharding: OptimizerSharding::None,
            stages: (0..self.pipeline).map(stage).collect(),
            operators: BTreeMap::new(),
        }
    }

    fn predict(&self, job: &Job) -> Predicted {
        let choice =
            Choice::of_plan(job, &self.plan(job.workload.model.num_layers)).expect(self.model);
        predict(job, &choice).expect("a schedule that runs")
    }
}

#[test]
fn published_plans_all_simulate() {
    for published in KORTHIKANTI.iter().chain(&NARAYANAN) {
        let job =
            job(published.model, published.devices(), published.global_batch, published.stack());
        let predicted = published.predict(&job);
        let time = predicted.prediction.iteration_time_s;
        println!(
            "{:20} {:4} devices: predicted {time:8.2} s, measured {:8.2} s, {:?}",
            published.model,
            published.devices(),
            published.measured_s,
            predicted.overflow
        );
        assert!(time.is_finite() && time > 0.0, "{}", published.model);
        assert!(predicted.prediction.mfu < 0.75, "{} is too fast", published.model);
        let sum: f64 = predicted.prediction.breakdown.parts().iter().map(|(_, s)| s).sum();
        assert!((sum - time).abs() < 1e-9 * time, "{}: parts add up", published.model);
    }
}

#[test]
fn the_search_is_never_worse_than_a_published_plan() {
    for published in KORTHIKANTI.iter().filter(|p| !p.full) {
        let job =
            job(published.model, published.devices(), published.global_batch, published.stack());
        let predicted = published.predict(&job);
        assert_eq!(predicted.overflow, None, "{} ran, so it must fit", published.model);
        let space = job.space(Pins::default());
        let ways =
            Ways { tensor: published.tensor, pipeline: published.pipeline, data: published.data };
        assert!(space.ways().contains(&ways), "{} is in the space", published.model);
        let found = fastest(&space, &job, &|| None);
        let best = found.best.first().expect("a plan");
        assert!(best.time <= predicted.time, "{}", published.model);
        assert_eq!(found.lower_bound, u128::from(best.time.picos()), "{}", published.model);
    }
}

/// Plans that another planner calls optimal for GPT-3 175B on A100-80GB and that fill up to 79.9
/// of 80 GiB there, without embedding, head, runtime or communication buffers.
#[test]
fn plans_that_leave_no_room_are_refused() {
    // t, p, d; b, v; devices, batch; selective recomputation.
    let full = [
        ([8, 4, 2], [4, 12], 64, 64, true),
        ([8, 4, 32], [2, 8], 1024, 1536, false),
        ([4, 8, 2], [2, 1], 64, 1536, true),
        ([2, 16, 2], [1, 1], 64, 1536, true),
    ];
    for ([t, p, d], [b, v], devices, batch, selective) in full {
        let job = job("gpt3-175b", devices, batch, "megatron-2021");
        let published = row("gpt3-175b", [t, p, d], [b, v, batch], false, 0.0);
        let mut plan = published.plan(96);
        plan.optimizer_sharding = OptimizerSharding::Zero1;
        if !selective {
            for stage in &mut plan.stages {
                let recompute = &mut stage.recompute;
                (recompute.none, recompute.selective) = (recompute.selective, 0);
            }
        }
        let choice = Choice::of_plan(&job, &plan).expect("a legal plan");
        let predicted = predict(&job, &choice).expect("a schedule that runs");
        let (stage, needs) = predicted.overflow.expect("more than there is");
        println!(
            "t{t} p{p} d{d} b{b} v{v}: stage {stage} needs {needs} of {}",
            job.machine.device.memory
        );
        assert!(needs > job.machine.device.memory);
    }
}
