//! A search's result made by arithmetic, for tests and benches of reports: 1F1B over `stages` equal
//! stages, with the embedding on the first and the head on the last.
#![allow(dead_code, reason = "each test and bench uses a part")]

use lmplan::plan::{
    Batch, OptimizerSharding, Parallelism, Plan, RecomputeCounts, StagePlan, Strategy,
};
use lmplan::planner::{Alternative, CandidatePoint, SearchOutcome, SearchStatus, SearchSummary};
use lmplan::planner::{Engine, Program, ProgramStatus};
use lmplan::report::{Origin, ReportInput, ScalingPoint};
use lmplan::sim::{Breakdown, MemorySample, Prediction, Span, SpanKind, StagePrediction, Timeline};
use lmplan::spec::stack::ScheduleKind;
use lmplan::spec::{ClusterSpec, ModelSpec};
use lmplan::units::{Bytes, SimTime, UsDollars};
use std::collections::BTreeMap;

pub(crate) const MODEL: &str = "name: gpt3-175b\nfamily: gpt\nnum_layers: 96\nhidden_size: 12288\n\
    num_heads: 96\nffn_hidden_size: 49152\nvocab_size: 50257\nsequence_length: 2048\ntraining:\n  \
    objective: causal-lm\n  global_batch_size: 1536\n  precision: bf16-mixed\n  tokens: \
    300000000000\nsource: \"Brown et al. 2020, table 2.1\"\n";
pub(crate) const CLUSTER: &str = "name: a100x64\nnodes:\n  - {count: 8, devices_per_node: 8, device: \
    a100-80gb-sxm, intra_node: nvlink3}\nnetwork: {nics_per_node: 8, bandwidth_per_nic: 200 \
    Gbit/s, latency: 5 us, topology: fat-tree}\nprice_per_device_hour: 2.00 USD\n";
pub(crate) const STACK: &str = "name: megatron-core\nflash_attention: true\n";

const FORWARD_US: u64 = 62_000;
const GIB: u64 = 1 << 30;

/// What a report is made from, owned.
pub(crate) struct Sample {
    pub(crate) outcome: SearchOutcome,
    pub(crate) timeline: Timeline,
    pub(crate) model: ModelSpec,
    pub(crate) cluster: ClusterSpec,
    pub(crate) scaling: Vec<ScalingPoint>,
    pub(crate) notes: Vec<String>,
}

impl Sample {
    pub(crate) fn new(stages: u64, micro_batches: u64) -> Self {
        let timeline = timeline(stages, micro_batches);
        let time = timeline.end.seconds().get();
        let plan = plan(8, stages, 1, micro_batches);
        let prediction = prediction(stages, micro_batches, time);
        let alternatives = (1..=4)
            .map(|rank| {
                let slower = 1.0 + 0.013 * rank as f64 * rank as f64;
                let mut other = prediction.clone();
                other.iteration_time_s = time * slower;
                other.breakdown.tensor_parallel_s *= 0.4;
                let rest = other.breakdown.parts().iter().map(|(_, part)| part).sum::<f64>();
                other.breakdown.pipeline_bubble_s += time * slower - rest;
                other.peak_memory_bytes -= rank * 3 * GIB / 2;
                let tensor = if rank % 2 == 1 { 4 } else { 8 };
                let mut plan = plan.clone();
                plan.parallelism.tensor = tensor;
                plan.parallelism.data = 8 / tensor;
                plan.batch.micro = if rank > 2 { 2 } else { 1 };
                Alternative { plan, prediction: other }
            })
            .collect();
        Sample {
            outcome: SearchOutcome {
                schema: "lmplan.search/1".to_owned(),
                plan,
                search: SearchSummary {
                    status: SearchStatus::Optimal,
                    candidates: 1834,
                    solved: 41,
                    pruned: 1793,
                    lower_bound_s: time,
                    gap: 0.0,
                    wall_time_s: Some(2.75),
                    engine: Engine::Search,
                    solver: "microlp".to_owned(),
                    programs_solved: 2,
                    programs: programs(),
                },
                alternatives,
                assumptions: vec![
                    "Attention is counted in full in model FLOPs, also where it is causal.".into(),
                    "All-reduce over 8 ranks stays within NVLink.".into(),
                ],
                frontier: frontier(&prediction),
                prediction,
            },
            timeline,
            model: serde_yaml::from_str(MODEL).expect("the sample model is valid"),
            cluster: serde_yaml::from_str(CLUSTER).expect("the sample cluster is valid"),
            scaling: [64u64, 128, 256, 512, 1024]
                .into_iter()
                .map(|devices| {
                    let loss = 1.0 + (devices as f64 / 64.0).log2() * 0.06;
                    ScalingPoint {
                        devices,
                        iteration_time_s: time * 64.0 / devices as f64 * loss,
                        mfu: 0.512 / loss,
                    }
                })
                .collect(),
            notes: vec!["Both solvers give the same optimum.".to_owned()],
        }
    }

