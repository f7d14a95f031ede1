//! The independent check: accepts what the search writes, and rejects what was tampered with.

use lmplan::check::{Check, CheckInput, Severity, check};
use lmplan::plan::{Batch, OptimizerSharding, Parallelism, Plan, RecomputeCounts, StagePlan};
use lmplan::planner::Engine;
use lmplan::planner::answer::{Answer, Planned, plan};
use lmplan::planner::job::Job;
use lmplan::planner::objective::Objective;
use lmplan::planner::predict::choice::Choice;
use lmplan::planner::predict::predict;
use lmplan::planner::request::Request;
use lmplan::planner::space::Pins;
use lmplan::spec::{Cluster, LoraSpec, ScheduleKind, load_model, load_stack};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

fn job() -> Job {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut model, _) = load_model("bert-large", folder).expect("a model");
    model.training.global_batch_size = 32;
    let (cluster, _) = Cluster::load("a100x8", folder).expect("a cluster");
    let (stack, _) = load_stack("megatron-core", folder).expect("a stack");
    Job::new(model, cluster, stack).expect("a job")
}

fn planned(job: &Job, objective: Objective) -> Planned {
    let names = ["bert-large", "a100x8", "megatron-core"].map(str::to_owned);
    let request =
        Request { objective, top: 2, engine: Engine::Search, pins: Pins::default(), names };
    match plan(job, &request, &|| None, &mut |_| {}) {
        Answer::Planned(planned) => *planned,
        other => panic!("no plan: {other:?}"),
    }
}

/// A plan to be checked, with nothing beside it.
fn subject<'a>(job: &'a Job, plan: &'a Plan) -> CheckInput<'a> {
    CheckInput {
        plan,
        model: &job.workload.model,
        graph: &job.workload.graph,
        stack: &job.workload.stack,
        devices: job.machine.devices,
        memory: job.machine.device.memory,
        peak_flops: job.cost().device().peak().get(),
        results: None,
        certificate: None,
    }
}

fn run(job: &Job, plan: &Plan, results: &Value, certificate: &Value) -> Check {
    let (results, certificate) = (Some(results), Some(certificate));
    check(&CheckInput { results, certificate, ..subject(job, plan) })
}

#[test]
fn what_the_search_writes_holds() {
    let job = job();
    for objective in [Objective::Time, Objective::Cost { deadline: None }] {
        let planned = planned(&job, objective);
        let results = serde_json::to_value(&planned.outcome).expect("json");
        let certificate: Value = serde_json::from_slice(&planned.certificate).expect("json");
        let found = run(&job, &planned.outcome.plan, &results, &certificate);
        assert!(found.holds(), "{:#?}", found.findings);
        assert!(found.findings.iter().all(|finding| finding.severity == Severity::Note));
    }
}

/// A change to plan, results or certificate, and a part of the finding that it must give.
type Tampering = (&'static str, fn(&mut Plan, &mut Value, &mut Value), &'static str);

#[test]
fn tampering_is_found() {
    let job = job();
    let planned = planned(&job, Objective::Time);
    let tamperings: [Tampering; 18] = [
        ("a row is gone", |_, _, c| drop(rows(c, "excluded_candidates").pop()), "not covered"),
        ("a solved row is gone", |_, _, c| drop(rows(c, "solved_candidates").remove(0)), "covered"),
        ("a group is gone", |_, _, c| drop(rows(c, "excluded_groups").pop()), "not covered"),
        ("a bound is lowered", |_, _, c| rows(c, "excluded_candidates")[0][1] = 1.into(), "below"),
        (
            "a group's bound is lowered",
            |_, _, c| rows(c, "excluded_groups")[0][3] = 1.into(),
            "below",
        ),
        (
            "a row stands twice",
            |_, _, c| {
                let row = rows(c, "solved_candidates")[0].clone();
                rows(c, "solved_candidates").push(row);
            },
            "twice",
        ),
        ("a program is gone", |_, _, c| drop(rows(c, "programs").pop()), "missing"),
        (
            "a program has another optimum",
            |_, _, c| rows(c, "programs")[1]["objective_ps"] = 9.into(),
            "the search has",
        ),
        (
            "a program's bound is low",
            |_, _, c| rows(c, "programs")[0]["bound_ps"] = 1.into(),
            "bound",
        ),
        (
            "the stages are another plan's",
            |_, _, c| {
                for key in ["search_ps", "objective_ps", "bound_ps"] {
                    rows(c, "programs")[3][key] = 7.into();
                }
            },
            "of a plan",
        ),
        ("the time is better", |_, _, c| c["iteration_time_ps"] = 5.into(), "certifies"),
        ("the count is wrong", |_, _, c| c["space"]["candidates"] = 7.into(), "candidates"),
        ("another schema", |_, _, c| c["schema"] = "x".into(), "schema"),
        ("another micro-batch", |p, _, _| p.batch.micro = 3, "multiple"),
        ("too many devices", |p, _, _| p.parallelism.data *= 64, "devices"),
        ("a stage too long", |p, _, _| p.stages[0].layers = "0..99".to_owned(), "layers"),
        (
            "less memory is claimed",
            |_, r, _| r["prediction"]["stages"][0]["optimizer_bytes"] = 5.into(),
            "optimizer_bytes",
        ),
        (
            "the iteration is too short",
            |_, r, _| r["prediction"]["iteration_time_s"] = 1e-6.into(),
            "works",
        ),
    ];
    for (name, tamper, part) in tamperings {
        let mut plan = planned.outcome.plan.clone();
        let mut results = serde_json::to_value(&planned.outcome).expect("json");
        let mut certificate: Value = serde_json::from_slice(&planned.certificate).expect("json");
        tamper(&mut plan, &mut results, &mut certificate);
        let found = run(&job, &plan, &results, &certificate);
        let errors: Vec<&str> = found
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| finding.message.as_str())
            .collect();
        assert!(errors.iter().any(|message| message.contains(part)), "{name}: {errors:?}");
    }
}

