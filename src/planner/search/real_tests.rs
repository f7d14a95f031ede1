//! Bounds of candidates of real models on real clusters against their solved times.

use crate::lower::Candidate;
use crate::planner::engine::Engine;
use crate::planner::job::Job;
use crate::planner::master::pipeline_shape::PipelineShape;
use crate::planner::search::node::{Node, Taken};
use crate::planner::search::solver::{Effort, Solver};
use crate::planner::search::worker::{Worked, Worker};
use crate::planner::space::{Pins, Space};
use crate::spec::{self, Cluster};
use crate::units::SimTime;

fn job(model: &str, cluster: &str, batch: u64, stack: &str) -> Job {
    let folder = spec::catalog::built_in();
    let (mut model, _) = spec::load_model(model, folder).unwrap();
    model.training.global_batch_size = batch;
    let (cluster, _) = Cluster::load(cluster, folder).unwrap();
    let (stack, _) = spec::load_stack(stack, folder).unwrap();
    Job::new(model, cluster, stack).unwrap()
}

/// What the search knows of a node before it is opened or solved.
fn bound(worker: &Worker<'_>, node: Node) -> SimTime {
    let taken =
        Taken { score: 0, node, bound: SimTime::ZERO, cutoff: SimTime::MAX, decided: Vec::new() };
    match worker.work(&taken, Effort::Full) {
        Worked::Bounded(bound) => bound,
        _ => panic!("no bound of {node:?}"),
    }
}

/// Holds all bounds of every `step`-th candidate against its solved time; gives how many fit.
fn compare(job: &Job, space: &Space, step: usize) -> usize {
    let solver = || Solver { space, costs: job, engine: Engine::Search, stop: &|| false };
    let worker = Worker::new(solver());
    let ways = space.ways().into_iter();
    let all: Vec<_> = ways
        .flat_map(|ways| space.candidates(ways).into_iter().map(move |c| (ways, c)))
        .filter(|(_, c)| c.pipeline <= 4 || c.chunks > 1)
        .collect();
    let mut compared = 0;
    for (ways, candidate) in all.into_iter().step_by(step) {
        let candidate: Candidate = candidate;
        let shape = PipelineShape::new(
            candidate.pipeline_shape(),
            candidate.chunks == 1 || !job.workload.stack.overlap_p2p,
        )
        .unwrap();
        let bounds = [
            worker.computation(ways),
            bound(&worker, Node::Group(ways)),
            solver().bound(&candidate),
            bound(&worker, Node::Candidate(candidate)),
        ];
        let refined = bounds[3];
        let cutoff = if refined == SimTime::MAX { refined } else { refined * 2 };
        let Some(best) = solver().solve(&candidate, &shape, cutoff, (Effort::Full, &[])).best
        else {
            continue;
        };
        for (i, bound) in bounds.into_iter().enumerate() {
            assert!(bound <= best.time, "bound {i}, {bound:?} > {:?}, {candidate:?}", best.time);
        }
        compared += 1;
    }
    compared
}

#[test]
fn no_plan_is_below_the_bounds_of_its_candidate() {
    for (model, cluster, batch, stack, step) in [
        ("gpt2-124m", "h100x128", 128, "megatron-core", 397),
        ("bert-base", "a100x64", 64, "megatron-core", 211),
        ("gpt3-1.3b", "h100x128", 128, "megatron-core", 1009),
        ("gpt2-124m", "l40sx8", 24, "deepspeed", 41),
        ("llama-7b", "a100x64", 64, "torchtitan", 701),
    ] {
        let job = job(model, cluster, batch, stack);
        let compared = compare(&job, &job.space(Pins::default()), step);
        assert!(compared >= 8, "{model} on {cluster}: only {compared} compared");
    }
}

/// What is decided little by little is what is decided at once.
#[test]
fn little_efforts_together_are_the_whole() {
    let job = job("bert-base", "h100x128", 128, "megatron-core");
    let space = job.space(Pins::default());
    let solver = || Solver { space: &space, costs: &job, engine: Engine::Search, stop: &|| false };
    let ways = space.ways().into_iter();
    let all: Vec<Candidate> = ways.flat_map(|ways| space.candidates(ways)).collect();
    let mut postponed = 0;
    for candidate in all.iter().filter(|c| c.pipeline > 1 && c.chunks == 1).step_by(97) {
        let shape = PipelineShape::new(candidate.pipeline_shape(), true).unwrap();
        let whole = solver().solve(candidate, &shape, SimTime::MAX, (Effort::Full, &[]));
        let (mut cutoff, mut effort, mut best) = (SimTime::MAX, Effort::Little, None);
        let mut decided = Vec::new();
        loop {
            let solved = solver().solve(candidate, &shape, cutoff, (effort, &decided));
            if let Some(solution) = solved.best {
                (cutoff, best) = (solution.time, Some(solution.time));
            }
            if !solved.undecided {
                break;
            }
            postponed += 1;
            (effort, decided) = (effort.next().unwrap(), solved.decided);
        }
        assert_eq!(best, whole.best.map(|solution| solution.time), "{candidate:?}");
    }
    assert!(postponed > 5, "{postponed} times");
}
