//! How long it takes to build a model's operator graph and find its blocks.

use criterion::Criterion;
use lmplan::graph::{Graph, build};
use lmplan::spec::ModelSpec;
use std::hint::black_box;

fn model(name: &str) -> ModelSpec {
    let path = format!("{}/models/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the catalogue has it");
    serde_saphyr::from_str(&text).expect("the catalogue reads")
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for name in ["gpt3-175b", "megatron-gpt-1008b"] {
        let spec = model(name);
        let dag = build(&spec).expect("builds").dag;
        criterion.bench_function(&format!("build and blocks, {name}"), |bencher| {
            bencher.iter(|| build(black_box(&spec)));
        });
        criterion.bench_function(&format!("blocks alone, {name}"), |bencher| {
            bencher.iter(|| Graph::from_dag(black_box(dag.clone())));
        });
    }
    criterion.final_summary();
}
