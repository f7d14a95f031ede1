//! The Megatron flags of a plan, parsed back, give the plan.

use crate::megatron::{file, parse, read, validate, words};
use crate::plans::{GPT, any_plan, exported, job, job_of, searched, shorthand, stages, whole};
use lmplan::export::{Exported, Target};
use lmplan::plan::{Plan, RecomputeCounts};
use lmplan::planner::job::Job;
use lmplan::planner::space::Pins;
use lmplan::spec::ScheduleKind;
use proptest::prelude::*;
use std::sync::OnceLock;

/// Fields of the plan that the export says it can not express.
fn lost(exported: &Exported) -> Vec<&'static str> {
    exported.not_expressed.iter().map(|loss| loss.field).collect()
}

/// Exports a whole plan, reads it back, and compares all that is not said to be lost.
fn check(job: &Job, plan: &Plan) -> Vec<&'static str> {
    let exported = exported(job, plan, Target::Megatron);
    let arguments = parse(&words(&file(&exported, "args.sh").text)).unwrap();
    let world = file(&exported, "ranks.csv").text.lines().count() as u64 - 1;
    assert_eq!(validate(&arguments, world), Ok(()), "{plan:?}");
    let names = [plan.model.as_str(), &plan.cluster, &plan.stack];
    let mut again = whole(job, &read(&arguments, world, names));
    let lost = lost(&exported);
    if lost.contains(&"schedule") {
        again.schedule = plan.schedule;
    }
    if lost.contains(&"operators") {
        again.operators.clone_from(&plan.operators);
    }
    if lost.contains(&"stages.recompute") {
        for (stage, planned) in again.stages.iter_mut().zip(&plan.stages) {
            stage.recompute = planned.recompute;
        }
    }
    assert_eq!(&again, plan);
    lost
}

fn gpt() -> &'static Job {
    static JOB: OnceLock<Job> = OnceLock::new();
    JOB.get_or_init(|| job(GPT, 64))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn plans_of_the_whole_space(plan in any_plan()) {
        let job = gpt();
        // Combinations that are no plan, such as interleaving with few micro-batches, are none here.
        if lmplan::planner::predict::choice::Choice::of_plan(job, &plan).is_ok() {
            let plan = whole(job, &plan);
            check(job, &plan);
        }
    }
}

#[test]
fn most_drawn_plans_are_plans_and_lose_nothing() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut plans, mut exact) = (0, 0);
    for _ in 0..200 {
        let plan = any_plan().new_tree(&mut runner).unwrap().current();
        if lmplan::planner::predict::choice::Choice::of_plan(gpt(), &plan).is_ok() {
            plans += 1;
            let ours = ["schedule", "operators", "stages.recompute"];
            let lost = check(gpt(), &whole(gpt(), &plan));
            exact += usize::from(!lost.iter().any(|field| ours.contains(field)));
        }
    }
    assert!(plans > 120 && exact > 40, "{exact} of {plans}");
}

#[test]
fn plans_that_a_search_finds() {
    for (names, batch, pins) in [
        (
            ["gpt3-175b", "a100x64", "megatron-core"],
            64,
            Pins { tensor: Some(vec![4]), pipeline: Some(vec![16]), ..Pins::default() },
        ),
        (
            ["llama3-8b", "h100x16", "megatron-core"],
            32,
            Pins { tensor: Some(vec![2]), pipeline: Some(vec![2, 4]), ..Pins::default() },
        ),
        (
            ["gpt2-1.5b", "a100x16", "megatron-2021"],
            32,
            Pins { chunks: Some(vec![1]), pipeline: Some(vec![4]), ..Pins::default() },
        ),
    ] {
        let (job, plans) = searched(names, batch, pins);
        assert!(!plans.is_empty());
        for plan in plans {
            check(&job, &plan);
        }
    }
}

#[test]
fn uneven_stages_become_a_layout() {
    let mut plan = shorthand(GPT, [2, 4, 2, 1], [64, 1], 1);
    let whole_layers = |n| RecomputeCounts { none: n, selective: 0, full: 0 };
    plan.stages = stages(&[7, 9, 9, 7], whole_layers);
    let plan = whole(gpt(), &plan);
    let exported = exported(gpt(), &plan, Target::Megatron);
    let text = &file(&exported, "args.sh").text;
    assert!(text.contains("--pipeline-model-parallel-layout 'Et*7|t*9|t*9|t*7L'"), "{text}");
    assert!(!lost(&exported).contains(&"stages.recompute"));
    assert!(check(gpt(), &plan).iter().all(|field| field.starts_with("model.")));
}

/// 126 layers with embedding and head as one more each are 128: Llama 3 405B's own pipeline.
#[test]
fn interleaved_chunks_with_short_ends_become_a_layout() {
    let names = ["llama3-405b", "h100x1024", "megatron-core"];
    let job = job(names, 128);
    let plan = whole(&job, &shorthand(names, [8, 16, 4, 1], [128, 1], 8));
    let exported = exported(&job, &plan, Target::Megatron);
    let text = &file(&exported, "args.sh").text;
    assert!(text.contains("--pipeline-model-parallel-layout 'E|t|t|"), "{text}");
    assert!(text.contains("|t|L'"), "{text}");
    check(&job, &plan);
}

#[test]
fn what_megatron_does_not_have_is_said() {
    let mut plan = shorthand(GPT, [1, 4, 2, 1], [64, 1], 1);
    plan.schedule = ScheduleKind::Gpipe;
    let plan = whole(gpt(), &plan);
    assert!(check(gpt(), &plan).contains(&"schedule"));
    let mut mixed = shorthand(GPT, [1, 2, 2, 1], [64, 1], 1);
    mixed.stages = stages(&[16, 16], |n| RecomputeCounts { none: n - 3, selective: 2, full: 1 });
    assert!(check(gpt(), &whole(gpt(), &mixed)).contains(&"stages.recompute"));
    let mut operators = whole(gpt(), &shorthand(GPT, [2, 1, 2, 1], [64, 1], 1));
    let layer = operators.operators.get_mut("layer").unwrap();
    layer.insert("mlp.fc1".to_owned(), lmplan::plan::Strategy::Replicated);
    let said = exported(gpt(), &operators, Target::Megatron).not_expressed;
    let said = said.iter().find(|loss| loss.field == "operators");
    assert!(said.is_some_and(|loss| loss.said.contains("layer mlp.fc1 `replicated`")), "{said:?}");
    let names = ["bloom-176b", "a100x64", "megatron-core"];
    let mut bloom = lmplan::spec::load_model(names[0], std::path::Path::new(".")).unwrap().0;
    bloom.training.global_batch_size = 64;
    let job = job_of(bloom, names);
    let plan = whole(&job, &shorthand(names, [8, 7, 1, 1], [64, 1], 1));
    let lost = check(&job, &plan);
    assert!(lost.contains(&"model.position") && lost.contains(&"model.embedding_norm"));
}
