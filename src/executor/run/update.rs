//! What follows the backward passes: gradients reduced and measured, parameters updated.

use super::rank::Rank;
use super::record::Beside;
use super::state::{BlockState, Range};
use crate::executor::error::{ExecutorError, Result};
use crate::plan::OptimizerSharding;
use crate::spec::Optimizer;
use lmplan_c10d::Adam;
use tch::{Device, Kind, Tensor};

/// Gradients are scaled down to this norm.
const CLIP: f64 = 1.0;

/// Constants of the update, those of GPT-3 (Brown et al. 2020, table 2.1 and appendix B) but for the
/// decay. The rate is BERT's (Devlin et al. 2019), and within those of GPT-3.
pub(crate) const ADAM: Adam = Adam { rate: 1e-4, betas: (0.9, 0.95), decay: 0.0, epsilon: 1e-8 };

/// Added to the denominator of LAMB's update (NVIDIA/apex, `FusedLAMB`).
const LAMB_EPSILON: f64 = 1e-6;

/// Sums over the tensor-parallel ranks what each saw a part of, in one message.
pub(crate) fn reduce_over_tensor(rank: &mut Rank) -> Result<()> {
    let mut views: Vec<Tensor> = Vec::new();
    for state in rank.blocks.iter().flatten() {
        let reduced = state.flat.ranges.iter().filter(|range| range.parameter.reduced);
        for (begin, _, length) in reduced.filter_map(|range| state.overlap(range)) {
            views.push(state.gradients.narrow(0, begin, length));
        }
    }
    if views.is_empty() {
        return Ok(());
    }
    rank.recorder.beside(Beside::ReduceOverTensor, || {
        let sum = rank.env.tensor.all_reduce(&Tensor::cat(&views, 0), false)?;
        let lengths: Vec<i64> = views.iter().map(|view| view.size()[0]).collect();
        for (view, part) in views.iter_mut().zip(sum.split_with_sizes(lengths, 0)) {
            view.copy_(&part);
        }
        Ok(())
    })
}

/// The token embedding's table in this rank's blocks: the embedding's own, and the head's.
fn tables(rank: &Rank) -> Vec<(&BlockState, &Range)> {
    let mut found = Vec::new();
    for state in rank.blocks.iter().flatten() {
        let tables = state.flat.ranges.iter().filter(|range| range.is_table);
        found.extend(tables.map(|range| (state, range)));
    }
    found
}

/// Sums the gradients of the token embedding's table over the places where it is held.
pub(crate) fn sum_tied(rank: &mut Rank) -> Result<()> {
    if !rank.program.tables_agree(false) {
        let what = "a token embedding and a head that share a table and split it differently";
        return Err(ExecutorError::Unsupported(what.to_owned()));
    }
    let tables = tables(rank);
    let Some((_, first)) = tables.first() else { return Ok(()) };
    if tables.len() == 1 && rank.groups.tied.size() == 1 {
        return Ok(());
    }
    let length = first.length;
    rank.recorder.beside(Beside::SumTied, || {
        // Each place contributes what it holds; the rest is zero there.
        let sum = Tensor::zeros([length], (rank.env.wide, rank.env.device));
        for (state, range) in &tables {
            if let Some((begin, at, count)) = state.overlap(range) {
                let _ = sum.narrow(0, at, count).g_add_(&state.gradients.narrow(0, begin, count));
            }
        }
        let sum = rank.groups.tied.all_reduce(&sum, false)?;
        for (state, range) in &tables {
            if let Some((begin, at, count)) = state.overlap(range) {
                state.gradients.narrow(0, begin, count).copy_(&sum.narrow(0, at, count));
            }
        }
        Ok(())
    })
}