    pub(crate) fn input(&self) -> ReportInput<'_> {
        ReportInput {
            outcome: &self.outcome,
            origin: Origin::Searched,
            timeline: &self.timeline,
            model: &self.model,
            cluster: &self.cluster,
            model_text: MODEL,
            cluster_text: CLUSTER,
            stack_text: STACK,
            tokens: None,
            price_per_device_hour: Some(UsDollars::new(1.85)),
            interval_source: "10th to 90th percentile of the errors on published runs of dense \
                              GPT models that were left out of the fit.",
            command: "lmplan search --model gpt3-175b --cluster a100x64 --stack megatron-core",
            scaling: &self.scaling,
            certificate: Some(b"{\"schema\":\"lmplan.certificate/1\"}\n"),
            certificate_summary: &self.notes,
        }
    }
}

fn plan(tensor: u64, stages: u64, data: u64, micro_batches: u64) -> Plan {
    let layers = 96u64.div_ceil(stages).max(1);
    let stage = |index: u64| StagePlan {
        layers: format!("{}..{}", index * layers, (index + 1) * layers),
        devices: format!("group0/nodes[{}]", index * tensor / 8),
        recompute: RecomputeCounts { none: layers / 3, selective: layers - layers / 3, full: 0 },
    };
    let operators =
        [("qkv", Strategy::Column), ("attention", Strategy::Heads), ("projection", Strategy::Row)]
            .map(|(operator, strategy)| (operator.to_owned(), strategy));
    Plan {
        model: "gpt3-175b".into(),
        cluster: "a100x64".into(),
        stack: "megatron-core".into(),
        parallelism: Parallelism {
            tensor,
            pipeline: stages,
            data,
            context: 1,
            expert: 1,
            virtual_stages: 1,
            sequence_parallel: true,
        },
        batch: Batch { global: micro_batches * data, micro: 1 },
        lora: None,
        schedule: ScheduleKind::OneFOneB,
        optimizer_sharding: OptimizerSharding::Zero1,
        stages: (0..stages).map(stage).collect(),
        operators: BTreeMap::from([("layer".to_owned(), BTreeMap::from(operators))]),
    }
}

fn prediction(stages: u64, micro_batches: u64, time: f64) -> Prediction {
    let stage = |index: u64| {
        let ends = if index == 0 || index + 1 == stages { 3 * GIB / 2 } else { 0 };
        let parameters = 5 * GIB + ends;
        let in_flight = (stages - index).min(micro_batches);
        let activations = in_flight * 26 * GIB / stages;
        let optimizer = 6 * parameters;
        StagePrediction {
            layers: format!("{}..{}", index * 96 / stages, (index + 1) * 96 / stages),
            forward_s: FORWARD_US as f64 * 1e-6,
            backward_s: 2.0 * FORWARD_US as f64 * 1e-6 + ends as f64 * 1e-12,
            peak_memory_bytes: parameters * 2 + optimizer + activations + 2 * GIB - 8 * GIB,
            parameters_bytes: parameters,
            gradients_bytes: parameters,
            optimizer_bytes: optimizer - 8 * GIB,
            activations_bytes: activations,
            other_bytes: 2 * GIB,
        }
    };
    let list: Vec<StagePrediction> = (0..stages).map(stage).collect();
    let busy = micro_batches as f64 * 3.0 * FORWARD_US as f64 * 1e-6;
    let breakdown = Breakdown {
        compute_s: busy * 0.8,
        recompute_s: busy * 0.06,
        tensor_parallel_s: busy * 0.14,
        pipeline_p2p_s: (time - busy) * 0.05,
        pipeline_bubble_s: (time - busy) * 0.85,
        data_parallel_s: (time - busy) * 0.06,
        optimizer_s: (time - busy) * 0.04,
        ..Breakdown::default()
    };
    let devices = (8 * stages) as f64;
    let tokens_per_s = 2048.0 * micro_batches as f64 / time;
    Prediction {
        iteration_time_s: time,
        iteration_time_low_s: time * 0.92,
        iteration_time_high_s: time * 1.07,
        tokens_per_s,
        tokens_per_s_per_device: tokens_per_s / devices,
        model_tflops_per_device: 148.2,
        hardware_tflops_per_device: 159.7,
        mfu: 0.475,
        hfu: 0.512,
        peak_memory_bytes: list.iter().map(|stage| stage.peak_memory_bytes).max().unwrap_or(0),
        memory_capacity_bytes: 80 * GIB,
        trained_parameters: None,
        frozen_parameters: None,
        breakdown,
        stages: list,
    }
}

/// Candidates spread by a multiplicative sequence, so that they look scattered and never change.
fn frontier(best: &Prediction) -> Vec<CandidatePoint> {
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    (0..300)
        .map(|index| {
            let (memory, luck) = (0.25 + 0.9 * next(), next());
            CandidatePoint {
                label: format!("candidate {index}"),
                iteration_time_s: best.iteration_time_s
                    * (1.01 + 0.5 * luck * luck + 0.25 / memory),
                peak_memory_bytes: (best.peak_memory_bytes as f64 * memory.min(1.1)) as u64,
            }
        })
        .collect()
}

