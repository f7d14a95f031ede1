//! The independent check: accepts what the search writes, and rejects what was tampered with.

use lmplan::check::{Check, Severity, Subject, check};
use lmplan::plan::Plan;
use lmplan::planner::facade::{Answer, Planned, Request, plan};
use lmplan::planner::job::Job;
use lmplan::planner::objective::Objective;
use lmplan::planner::space::Pins;
use lmplan::spec::{Cluster, load_model, load_stack};
use serde_json::Value;
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
    let request = Request { objective, top: 2, pins: Pins::default(), names };
    match plan(job, &request, &|| None, &mut |_| {}) {
        Answer::Planned(planned) => *planned,
        other => panic!("no plan: {other:?}"),
    }
}

fn run(job: &Job, plan: &Plan, results: &Value, certificate: &Value) -> Check {
    check(&Subject {
        plan,
        model: &job.model,
        graph: &job.graph,
        stack: &job.stack,
        devices: job.devices,
        memory: job.device.memory,
        peak_flops: job.cost().device().peak().get(),
        results: Some(results),
        certificate: Some(certificate),
    })
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
    let tamperings: [Tampering; 14] = [
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
