//! Values of the whole model, unsharded, put together from what the ranks hold.

use crate::executor::error::{ExecutorError, Result};
use crate::executor::run::rank::Rank;
use crate::executor::run::state::{BlockState, Range, TABLE};
use crate::executor::run::update::own_gradients;
use crate::graph::BlockKind;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// What names a parameter: block, layer, operator, name within it.
pub(crate) type Key = (BlockKind, u64, String, &'static str);

/// What names a parameter; a shared table is the token embedding's.
pub(crate) fn key_of(state: &BlockState, range: &Range) -> Key {
    if range.is_table {
        return (BlockKind::Embedding, 0, TABLE.to_owned(), "weight");
    }
    let placed = state.placed;
    (placed.kind, placed.layer, range.operator_name.clone(), range.parameter.name)
}

/// How a parameter is written.
pub(crate) fn name_of((block, layer, operator, name): &Key) -> String {
    format!("{block:?} {layer}: {operator}.{name}")
}

/// Where each parameter stands in a vector of the whole model.
#[derive(Debug)]
pub(crate) struct Layout {
    places: BTreeMap<Key, (i64, Vec<i64>)>,
    elements: i64,
}

/// A vector of the whole model, in 64 bits.
pub(crate) type Whole = Tensor;

/// What the ranks hold after a step.
#[derive(Debug)]
pub(crate) struct Held {
    /// Parameters, as the optimizer keeps them.
    pub(crate) master: Whole,
    /// Both moments.
    pub(crate) moments: [Whole; 2],
    /// Gradients, reduced.
    pub(crate) gradients: Whole,
    /// All that was added to gradients on any rank, summed in 64 bits.
    pub(crate) sums: Whole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Master,
    Moment(usize),
    Gradients,
    Sums,
}

impl Layout {
    /// The layout of one device's parameters.
    pub(crate) fn of(one: &Rank) -> Layout {
        let (mut places, mut elements) = (BTreeMap::new(), 0);
        for state in one.blocks.iter().flatten() {
            for range in &state.flat.ranges {
                let shape: Vec<i64> =
                    range.parameter.shape.iter().map(|side| *side as i64).collect();
                let length: i64 = shape.iter().product();
                places.entry(key_of(state, range)).or_insert_with(|| {
                    elements += length;
                    (elements - length, shape)
                });
            }
        }
        Layout { places, elements }
    }

    /// All parameters, with their part of a vector of the whole model.
    pub(crate) fn each<'a>(&'a self, whole: &'a Whole) -> impl Iterator<Item = (&'a Key, Tensor)> {
        self.places
            .iter()
            .map(|(key, (start, shape))| (key, whole.narrow(0, *start, shape.iter().product())))
    }

    /// A parameter, of its own shape, as a view.
    fn view(&self, whole: &Whole, key: &Key) -> Result<Tensor> {
        let (start, shape) = self.places.get(key).ok_or_else(|| {
            ExecutorError::Program(format!("{} has no counterpart", name_of(key)))
        })?;
        Ok(whole.narrow(0, *start, shape.iter().product()).view(shape.as_slice()))
    }

    /// A rank's part of a parameter, \[elements\].
    pub(crate) fn part(
        &self,
        whole: &Whole,
        rank: &Rank,
        (state, range): (&BlockState, &Range),
    ) -> Result<Tensor> {
        let all = self.view(whole, &key_of(state, range))?;
        Ok(range.part(&all, rank.seat.tensor as i64).reshape([-1]))
    }

    /// A rank's part of a block's parameters, as its flat buffer holds them.
    fn flat(&self, whole: &Whole, rank: &Rank, state: &BlockState) -> Result<Tensor> {
        let flat = Tensor::zeros([state.flat.elements], (Kind::Double, Device::Cpu));
        for range in &state.flat.ranges {
            let part = self.part(whole, rank, (state, range))?;
            flat.narrow(0, range.start, range.length).copy_(&part);
        }
        Ok(flat)
    }

    /// Has a rank start from these parameters and, where they are given, moments.
    pub(crate) fn adopt(
        &self,
        rank: &Rank,
        master: &Whole,
        moments: Option<&[Whole; 2]>,
    ) -> Result<()> {
        for state in rank.blocks.iter().flatten() {
            let (first, length) = state.part;
            let all = self.flat(master, rank, state)?;
            let own = all.narrow(0, first, length);
            state.master.shallow_clone().copy_(&own);
            if let Some(weights) = &state.weights {
                weights.shallow_clone().copy_(&all);
            }
            if let Some(weights) = &state.own_weights {
                weights.shallow_clone().copy_(&own);
            }
            for (moment, value) in state.moments.iter().zip(moments.into_iter().flatten()) {
                let all = self.flat(value, rank, state)?;
                moment.shallow_clone().copy_(&all.narrow(0, first, length));
            }
        }
        Ok(())
    }

    /// Gives one device these gradients.
    pub(crate) fn give_gradients(&self, one: &Rank, gradients: &Whole) -> Result<()> {
        for state in one.blocks.iter().flatten() {
            state.gradients.shallow_clone().copy_(&self.flat(gradients, one, state)?);
        }
        Ok(())
    }

    /// What all ranks hold. A collective of all ranks.
    pub(crate) fn gather(&self, rank: &Rank) -> Result<Held> {
        let all = [What::Master, What::Moment(0), What::Moment(1), What::Gradients, What::Sums];
        let own = all.iter().map(|what| self.own(rank, *what)).collect::<Result<Vec<_>>>()?;
        // Each element comes from one rank; sums are sums.
        let whole = rank.groups.world.all_reduce(&Tensor::stack(&own, 0), false)?;
        let row = |index: i64| whole.select(0, index);
        Ok(Held { master: row(0), moments: [row(1), row(2)], gradients: row(3), sums: row(4) })
    }

    /// The gradients of one device.
    pub(crate) fn gradients(&self, one: &Rank) -> Result<Whole> {
        self.own(one, What::Gradients)
    }

    /// Parameters and moments of one device.
    pub(crate) fn states(&self, one: &Rank) -> Result<[Whole; 3]> {
        let own = |what| self.own(one, what);
        Ok([own(What::Master)?, own(What::Moment(0))?, own(What::Moment(1))?])
    }

    /// This rank's contribution to a vector of the whole model; zero elsewhere.
    fn own(&self, rank: &Rank, what: What) -> Result<Whole> {
        let whole = Tensor::zeros([self.elements], (Kind::Double, Device::Cpu));
        for state in rank.blocks.iter().flatten() {
            let (first, held) = held(rank, state, what);
            let end = first + held.size()[0];
            for range in state.flat.ranges.iter().filter(|range| gives(rank, state, range, what)) {
                let begin = range.start.max(first);
                let count = (range.start + range.length).min(end) - begin;
                if count <= 0 {
                    continue;
                }
                let own = Tensor::zeros([range.length], (Kind::Double, Device::Cpu));
                own.narrow(0, begin - range.start, count).copy_(&held.narrow(
                    0,
                    begin - first,
                    count,
                ));
                let own = own.view(range.shape().as_slice());
                let target = self.view(&whole, &key_of(state, range))?;
                add(&target, &own, range, rank.seat.tensor as i64);
            }
        }
        Ok(whole)
    }
}

