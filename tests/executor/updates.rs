//! The update of every optimizer against its formulas, on one device in 64 bits.

use crate::common::{SHAPES, assert_equal, choice, job, model, plan, single, small, task};
use lmplan::executor::run::rank::Rank;
use lmplan::executor::run::setup::{self, RunOptions};
use lmplan::executor::run::state::BlockState;
use lmplan::spec::Optimizer;
use tch::{Kind, Tensor};

const RATE: f64 = 1e-4;

fn rank(optimizer: Optimizer) -> Rank {
    let mut model = small("gpt2-124m");
    model.training.optimizer = optimizer;
    let job = job(model, true);
    let choice = choice(&job, &single(4, 2));
    setup::alone(&job.workload, &choice.mapping, &RunOptions::comparable(1, true)).unwrap()
}

fn norm(tensor: &Tensor) -> f64 {
    tensor.square().sum(Kind::Double).double_value(&[]).sqrt()
}

/// Parameters after a step, by the papers' formulas; moments are brought up to date.
fn expected(
    optimizer: Optimizer,
    state: &BlockState,
    (before, moments): (&Tensor, &mut [Tensor; 2]),
    (clip, step): (f64, i32),
) -> Tensor {
    let gradient = &state.gradients * clip;
    let [first, second] = moments;
    if optimizer == Optimizer::Sgd {
        *first = &*first * 0.9 + gradient;
        return before - &*first * RATE;
    }
    *first = &*first * 0.9 + &gradient * 0.1;
    *second = &*second * 0.95 + gradient.square() * 0.05;
    let first = &*first / (1.0 - 0.9f64.powi(step));
    let second = &*second / (1.0 - 0.95f64.powi(step));
    if optimizer == Optimizer::Adam {
        return before - first / (second.sqrt() + 1e-8) * RATE;
    }
    let update = first / (second.sqrt() + 1e-6);
    let after = before.copy();
    for range in &state.flat.ranges {
        let part = |flat: &Tensor| flat.narrow(0, range.start, range.length);
        let (weights, update) = (part(before), part(&update));
        let ratio = norm(&weights) / norm(&update);
        let _ = part(&after).g_sub_(&(update * (RATE * ratio)));
    }
    after
}

#[test]
fn updates_follow_their_formulas() {
    for optimizer in [Optimizer::Adam, Optimizer::Lamb, Optimizer::Sgd] {
        let mut rank = rank(optimizer);
        let masters = |rank: &Rank| -> Vec<Tensor> {
            rank.blocks.iter().flatten().map(|state| state.master.copy()).collect()
        };
        let mut moments: Vec<[Tensor; 2]> =
            masters(&rank).iter().map(|all| [all.zeros_like(), all.zeros_like()]).collect();
        let mut clipped = 0;
        for step in 1..=3 {
            let before = masters(&rank);
            let iteration = rank.iteration().unwrap();
            let squares = rank.blocks.iter().flatten().map(|state| norm(&state.gradients).powi(2));
            let all = squares.sum::<f64>().sqrt();
            assert!((iteration.gradient_norm / all - 1.0).abs() < 1e-12, "{optimizer:?}");
            // Gradients are scaled down to a norm of one.
            let clip = (1.0 / (all + 1e-6)).min(1.0);
            clipped += usize::from(clip < 0.99);
            for (index, state) in rank.blocks.iter().flatten().enumerate() {
                let of = (&before[index], &mut moments[index]);
                let new = expected(optimizer, state, of, (clip, step));
                let change = (&new - &before[index]).abs().max().double_value(&[]);
                let error = (&state.master - new).abs().max().double_value(&[]);
                assert!(change > 0.0 && error < 1e-7 * change, "{optimizer:?} {step}: {error:e}");
            }
        }
        assert!(clipped > 0, "{optimizer:?}: no gradient was scaled down");
    }
}

/// Where states are split, the table's two copies are split at different places, and norms of it and
/// of its update are summed in another order for each; what the head multiplies by is held against
/// the embedding's copy, to the last digit.
#[test]
fn copies_of_a_shared_table_stay_the_same() {
    for shape in [SHAPES[5], SHAPES[6], SHAPES[8], SHAPES[11]] {
        let mut model = model("gpt2-124m", 2);
        model.training.optimizer = Optimizer::Lamb;
        let mut task = task(model, plan(shape, 2), true);
        task.double = false;
        for seed in 0..3 {
            task.seed = seed;
            assert_equal(&task, &format!("{shape:?}, seed {seed}"));
        }
    }
}
