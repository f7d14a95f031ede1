//! The integer programs as the engine of a search, against branch and bound: the same optimum, to
//! the picosecond.
#![allow(clippy::print_stdout, reason = "tests print the figures that they compare")]

use lmplan::Job;
use lmplan::planner::Engine;
use lmplan::planner::answer::{Planned, plan};
use lmplan::planner::objective::Objective;
use lmplan::planner::outcome::{ProgramStatus, SearchStatus};
use lmplan::planner::request::Request;
use lmplan::planner::space::Pins;
use lmplan::spec::{Cluster, load_model, load_stack};
use std::path::Path;
use std::time::Instant;

/// Model, cluster, global batch.
const JOBS: [(&str, &str, u64); 42] = [
    ("bert-base", "a100x8", 64),
    ("bert-base", "dgx1-v100", 48),
    ("bert-base", "a100x8", 24),
    ("bert-large", "a100x8", 32),
    ("bert-large", "a100x8", 56),
    ("bert-large", "dgx1-v100", 64),
    ("bert-large", "l40sx8", 24),
    ("bert-large", "h100x8", 256),
    ("bert-large", "h100x8", 40),
    ("gpt2-124m", "a100x8", 32),
    ("gpt2-124m", "dgx1-v100", 16),
    ("gpt2-124m", "l40sx8", 8),
    ("gpt2-1.5b", "a100x8", 16),
    ("gpt2-1.5b", "dgx1-v100", 8),
    ("gpt2-1.5b", "l40sx8", 32),
    ("gpt2-1.5b", "h100x8", 64),
    ("gpt2-1.5b", "a100x64", 64),
    ("gpt3-13b", "a100x8", 8),
    ("gpt3-13b", "h100x8", 16),
    ("gpt3-13b", "l40sx8", 8),
    ("gpt3-13b", "a100x64", 64),
    ("gpt3-13b", "mi300x64", 64),
    ("llama2-7b", "a100x8", 8),
    ("llama2-7b", "l40sx8", 8),
    ("llama2-7b", "h100x8", 32),
    ("llama2-70b", "a100x64", 32),
    ("llama2-70b", "b200x64", 32),
    ("llama3-8b", "a100x8", 16),
    ("llama3-8b", "h100x8", 8),
    ("llama3-70b", "a100x64", 16),
    ("llama3-70b", "h100x128", 32),
    ("llama3-70b", "gb200-nvl72x8", 64),
    ("opt-13b", "a100x8", 16),
    ("opt-30b", "a100x64", 96),
    ("gpt3-175b", "a100x64", 16),
    ("gpt3-175b", "a100x64", 48),
    ("gpt3-175b", "h100x128", 64),
    ("gpt3-175b", "mi300x64", 32),
    ("gpt3-175b", "b200x64", 32),
    ("mpt-7b", "a100x8", 16),
    ("mpt-30b", "a100x64", 32),
    ("mpt-30b", "h100x8", 16),
];

fn job((model, cluster, batch): (&str, &str, u64)) -> Job {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut model, _) = load_model(model, folder).expect("a model");
    model.training.global_batch_size = batch;
    let (cluster, _) = Cluster::load(cluster, folder).expect("a cluster");
    let (stack, _) = load_stack("megatron-core", folder).expect("a stack");
    Job::new(model, cluster, stack).expect("a job")
}

fn solved(job: &Job, engine: Engine) -> Option<Planned> {
    let names = ["model", "cluster", "megatron-core"].map(str::to_owned);
    let request =
        Request { objective: Objective::Time, top: 1, engine, pins: Pins::default(), names };
    match plan(job, &request, &|| None, &mut |_| {}).planned() {
        Ok(planned) => Some(planned),
        Err(error) if error.is_infeasible() => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn integer_programs_give_the_same_optimum() {
    let (mut planned, mut by_search, mut by_ilp) = (0, 0.0, 0.0);
    for name in JOBS {
        let [(search, search_s), (ilp, ilp_s)] = [Engine::Search, Engine::Ilp].map(|engine| {
            let (job, start) = (job(name), Instant::now());
            (solved(&job, engine), start.elapsed().as_secs_f64())
        });
        (by_search, by_ilp) = (by_search + search_s, by_ilp + ilp_s);
        println!("{name:?}: {search_s:.2} s, {ilp_s:.2} s");
        let (Some(search), Some(ilp)) = (&search, &ilp) else {
            assert!(search.is_none() && ilp.is_none(), "{name:?}");
            continue;
        };
        planned += 1;
        let (a, b) = (&search.outcome, &ilp.outcome);
        assert_eq!(a.prediction.iteration_time_s, b.prediction.iteration_time_s, "{name:?}");
        assert_eq!(
            (a.search.status, b.search.status),
            (SearchStatus::Optimal, SearchStatus::Optimal)
        );
        assert_eq!(a.search.lower_bound_s, b.search.lower_bound_s, "{name:?}");
        assert!(b.search.programs_solved > a.search.programs_solved, "{name:?}");
        for program in a.search.programs.iter().chain(&b.search.programs) {
            assert_eq!(program.status, ProgramStatus::Optimal, "{name:?}: {program:?}");
        }
    }
    assert!(planned >= 40, "{planned} of {} have a plan", JOBS.len());
    println!("{planned} jobs: {by_search:.1} s by branch and bound, {by_ilp:.1} s by programs");
}