/// Sums the gradients of a chunk over the replicas, block by block as they were made. Where
/// gradients are split that has been done in every backward pass.
pub(crate) fn reduce_over_data(rank: &mut Rank, chunk: u32) -> Result<()> {
    if rank.program.sharding >= OptimizerSharding::Zero2 {
        return Ok(());
    }
    let (recorder, data) = (&rank.recorder, &rank.groups.data);
    for state in rank.blocks[chunk as usize].iter_mut().rev() {
        let (first, length) = state.part;
        recorder.beside(Beside::ReduceOverData, || -> Result<()> {
            if length == state.flat.elements {
                state.gradients = data.all_reduce(&state.gradients, false)?;
            } else {
                let part = data.reduce_scatter_within(state.gradients.shallow_clone())?;
                if part.data_ptr() != state.gradients.narrow(0, first, length).data_ptr() {
                    state.gradients.narrow(0, first, length).copy_(&part);
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The gradients that this rank's optimizer applies.
pub(crate) fn own_gradients(state: &BlockState) -> Tensor {
    let (first, length) = state.part;
    if state.gradients.size()[0] == length {
        state.gradients.shallow_clone()
    } else {
        state.gradients.narrow(0, first, length)
    }
}

/// A dot product counts its elements in 32 bits (cuBLAS).
const LONGEST_DOT: i64 = 1 << 30;

/// Sum of the squares of a vector's elements, of one number in double precision.
fn square(vector: &Tensor) -> Tensor {
    let square = |part: &Tensor| part.dot(part).to_kind(Kind::Double);
    let parts = vector.split(LONGEST_DOT, 0);
    match parts.as_slice() {
        [first, rest @ ..] => rest.iter().fold(square(first), |sum, part| sum + square(part)),
        [] => square(vector),
    }
}

/// Elements that are made double precision at a time.
const PIECE: i64 = 1 << 18;

/// As [`square`], added up in double precision: as good as the same however the vector is split over
/// ranks and wherever it begins.
fn square_in_double(vector: &Tensor) -> Tensor {
    let zero = Tensor::zeros([], (Kind::Double, vector.device()));
    vector.split(PIECE, 0).iter().fold(zero, |sum, part| sum + square(&part.to_kind(Kind::Double)))
}

/// Sum of squares of the gradients that no other rank counts.
fn square_sum(rank: &Rank, state: &BlockState) -> Tensor {
    let own = own_gradients(state);
    let zero = || Tensor::zeros([], (Kind::Double, rank.env.device));
    let is_split = state.part.1 < state.flat.elements;
    if !is_split && rank.seat.data > 0 {
        return zero();
    }
    let counts = |range: &Range| {
        let seen_once = range.parameter.split.is_some() || rank.seat.tensor == 0;
        seen_once && !range.parameter.tied
    };
    if state.flat.ranges.iter().all(counts) {
        return square(&own);
    }
    let (first, length) = state.part;
    let mut sum = zero();
    for range in state.flat.ranges.iter().filter(|range| counts(range)) {
        let begin = range.start.max(first);
        let end = (range.start + range.length).min(first + length);
        if begin < end {
            sum += square(&own.narrow(0, begin - first, end - begin));
        }
    }
    sum
}

/// Norm of all gradients, each parameter counted once.
pub(crate) fn gradient_norm(rank: &mut Rank) -> Result<f64> {
    rank.recorder.beside(Beside::GradientNorm, || {
        let zero = Tensor::zeros([], (Kind::Double, rank.env.device));
        let sums = rank.blocks.iter().flatten().map(|state| square_sum(rank, state));
        let sum = sums.fold(zero, |sum, part| sum + part).reshape([1]);
        let sum = rank.groups.world.all_reduce(&sum, false)?;
        Ok(sum.double_value(&[0]).sqrt() / rank.env.loss_scale)
    })
}

/// Updates this rank's part of the parameters.
pub(crate) fn optimizer(rank: &mut Rank, step: u64, norm: f64) -> Result<()> {
    let clip = (CLIP / (norm + 1e-6)).min(1.0);
    let scale = rank.env.loss_scale / clip;
    rank.recorder.beside(Beside::Optimizer, || -> Result<()> {
        for state in rank.blocks.iter().flatten() {
            let own = own_gradients(state);
            let gradients = if rank.env.keeps_gradients { own.copy() } else { own };
            match rank.optimizer {
                Optimizer::Adam => lmplan_c10d::adam(
                    &state.master,
                    &gradients,
                    &state.moments,
                    step,
                    scale,
                    &ADAM,
                )?,
                Optimizer::Sgd => momentum(state, &gradients, scale),
                Optimizer::Lamb => lamb(rank, state, &gradients, step, scale)?,
            }
            publish(state);
        }
        Ok(())
    })
}

/// Momentum of 0.9, in place.
fn momentum(state: &BlockState, gradients: &Tensor, scale: f64) {
    let [velocity, _] = &state.moments;
    let mut velocity = velocity.shallow_clone();
    velocity.copy_(&(&velocity * 0.9 + gradients / scale));
    let _ = state.master.shallow_clone().g_sub_(&(velocity * ADAM.rate));
}

/// Adam's update, scaled for each parameter by the norm of its weights over that of its update (You
/// et al. 2020, algorithm 2).
fn lamb(rank: &Rank, state: &BlockState, gradients: &Tensor, step: u64, scale: f64) -> Result<()> {
    let update =
        lmplan_c10d::lamb_update(gradients, &state.moments, step, scale, ADAM.betas, LAMB_EPSILON)?;
    let (begin, length) = state.part;
    let overlap = |range: &Range| {
        let from = range.start.max(begin);
        let end = (range.start + range.length).min(begin + length);
        (from < end).then(|| (from - begin, end - from))
    };
    // Squares of both norms; whole parameters count on one tensor-parallel rank.
    let options = (Kind::Double, rank.env.device);
    let squares = Tensor::zeros([state.flat.ranges.len() as i64, 2], options);
    for (index, range) in state.flat.ranges.iter().enumerate() {
        let counts = range.parameter.split.is_some() || rank.seat.tensor == 0;
        // Copies of the table are split elsewhere each, and must stay the same to the last digit.
        let square = if range.is_table { square_in_double } else { square };
        if let (Some((from, count)), true) = (overlap(range), counts) {
            for (column, tensor) in [&state.master, &update].into_iter().enumerate() {
                let part = tensor.narrow(0, from, count);
                let mut cell = squares.narrow(0, index as i64, 1).select(1, column as i64);
                cell.copy_(&square(&part).reshape([1]));
            }
        }
    }
    let mut squares = rank.env.tensor.all_reduce(&squares, false)?;
    if length < state.flat.elements {
        squares = rank.groups.data.all_reduce(&squares, false)?;
    }
    // Read at once: each look at a number of a GPU would wait for it.
    let squares = squares.to_device(Device::Cpu);
    for (index, range) in state.flat.ranges.iter().enumerate() {
        let Some((from, count)) = overlap(range) else { continue };
        let norm = |column| squares.double_value(&[index as i64, column]).sqrt();
        let (weights, updates) = (norm(0), norm(1));
        let ratio = if weights > 0.0 && updates > 0.0 { weights / updates } else { 1.0 };
        let change = update.narrow(0, from, count).g_mul_scalar_(ADAM.rate * ratio);
        let _ = state.master.narrow(0, from, count).g_sub_(&change);
    }
    Ok(())
}

/// Copies updated parameters to where the model reads them, in its own type.
fn publish(state: &BlockState) {
    let (first, length) = state.part;
    if let Some(own) = &state.own_weights {
        if own.kind() != state.master.kind() {
            own.shallow_clone().copy_(&state.master);
        }
    } else if let Some(weights) = &state.weights
        && weights.kind() != state.master.kind()
    {
        weights.narrow(0, first, length).copy_(&state.master);
    }
}

/// Collects the updated parts of all parameters.
pub(crate) fn gather_parameters(rank: &mut Rank) -> Result<()> {
    rank.recorder.beside(Beside::GatherParameters, || -> Result<()> {
        for state in rank.blocks.iter().flatten() {
            if let Some(weights) = &state.weights {
                let (first, length) = state.part;
                let all = rank.groups.data.all_gather(&weights.narrow(0, first, length))?;
                weights.shallow_clone().copy_(&all);
            }
        }
        Ok(())
    })
}

/// All gradients of a block on this rank, unscaled, collected from the replicas where they are
/// split. A collective of the replicas.
pub(crate) fn whole_gradients(rank: &Rank, state: &BlockState) -> Result<Tensor> {
    let whole = if state.part.1 == state.flat.elements {
        state.gradients.shallow_clone()
    } else {
        rank.groups.data.all_gather(&own_gradients(state))?
    };
    Ok(whole / rank.env.loss_scale)
}
