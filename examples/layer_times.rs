//! Prints what every instruction of a model's layer costs:
//! `cargo run --release --example layer_times -- MODEL.yaml CLUSTER STACK TENSOR MICRO_BATCH [sp]`.
#![allow(clippy::print_stdout, reason = "an example prints what it computes")]

use lmplan::graph::BlockKind;
use lmplan::lower::blocks::{instructions, megatron_strategies};
use lmplan::planner::job::Job;
use lmplan::sharding::{Instruction, InstructionCost, Layout};
use lmplan::spec::{self, Cluster};
use std::path::Path;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(".");
    let (model, _) = spec::load_model(&args[0], folder).expect("a model");
    let (cluster, _) = Cluster::load(&args[1], folder).expect("a cluster");
    let (stack, _) = spec::load_stack(&args[2], folder).expect("a stack");
    let (tensor, micro_batch) =
        (args[3].parse().expect("a count"), args[4].parse().expect("a count"));
    let boundary = if args.len() > 5 { Layout::Sequence } else { Layout::Replicated };
    let job = Job::new(model, cluster, stack).expect("a job");
    let context = job.workload.shard_context(tensor, 1, micro_batch);
    let prices = job.block_prices(tensor, 1);
    for kind in [BlockKind::Embedding, BlockKind::Layer, BlockKind::Head] {
        let block = job.workload.block(kind);
        let names = megatron_strategies(&job.workload.graph, block, &context, boundary)
            .expect("strategies");
        let program = instructions(&job.workload.graph, block, &context, boundary, &names)
            .expect("a program");
        for (pass, list) in [("forward", &program.forward), ("backward", &program.backward)] {
            let mut total = 0.0;
            for instruction in list {
                let (op, what, time) = match instruction {
                    Instruction::Compute { op, kernel } => {
                        (op, format!("{kernel:?}"), prices.kernel(kernel))
                    }
                    Instruction::Communicate { op, collective, bytes, group, overlap } => (
                        op,
                        format!("{collective:?} {bytes} {group:?} {overlap:?}"),
                        prices.collective(*collective, *bytes, (*group).into()),
                    ),
                };
                let micros = time.seconds().get() * 1e6;
                total += micros;
                let name = &job.workload.graph.dag[block.ops[*op]].name;
                let short: String = what.chars().take(150).collect();
                println!("{micros:9.1} us  {name:16} {short}");
            }
            println!("{total:9.1} us  {kind:?} {pass} in all, {} launches", list.len());
        }
    }
}
