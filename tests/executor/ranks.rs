//! Several ranks, each a thread, against one device, in 64 bits: what differs is not rounding.

use crate::common::{SHAPES, assert_equal, choice, job, model, plan, run_here, task};
use lmplan::executor::verify::numerics::{self, NumericsLimits};
use lmplan::plan::{Batch, Plan, Strategy};
use lmplan::planner::predict::choice::Choice;
use lmplan::spec::{
    Activation, ModelSpec, Optimizer, ParallelBranches, Position, Precision, ScheduleKind,
};
use std::collections::BTreeMap;

#[test]
fn gpt_on_every_topology() {
    for shape in SHAPES {
        assert_equal(&task(model("gpt2-124m", 4), plan(shape, 4), true), &format!("{shape:?}"));
    }
}

#[test]
fn bert_on_every_topology() {
    for shape in SHAPES {
        let fused = shape.6 != 1;
        assert_equal(&task(model("bert-base", 4), plan(shape, 4), fused), &format!("{shape:?}"));
    }
}

#[test]
fn llama_and_gpipe() {
    for shape in [SHAPES[7], SHAPES[8]] {
        let mut plan = plan(shape, 4);
        plan.schedule = ScheduleKind::Gpipe;
        assert_equal(&task(model("llama2-70b", 4), plan, true), &format!("{shape:?}"));
    }
}

#[test]
fn branches_beside_each_other_on_every_topology() {
    for (shape, branches) in SHAPES
        .into_iter()
        .zip([ParallelBranches::OneNorm, ParallelBranches::TwoNorms].into_iter().cycle())
    {
        let mut model = model("gpt2-124m", 4);
        model.parallel_branches = Some(branches);
        model.position = Some(Position::Rope);
        assert_equal(&task(model, plan(shape, 4), true), &format!("{branches:?} {shape:?}"));
    }
}

#[test]
fn each_rank_has_the_slopes_of_its_heads() {
    for shape in SHAPES {
        let mut model = model("gpt2-124m", 4);
        model.position = Some(Position::Alibi);
        let fused = shape.6 != 1;
        assert_equal(&task(model, plan(shape, 4), fused), &format!("{shape:?}"));
    }
}

#[test]
fn vocabularies_that_do_not_divide_are_made_up() {
    let mut model = model("gpt2-124m", 2);
    model.vocab_size = 257;
    for shape in [SHAPES[0], SHAPES[1]] {
        assert_equal(&task(model.clone(), plan(shape, 2), true), &format!("{shape:?}"));
    }
}

#[test]
fn lamb_and_sgd_agree_over_ranks() {
    for optimizer in [Optimizer::Lamb, Optimizer::Sgd] {
        let mut model = model("bert-base", 2);
        model.training.optimizer = optimizer;
        assert_equal(&task(model, plan((2, 1, 2, 1, true, 1, 0), 2), true), "optimizer");
    }
}

#[test]
fn precisions_agree_within_their_rounding() {
    for precision in [Precision::Fp32, Precision::Bf16Mixed, Precision::Fp16Mixed] {
        let mut model = model("gpt2-124m", 2);
        model.training.precision = precision;
        let mut task = task(model, plan((2, 2, 1, 1, true, 0, 0), 2), true);
        task.double = false;
        assert_equal(&task, &format!("{precision:?}"));
    }
}

#[test]
fn a_relu_near_zero_may_be_on_either_side() {
    for seed in 0..8 {
        let mut model = model("opt-125m", 2);
        assert_eq!(model.activation_kind(), Activation::Relu);
        // Many inputs, so that some are near zero.
        (model.ffn_hidden_size, model.training.global_batch_size) = (Some(512), 16);
        let mut task = task(model, plan((2, 1, 1, 1, true, 0, 0), 2), true);
        task.plan.batch = Batch { global: 16, micro: 8 };
        (task.double, task.seed) = (false, seed);
        assert_equal(&task, &format!("seed {seed}"));
    }
}

#[test]
fn products_in_fp8_are_run_in_bf16() {
    let mut model = model("gpt2-124m", 2);
    model.training.precision = Precision::Fp8;
    let plan = plan((2, 1, 1, 1, false, 0, 0), 2);
    let job = job(model, true);
    let limits = NumericsLimits { ranks: 2, steps: 1, cuda: false };
    let (task, _) = numerics::task(
        &job.workload.model,
        &job.workload.stack,
        &plan,
        &choice(&job, &plan).mapping,
        limits,
    );
    let found = run_here(&task).unwrap();
    assert!(found.passed(), "{found:?}");
    let found = found.in_16_bits.unwrap();
    assert_eq!((found.precision, found.instead_of), ("bf16-mixed", Some("fp8")));
}

/// A random generator for choices (Steele et al. 2014).
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 31)) as usize >> 8
}

/// Strategies that each operator is offered, by block.
fn offered(model: &ModelSpec, plan: &Plan) -> BTreeMap<String, BTreeMap<String, Vec<Strategy>>> {
    let job = job(model.clone(), true);
    let blocks = [
        ("embedding", lmplan::graph::BlockKind::Embedding),
        ("layer", lmplan::graph::BlockKind::Layer),
        ("head", lmplan::graph::BlockKind::Head),
    ];
    let mut all = BTreeMap::new();
    for (block, kind) in blocks {
        let mut operators = BTreeMap::new();
        for node in &job.workload.block(kind).ops {
            let name = job.workload.graph.dag[*node].name.clone();
            let takes = |strategy: &Strategy| {
                let mut plan = plan.clone();
                let one = BTreeMap::from([(name.clone(), *strategy)]);
                plan.operators.insert(block.to_owned(), one);
                Choice::of_plan(&job, &plan).is_ok()
            };
            operators.insert(name.clone(), Strategy::ALL.into_iter().filter(takes).collect());
        }
        all.insert(block.to_owned(), operators);
    }
    all
}

#[test]
fn every_strategy_computes_the_same() {
    let mut state = 7;
    for (name, sequence) in
        [("gpt2-124m", false), ("bert-base", true), ("llama2-70b", true), ("bert-base", false)]
    {
        let mut model = model(name, 2);
        model.vocab_size = 256;
        let base = plan((2, 1, 1, 1, sequence, 0, 0), 2);
        let offered = offered(&model, &base);
        // Enough draws to see each strategy of each operator.
        for draw in 0..4 {
            let mut plan = base.clone();
            for (block, operators) in &offered {
                let pick = |(operator, strategies): (&String, &Vec<Strategy>)| {
                    let index = (next(&mut state) + draw) % strategies.len();
                    (operator.clone(), strategies[index])
                };
                plan.operators.insert(block.clone(), operators.iter().map(pick).collect());
            }
            // The table is split alike at both of its places, or not at all.
            let split = next(&mut state).is_multiple_of(2);
            let table = if split { Strategy::Vocabulary } else { Strategy::Replicated };
            let head = if split { Strategy::Column } else { Strategy::Replicated };
            if let Some(embedding) = plan.operators.get_mut("embedding") {
                embedding.insert("token".to_owned(), table);
            }
            if let Some(operators) = plan.operators.get_mut("head") {
                for decoder in ["lm_head", "mlm.decoder"] {
                    if operators.contains_key(decoder) {
                        operators.insert(decoder.to_owned(), head);
                    }
                }
            }
            let what = format!("{name} {:?}", plan.operators);
            assert_equal(&task(model.clone(), plan, true), &what);
        }
    }
}