fn rows<'a>(certificate: &'a mut Value, name: &str) -> &'a mut Vec<Value> {
    certificate[name].as_array_mut().expect("rows")
}

/// A plan by hand: what it shows, model, stack, (t, p, d, c, v), micro-batch, and what else it has.
struct Given {
    what: &'static str,
    model: &'static str,
    stack: &'static str,
    ways: [u64; 5],
    micro: u64,
    change: fn(&mut Plan),
}

/// Plans that run, one for each thing that a plan can have.
fn accepted() -> Vec<Given> {
    let given =
        |what, model, ways, change| Given { what, model, stack: "lmplan", ways, micro: 1, change };
    vec![
        given("one device", "gpt2-124m", [1, 1, 1, 1, 1], |_| {}),
        given("tensor-parallel", "gpt2-355m", [4, 1, 1, 1, 1], |_| {}),
        given("sequence-parallel", "gpt2-355m", [4, 1, 2, 1, 1], |p| {
            p.parallelism.sequence_parallel = true;
        }),
        given("grouped heads", "llama3-8b", [4, 2, 2, 1, 1], |_| {}),
        given("replicas", "bert-large", [1, 1, 8, 1, 1], |_| {}),
        given("ZeRO-1", "gpt2-355m", [1, 1, 8, 1, 1], |p| {
            p.optimizer_sharding = OptimizerSharding::Zero1;
        }),
        given("ZeRO-2", "gpt2-355m", [1, 1, 8, 1, 1], |p| {
            p.optimizer_sharding = OptimizerSharding::Zero2;
        }),
        given("ZeRO-3", "gpt2-355m", [2, 1, 4, 1, 1], |p| {
            p.optimizer_sharding = OptimizerSharding::Zero3;
        }),
        given("context", "gpt2-355m", [1, 1, 2, 4, 1], |_| {}),
        given("context with ZeRO-1", "gpt2-355m", [1, 1, 2, 4, 1], |p| {
            p.optimizer_sharding = OptimizerSharding::Zero1;
        }),
        given("context with ZeRO-3 and tensors", "gpt2-355m", [2, 1, 2, 2, 1], |p| {
            p.optimizer_sharding = OptimizerSharding::Zero3;
        }),
        given("context alone with ZeRO-2", "gpt2-355m", [1, 2, 1, 4, 1], |p| {
            p.optimizer_sharding = OptimizerSharding::Zero2;
        }),
        given("1F1B", "gpt2-355m", [1, 4, 2, 1, 1], |_| {}),
        given("GPipe", "gpt2-355m", [1, 4, 2, 1, 1], |p| p.schedule = ScheduleKind::Gpipe),
        given("interleaved", "gpt2-355m", [1, 4, 2, 1, 3], |p| {
            p.schedule = ScheduleKind::Interleaved;
        }),
        given("interleaved with short ends", "llama3-405b", [8, 16, 1, 1, 8], |p| {
            p.schedule = ScheduleKind::Interleaved;
            let mut layers = [[0, 0, 8]; 16];
            (layers[0], layers[15]) = ([0, 0, 7], [0, 0, 7]);
            p.stages = stages(&layers);
        }),
        given("uneven stages", "gpt2-355m", [1, 2, 2, 1, 1], |p| {
            p.stages = stages(&[[2, 0, 7], [3, 4, 8]]);
        }),
        given("recomputation", "gpt2-355m", [1, 2, 1, 1, 1], |p| {
            p.stages = stages(&[[0, 12, 0], [0, 0, 12]]);
        }),
        given("adapters", "llama2-7b", [2, 2, 2, 1, 1], |p| p.lora = Some(adapters())),
        given("adapters with ZeRO-3", "llama2-7b", [1, 1, 8, 1, 1], |p| {
            p.lora = Some(adapters());
            p.optimizer_sharding = OptimizerSharding::Zero3;
        }),
    ]
}

