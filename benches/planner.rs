//! Throughput of the planner: bounding candidates, simulating pipelines, a whole search. All of it
//! on one thread.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lmplan::lower::Candidate;
use lmplan::lower::{Pipeline, StageTimes};
use lmplan::planner::Engine;
use lmplan::planner::answer::plan;
use lmplan::planner::bounds::BoundInput;
use lmplan::planner::job::Job;
use lmplan::planner::job::costs::Costs;
use lmplan::planner::objective::Objective;
use lmplan::planner::request::Request;
use lmplan::planner::search::{Options, search};
use lmplan::planner::space::{Pins, Space};
use lmplan::sim::pipeline::{Run, Structure};
use lmplan::spec::{self, Cluster, ScheduleKind};
use lmplan::units::SimTime;
use std::hint::black_box;
use std::path::Path;

fn job(model: &str, cluster: &str, batch: u64) -> Job {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut model, _) = spec::load_model(model, folder).expect("the catalogue reads");
    model.training.global_batch_size = batch;
    let (cluster, _) = Cluster::load(cluster, folder).expect("the catalogue reads");
    let (stack, _) = spec::load_stack("megatron-core", folder).expect("the catalogue reads");
    Job::new(model, cluster, stack).expect("a job")
}

fn bound_of(job: &Job, space: &Space, candidate: &Candidate) -> SimTime {
    let Candidate { tensor, micro_batch, sequence_parallel, .. } = *candidate;
    let blocks = job.blocks(tensor, micro_batch, sequence_parallel);
    let (links, prices) = (job.links(candidate), job.prices(candidate));
    let (shape, memory) = (job.shape(candidate), job.memory(candidate));
    let prices = prices.as_ref();
    let layers = space.num_layers;
    BoundInput::new(candidate, layers, &blocks, &links, prices, &shape, memory).bound()
}

/// Elements per second are candidates bounded per core-second.
fn bounds(criterion: &mut Criterion) {
    let job = job("gpt3-175b", "a100x1024", 1536);
    let space = job.space(Pins::default());
    let candidates: Vec<Candidate> = space
        .ways()
        .into_iter()
        .flat_map(|ways| space.candidates(ways).into_iter().step_by(37))
        .collect();
    for candidate in &candidates {
        let _ = bound_of(&job, &space, candidate);
    }
    let mut group = criterion.benchmark_group("bound");
    group.throughput(Throughput::Elements(candidates.len() as u64)).sample_size(20);
    group.bench_function("candidates of gpt3-175b on 1024", |bencher| {
        bencher.iter(|| {
            for candidate in &candidates {
                black_box(bound_of(&job, &space, candidate));
            }
        });
    });
    group.finish();
}

/// Elements per second are simulated steps (forward or backward of a chunk) per core-second.
fn simulation(criterion: &mut Criterion) {
    let job = job("gpt3-175b", "a100x1024", 1536);
    let mut group = criterion.benchmark_group("simulate");
    for (name, schedule, stages, chunks, micro_batches) in [
        ("1f1b p16 m192", ScheduleKind::OneFOneB, 16, 1, 192),
        ("interleaved p8 v12 m48", ScheduleKind::Interleaved, 8, 12, 48),
        ("1f1b p64 m1536", ScheduleKind::OneFOneB, 64, 1, 1536),
    ] {
        let pipeline = Pipeline { schedule, stages, chunks, micro_batches };
        let structure = Structure::new(pipeline).expect("the schedule runs");
        let candidate = Candidate {
            tensor: 2,
            pipeline: stages,
            data: 4,
            context: 1,
            micro_batch: 1,
            chunks,
            micro_batches,
            schedule,
            sequence_parallel: true,
            sharding: Default::default(),
        };
        let links = job.links(&candidate);
        let time = |picos: u64| SimTime::from_picos(picos);
        let times: Vec<StageTimes> = (0..stages)
            .map(|q| StageTimes {
                chunks: vec![
                    lmplan::lower::ChunkTimes {
                        forward: time(1_000_000 + q),
                        first_forward: time(1_100_000),
                        backward: time(2_000_000 + q),
                        last_backward: time(2_100_000),
                        reduce_tail: time(300_000),
                    };
                    chunks as usize
                ],
                optimizer: time(500_000),
            })
            .collect();
        group.throughput(Throughput::Elements(structure.len() as u64));
        group.bench_function(name, |bencher| {
            let mut run = Run::default();
            bencher.iter(|| {
                structure.run(black_box(&times), &links, &mut run);
                run.end
            });
        });
    }
    group.finish();
}

fn whole_search(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("search");
    group.sample_size(10);
    for (model, cluster, batch) in [
        ("gpt3-175b", "a100x64", 64),
        ("gpt3-175b", "a100x1024", 1536),
        ("gpt3-175b", "a100x4096", 1536),
        ("megatron-1t", "a100x4096", 1536),
    ] {
        group.bench_function(format!("{model} on {cluster}"), |bencher| {
            bencher.iter_batched(
                || job(model, cluster, batch),
                |job| {
                    let options = Options {
                        engine: Engine::Search,
                        objective: Objective::Time,
                        top: 3,
                        stop: &|| None,
                        progress: &mut |_| {},
                    };
                    search(&job.space(Pins::default()), &job, options).lower_bound
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// The same answers, with their proofs, by branch and bound and by integer programs.
fn engines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.sample_size(10);
    for (model, cluster, batch) in
        [("bert-large", "a100x8", 32), ("llama3-70b", "h100x128", 32), ("gpt3-175b", "a100x64", 64)]
    {
        for engine in [Engine::Search, Engine::Ilp] {
            group.bench_function(format!("{engine}, {model} on {cluster}"), |bencher| {
                bencher.iter_batched(
                    || job(model, cluster, batch),
                    |job| {
                        let names = [model, cluster, "megatron-core"].map(str::to_owned);
                        let (objective, pins) = (Objective::Time, Pins::default());
                        let request = Request { objective, top: 3, engine, pins, names };
                        plan(&job, &request, &|| None, &mut |_| {}).planned().expect("a plan")
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bounds, simulation, whole_search, engines);
criterion_main!(benches);