/// Values that a rank holds of a block: the first element, and all of them.
fn held(rank: &Rank, state: &BlockState, what: What) -> (i64, Tensor) {
    let unscaled = |tensor: &Tensor| tensor.to_kind(Kind::Double) / rank.env.loss_scale;
    match (what, &state.sums) {
        (What::Master, _) => (state.part.0, state.master.shallow_clone()),
        (What::Moment(index), _) => (state.part.0, state.moments[index].shallow_clone()),
        (What::Sums, Some(sums)) => (0, unscaled(sums)),
        (What::Gradients | What::Sums, _) => (state.part.0, unscaled(&own_gradients(state))),
    }
}

/// Whether what a rank holds of a parameter counts: every element once, and every term of a sum.
fn gives(rank: &Rank, state: &BlockState, range: &Range, what: What) -> bool {
    let (parameter, seat) = (&range.parameter, rank.seat);
    if what == What::Sums {
        return parameter.split.is_some() || parameter.reduced || seat.tensor == 0;
    }
    let is_first = seat.data == 0 || state.part.1 < state.flat.elements;
    !parameter.tied && is_first && (parameter.split.is_some() || seat.tensor == 0)
}

/// Adds a rank's part to a whole parameter; what is beyond its end is left out.
fn add(whole: &Tensor, own: &Tensor, range: &Range, tensor: i64) {
    let Some(dimension) = range.parameter.split else {
        let _ = whole.shallow_clone().g_add_(own);
        return;
    };
    let part = own.size()[dimension];
    let dimension = dimension as i64;
    let length = whole.size()[dimension as usize];
    let first = (tensor * part).min(length);
    let count = part.min(length - first);
    let _ = whole.narrow(dimension, first, count).g_add_(&own.narrow(dimension, 0, count));
}