fn adapters() -> LoraSpec {
    serde_json::from_value(serde_json::json!({"rank": 8})).expect("adapters")
}

/// Stages with so many layers that recompute nothing, the attention core, everything.
fn stages(layers: &[[u64; 3]]) -> Vec<StagePlan> {
    let mut next = 0;
    let stage = |[none, selective, full]: &[u64; 3]| {
        let first = next;
        next += none + selective + full;
        StagePlan {
            layers: format!("{first}..{next}"),
            devices: String::new(),
            recompute: RecomputeCounts { none: *none, selective: *selective, full: *full },
        }
    };
    layers.iter().map(stage).collect()
}

#[test]
fn plans_that_run_are_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for Given { what, model: name, stack, ways: [t, p, d, c, v], micro, change } in accepted() {
        let devices = t * p * d * c;
        let (mut model, _) = load_model(name, folder).expect("a model");
        let mut plan = Plan {
            model: name.to_owned(),
            cluster: "b200x256".to_owned(),
            stack: stack.to_owned(),
            parallelism: Parallelism {
                tensor: t,
                pipeline: p,
                data: d,
                context: c,
                expert: 1,
                virtual_stages: v,
                sequence_parallel: false,
            },
            batch: Batch { global: 4 * p * d * micro, micro },
            lora: None,
            schedule: ScheduleKind::OneFOneB,
            optimizer_sharding: OptimizerSharding::None,
            stages: Vec::new(),
            operators: BTreeMap::new(),
        };
        change(&mut plan);
        model.training.global_batch_size = plan.batch.global;
        model.training.lora.clone_from(&plan.lora);
        let (cluster, _) = Cluster::load(&plan.cluster, folder).expect("a cluster");
        let (stack, _) = load_stack(stack, folder).expect("a stack");
        let job = Job::new(model, cluster, stack).expect("a job");
        let choice = Choice::of_plan(&job, &plan).unwrap_or_else(|error| panic!("{what}: {error}"));
        let plan = choice.plan(&job, [&plan.model, &plan.cluster, &plan.stack].map(|n| n.as_str()));
        assert_eq!(plan.devices(), devices, "{what}");
        let predicted = predict(&job, &choice).expect("a schedule that runs");
        let results = serde_json::json!({"prediction": predicted.prediction});
        let found = check(&CheckInput {
            results: Some(&results),
            certificate: None,
            ..subject(&job, &plan)
        });
        assert!(found.holds(), "{what}: {:#?}", found.findings);
        let half = half_of_the_states(&results);
        let found =
            check(&CheckInput { results: Some(&half), certificate: None, ..subject(&job, &plan) });
        assert!(!found.holds(), "{what}: half of the optimizer's states are missed");
    }
}

/// Ways that do not divide the key-value heads: refused by what simulates a plan and by what checks
/// it, but for software that computes attention whole.
#[test]
fn ways_divide_the_key_value_heads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let job = |stack: &str| {
        let (mut model, _) = load_model("llama3-8b", folder).expect("a model");
        model.training.global_batch_size = 32;
        let (cluster, _) = Cluster::load("a100x16", folder).expect("a cluster");
        let (stack, _) = load_stack(stack, folder).expect("a stack");
        Job::new(model, cluster, stack).expect("a job")
    };
    let plan = |tensor: u64| Plan {
        model: "llama3-8b".to_owned(),
        cluster: "a100x16".to_owned(),
        stack: "megatron-core".to_owned(),
        parallelism: Parallelism { tensor, ..Parallelism::SINGLE },
        batch: Batch { global: 32, micro: 1 },
        lora: None,
        schedule: ScheduleKind::OneFOneB,
        optimizer_sharding: OptimizerSharding::None,
        stages: Vec::new(),
        operators: BTreeMap::new(),
    };
    for (stack, tensor, expected) in
        [("megatron-core", 8, true), ("megatron-core", 16, false), ("lmplan", 16, true)]
    {
        let (job, plan) = (job(stack), plan(tensor));
        let simulated = Choice::of_plan(&job, &plan);
        assert_eq!(simulated.is_ok(), expected, "{stack} t{tensor}");
        let searched = job.space(Pins::default()).tensor_ways().contains(&tensor);
        assert_eq!(searched, expected, "{stack} t{tensor}");
        let found = check(&subject(&job, &plan));
        let refused = found.findings.iter().any(|f| f.message.contains("splits attention"));
        assert_eq!(refused, !expected, "{stack} t{tensor}: {:?}", found.findings);
    }
}

/// Results that claim half of the memory of optimizer states.
fn half_of_the_states(results: &Value) -> Value {
    let mut results = results.clone();
    for stage in results["prediction"]["stages"].as_array_mut().expect("stages") {
        let bytes = stage["optimizer_bytes"].as_f64().expect("a number");
        stage["optimizer_bytes"] = (bytes / 2.0).into();
    }
    results
}