/// The order of passes of a stage under 1F1B (Narayanan et al. 2021, figure 4).
fn order(stage: u64, stages: u64, micro_batches: u64) -> Vec<(bool, u64)> {
    let warm_up = (stages - 1 - stage).min(micro_batches);
    let mut list: Vec<(bool, u64)> = (0..warm_up).map(|index| (true, index)).collect();
    for index in 0..micro_batches - warm_up {
        list.push((true, warm_up + index));
        list.push((false, index));
    }
    list.extend((micro_batches - warm_up..micro_batches).map(|index| (false, index)));
    list
}

/// One iteration of 1F1B with transfers, reduction and optimizer.
pub(crate) fn timeline(stages: u64, micro_batches: u64) -> Timeline {
    const US: u64 = 1_000_000;
    let (forward, backward, wire) = (FORWARD_US * US, 2 * FORWARD_US * US, 1_500 * US);
    let (p, m) = (stages as usize, micro_batches as usize);
    let orders: Vec<_> = (0..stages).map(|stage| order(stage, stages, micro_batches)).collect();
    let (mut position, mut clock) = (vec![0; p], vec![0u64; p]);
    let mut done = vec![[vec![None; m], vec![None; m]]; p];
    let mut spans: Vec<Vec<Span>> = vec![Vec::new(); p];
    let mut memory: Vec<Vec<MemorySample>> = vec![Vec::new(); p];
    let mut in_flight = vec![0u64; p];
    while (0..p).any(|stage| position[stage] < orders[stage].len()) {
        for stage in 0..p {
            while let Some(&(is_forward, index)) = orders[stage].get(position[stage]) {
                let at = index as usize;
                let before: Option<u64> = match (is_forward, stage) {
                    (true, 0) => Some(0),
                    (true, _) => done[stage - 1][0][at].map(|end: u64| end + wire),
                    (false, last) if last + 1 == p => done[stage][0][at],
                    (false, _) => done[stage + 1][1][at].map(|end: u64| end + wire),
                };
                let Some(ready) = before else { break };
                let start = clock[stage].max(ready);
                let end = start + if is_forward { forward } else { backward };
                clock[stage] = end;
                done[stage][usize::from(!is_forward)][at] = Some(end);
                position[stage] += 1;
                let kind = if is_forward { SpanKind::Forward } else { SpanKind::Backward };
                spans[stage].push(span(stage, kind, Some(index), start, end));
                let sends = if is_forward { stage + 1 < p } else { stage > 0 };
                if sends {
                    spans[stage].push(span(
                        stage,
                        SpanKind::Transfer,
                        Some(index),
                        end,
                        end + wire,
                    ));
                }
                in_flight[stage] =
                    if is_forward { in_flight[stage] + 1 } else { in_flight[stage] - 1 };
                memory[stage].push(MemorySample {
                    stage: stage as u64,
                    time: SimTime::from_picos(if is_forward { start } else { end }),
                    bytes: Bytes::new(42 * GIB + in_flight[stage] * 26 * GIB / stages),
                });
            }
        }
    }
    for (stage, list) in spans.iter_mut().enumerate() {
        let end = clock[stage];
        let reduce = 310_000 * US;
        list.push(span(stage, SpanKind::GradientReduce, None, end - reduce / 3, end + reduce));
        list.push(span(stage, SpanKind::Optimizer, None, end + reduce, end + reduce + 90_000 * US));
        list.sort_by_key(|span| span.start);
    }
    let spans: Vec<Span> = spans.into_iter().flatten().collect();
    let end = spans.iter().map(|span| span.end).max().unwrap_or_default();
    Timeline { stages, end, spans, memory: memory.into_iter().flatten().collect() }
}

fn span(stage: usize, kind: SpanKind, micro_batch: Option<u64>, start: u64, end: u64) -> Span {
    let (start, end) = (SimTime::from_picos(start), SimTime::from_picos(end));
    Span { stage: stage as u64, kind, micro_batch, chunk: 0, start, end }
}

/// One program that is proven, and one that is not.
fn programs() -> Vec<Program> {
    let layer = Program {
        name: "layer".to_owned(),
        solver: "microlp".to_owned(),
        status: ProgramStatus::Optimal,
        variables: 153,
        rows: 84,
        saved_bytes_limit: Some(151_552_000),
        parameters_limit: Some(226_541_568),
        objective_ps: Some(25_862_693_658),
        bound_ps: Some(25_862_693_658),
        search_ps: 25_862_693_658,
        failure: None,
    };
    let stages = Program {
        name: "stages".to_owned(),
        status: ProgramStatus::Limit,
        saved_bytes_limit: None,
        parameters_limit: None,
        ..layer.clone()
    };
    vec![layer, stages]
}
