use super::*;
use crate::graph::BlockKind;
use crate::lower::{Action, Pass, Program, Step};
use crate::plan::{Batch, OptimizerSharding, Parallelism, Plan};
use crate::sharding::Instruction;
use crate::spec::{self, Cluster, LoraSpec, LoraTarget, ScheduleKind};
use std::collections::BTreeMap;
use std::path::Path;

fn job(model: &str) -> Job {
    job_with(model, None)
}

fn job_with(model: &str, lora: Option<LoraSpec>) -> Job {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut model, _) = spec::load_model(model, folder).unwrap();
    model.training.lora = lora;
    model.training.global_batch_size = 64;
    let (cluster, _) = Cluster::load("a100x64", folder).unwrap();
    let (stack, _) = spec::load_stack("lmplan", folder).unwrap();
    Job::new(model, cluster, stack).unwrap()
}

fn plan(t: u64, p: u64, d: u64, v: u64, sequence_parallel: bool) -> Plan {
    Plan {
        model: String::new(),
        cluster: String::new(),
        stack: String::new(),
        parallelism: Parallelism {
            tensor: t,
            pipeline: p,
            data: d,
            context: 1,
            expert: 1,
            virtual_stages: v,
            sequence_parallel,
        },
        batch: Batch { global: 64, micro: 2 },
        lora: None,
        schedule: if v > 1 { ScheduleKind::Interleaved } else { ScheduleKind::OneFOneB },
        optimizer_sharding: OptimizerSharding::Zero1,
        stages: Vec::new(),
        operators: BTreeMap::new(),
    }
}

const SHAPES: [(u64, u64, u64, u64, bool); 5] = [
    (1, 1, 1, 1, false),
    (2, 2, 2, 1, false),
    (4, 2, 1, 2, true),
    (2, 4, 2, 2, true),
    (8, 1, 4, 1, true),
];

#[test]
fn parameters_are_those_that_are_priced() {
    let but_gate = |t: &LoraTarget| *t != LoraTarget::Gate;
    let targets = LoraTarget::ALL.into_iter().filter(but_gate).collect();
    let lora = LoraSpec { rank: 8, targets };
    let models = ["gpt2-355m", "bert-large", "llama2-7b"];
    for (model, lora) in models.into_iter().flat_map(|m| [(m, None), (m, Some(lora.clone()))]) {
        let job = job_with(model, lora);
        for (t, p, d, v, sequence) in SHAPES {
            let choice = match Choice::of_plan(&job, &plan(t, p, d, v, sequence)) {
                Ok(choice) => choice,
                Err(error) => panic!("{model} {t} {p} {d} {v}: {error}"),
            };
            let program = choice.mapping.program(&job.workload, 0).unwrap();
            for (block, option) in
                program.blocks.iter().zip([&choice.embedding, &choice.layer, &choice.head])
            {
                let all = block.operators.iter().flat_map(|operator| operator.parameters(t));
                let (mut held, mut reduced, mut tied) = (0, 0, 0);
                let trained = block.operators.iter().map(|operator| &operator.op.trained);
                let frozen = trained.filter(|trained| trained.is_frozen()).count();
                assert_eq!(option.frozen_parameters > 0, frozen > 0, "{model} {:?}", block.kind);
                for parameter in all {
                    let elements = parameter.local_elements();
                    held += elements;
                    reduced += if parameter.reduced { elements } else { 0 };
                    tied += if parameter.tied { elements } else { 0 };
                }
                let priced =
                    (option.parameters, option.tensor_reduced_parameters, option.tied_parameters);
                assert_eq!((held, reduced, tied), priced, "{model} t{t} {:?}", block.kind);
            }
        }
    }
}

#[test]
fn every_layer_is_placed_once() {
    let job = job("gpt2-355m");
    for (t, p, d, v, sequence) in SHAPES {
        let choice = Choice::of_plan(&job, &plan(t, p, d, v, sequence)).unwrap();
        let programs: Vec<_> =
            (0..p).map(|q| choice.mapping.program(&job.workload, q).unwrap()).collect();
        let mut order = Vec::new();
        for chunk in 0..v as usize {
            order.extend(programs.iter().flat_map(|program| program.chunks[chunk].clone()));
        }
        assert_eq!(order.first().unwrap().kind, BlockKind::Embedding);
        assert_eq!(order.last().unwrap().kind, BlockKind::Head);
        let layers: Vec<u64> =
            order.iter().filter(|b| b.kind == BlockKind::Layer).map(|b| b.layer).collect();
        assert_eq!(layers, (0..job.workload.model.num_layers).collect::<Vec<_>>());
    }
}

/// Messages as (pass, virtual stage that takes it, micro-batch).
fn messages(program: &Program, sent: bool) -> Vec<(bool, u64, u32, u64, u64)> {
    let p = program.pipeline.stages;
    let at = |step: &Step| u64::from(step.chunk) * p + program.stage;
    let message = |action: &Action| match action {
        Action::Send { step, to } if sent => {
            let is_backward = step.pass == Pass::Backward;
            let taker = if is_backward { at(step) - 1 } else { at(step) + 1 };
            Some((step.pass == Pass::Backward, taker, step.micro_batch, program.stage, *to))
        }
        Action::Receive { step, from } if !sent => {
            Some((step.pass == Pass::Backward, at(step), step.micro_batch, *from, program.stage))
        }
        _ => None,
    };
    program.actions.iter().filter_map(message).collect()
}

#[test]
fn everything_sent_is_received() {
    let job = job("gpt2-355m");
    for (t, p, d, v, sequence) in SHAPES {
        let choice = Choice::of_plan(&job, &plan(t, p, d, v, sequence)).unwrap();
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        for q in 0..p {
            let program = choice.mapping.program(&job.workload, q).unwrap();
            sent.extend(messages(&program, true));
            received.extend(messages(&program, false));
        }
        sent.sort_unstable();
        received.sort_unstable();
        assert_eq!(sent, received);
        let m = choice.mapping.candidate.micro_batches;
        assert_eq!(sent.len() as u64, 2 * m * (p * v - 1));
    }
}

#[test]
fn communication_is_part_of_the_code() {
    let job = job("gpt2-355m");
    let choice = Choice::of_plan(&job, &plan(4, 1, 1, 1, true)).unwrap();
    let code = &choice.mapping.program(&job.workload, 0).unwrap().blocks[1];
    let collectives = |list: &[Instruction]| {
        list.iter().filter(|i| matches!(i, Instruction::Communicate { .. })).count()
    };
    // Korthikanti et al. 2022, figure 5: two gathers and two scatters forward; backward the same,
    // and the inputs of the two column layers are gathered again.
    assert_eq!(collectives(&code.forward()), 4);
    assert_eq!(collectives(&code.backward()), 6);
}
