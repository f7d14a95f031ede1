//! What errors are allowed.
//!
//! In 32 bits an error of a gradient is relative: to the root mean square of the parameter's
//! gradient, or to a hundredth of that of the largest of a block; a few numbers are held against the
//! largest parameter of their operator besides. Where a gradient's parts cancel, as much is allowed as
//! [`FACTOR`] times what one device is off by. In 16 bits an error is in units of what one device is
//! off by, both measured against 64 bits over all steps (Dao et al. 2022 test attention so), and of
//! one rounding at least. What is summed and updated in 32 bits whatever the precision is held against
//! the same in 64 bits, and may be off by [`TOLERANCE`] always.

use super::assemble::{Held, Key, Layout, Whole, key_of, name_of};
use super::reference::{Step, unit_roundoff};
use crate::executor::error::Result;
use crate::executor::ranks::Compared;
use crate::executor::run::rank::{Iteration, Rank};
use crate::executor::run::update::{ADAM, whole_gradients};
use crate::graph::BlockKind;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Gradients of a parameter that are smaller than this part of the largest of a block are held
/// against that.
const SMALL: f64 = 0.01;

/// Relative error that is allowed in 32 bits: of sums of up to some thousands of terms.
pub(crate) const TOLERANCE: f64 = 1e-5;

/// The same in 64 bits, in which tests tell errors of the method from rounding.
pub(crate) const TOLERANCE_64_BITS: f64 = 1e-9;

/// What several ranks may be off by in 16 bits, in errors of one device: they round partial sums
/// too.
pub(crate) const FACTOR: f64 = 4.0;

/// Parameters of fewer elements are judged by the largest of their operator: a few numbers can be
/// right, or cancel, by chance.
const FEW: i64 = 16;

/// Squares of what counts for one parameter, summed over its elements and the steps.
#[derive(Debug, Default, Clone, Copy)]
struct Squares {
    error: f64,
    noise: f64,
    scale: f64,
}

/// What a whole parameter's gradient is held against, as root mean squares.
struct Expected {
    /// The gradient's own, or a share of that of a block.
    scale: f64,
    /// What one device is off by.
    noise: f64,
    /// What ReLUs near zero may change.
    kink: f64,
}

/// Collects errors, step by step.
pub(crate) struct Judge {
    tolerance: f64,
    /// Unit roundoff of activations, and of gradients and states.
    units: (f64, f64),
    /// By which parameter each is judged: itself, but for those of few elements.
    judged_by: BTreeMap<Key, Key>,
    /// Errors in 16 bits.
    squares: BTreeMap<String, Squares>,
    losses: Vec<[f64; 3]>,
    gradients: BTreeMap<String, f64>,
    sums: BTreeMap<String, f64>,
    updates: BTreeMap<String, f64>,
}

const NORM: &str = "norm of all gradients";

/// Second moments below this vanish in 32 bits.
const TINY: f64 = 1e-30;

/// A replica's master copy may differ from another's by its own rounding.
const NEAREST: f64 = 1.0 + 1.0 / 64.0;

/// Relative error allowed where nothing is rounded to 16 bits.
pub(crate) fn tolerance(double: bool) -> f64 {
    if double { TOLERANCE_64_BITS } else { TOLERANCE }
}

/// The number, or one that is too large where it is none.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::MAX }
}

/// An error in units of what it is held against.
fn ratio(error: f64, unit: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / unit }
}

fn raise(errors: &mut BTreeMap<String, f64>, name: String, error: f64) {
    let worst = errors.entry(name).or_default();
    *worst = worst.max(finite(error));
}

fn square_sum(tensor: &Tensor) -> f64 {
    tensor.to_kind(Kind::Double).square().sum(Kind::Double).double_value(&[])
}

fn root_mean_square(tensor: &Tensor) -> f64 {
    (square_sum(tensor) / tensor.numel().max(1) as f64).sqrt()
}

/// Root mean square of each parameter, or a share of that of the largest block where that is more.
fn scales(layout: &Layout, whole: &Whole) -> BTreeMap<Key, f64> {
    let mut blocks: BTreeMap<(BlockKind, u64), (f64, f64)> = BTreeMap::new();
    let mut all = BTreeMap::new();
    for (key, part) in layout.each(whole) {
        let (squares, count) = (square_sum(&part), part.numel().max(1) as f64);
        let block = blocks.entry((key.0, key.1)).or_default();
        *block = (block.0 + squares, block.1 + count);
        all.insert(key.clone(), (squares / count).sqrt());
    }
    let largest = blocks.values().map(|(squares, count)| (squares / count).sqrt());
    let floor = SMALL * largest.fold(0.0, f64::max);
    all.values_mut().for_each(|scale| *scale = scale.max(floor));
    all
}

/// What each parameter's gradient in a step is held against.
fn expected(layout: &Layout, one: &Step) -> BTreeMap<Key, Expected> {
    let of = |whole: &Whole| -> BTreeMap<Key, f64> {
        layout.each(whole).map(|(key, part)| (key.clone(), root_mean_square(&part))).collect()
    };
    let (noise, kinks) = (of(&one.noise), one.kink.as_ref().map(of).unwrap_or_default());
    let with = |(key, scale): (Key, f64)| {
        let at = |all: &BTreeMap<Key, f64>| all.get(&key).copied().unwrap_or_default();
        let expected = Expected { scale, noise: at(&noise), kink: at(&kinks) };
        (key, expected)
    };
    scales(layout, &one.exact).into_iter().map(with).collect()
}

/// By which parameter each is judged.
fn judged_by(layout: &Layout, whole: &Whole) -> BTreeMap<Key, Key> {
    let sizes: BTreeMap<&Key, i64> =
        layout.each(whole).map(|(key, part)| (key, part.size()[0])).collect();
    let operator = |key: &Key| (key.0, key.1, key.2.clone());
    let by = |(key, size): (&&Key, &i64)| {
        let others = sizes.iter().filter(|(other, _)| operator(other) == operator(key));
        let largest = others.max_by_key(|(_, size)| **size).map_or(*key, |(other, _)| *other);
        ((*key).clone(), (if *size < FEW { largest } else { key }).clone())
    };
    sizes.iter().map(by).collect()
}

impl Judge {
    pub(crate) fn new(kind: Kind, layout: &Layout, whole: &Whole) -> Judge {
        let double = kind == Kind::Double;
        let wide = unit_roundoff(if double { Kind::Double } else { Kind::Float });
        let unit = unit_roundoff(kind);
        Judge {
            tolerance: tolerance(double),
            units: (unit, wide),
            judged_by: judged_by(layout, whole),
            squares: BTreeMap::new(),
            losses: Vec::new(),
            gradients: BTreeMap::new(),
            sums: BTreeMap::new(),
            updates: BTreeMap::new(),
        }
    }

    fn in_16_bits(&self) -> bool {
        self.units.0 > self.units.1
    }

    /// Loss, gradients and their norm after a step.
    pub(crate) fn step(
        &mut self,
        rank: &Rank,
        own: &Iteration,
        one: &Step,
        after: &Held,
        layout: &Layout,
    ) -> Result<()> {
        self.losses.push([own.loss, one.losses[0], one.losses[1]].map(finite));
        let (expected, sums) = (expected(layout, one), scales(layout, &after.sums));
        for state in rank.blocks.iter().flatten() {
            let all = whole_gradients(rank, state)?.to_device(Device::Cpu).to_kind(Kind::Double);
            for range in &state.flat.ranges {
                let key = key_of(state, range);
                let own = all.narrow(0, range.start, range.length);
                let sum = &own - layout.part(&after.sums, rank, (state, range))?;
                let scale_of = |key: &Key| sums.get(key).copied().unwrap_or_default();
                let by = self.judged_by.get(&key).cloned().unwrap_or_else(|| key.clone());
                let scale = scale_of(&key).max(scale_of(&by));
                raise(&mut self.sums, name_of(&key), ratio(root_mean_square(&sum), scale));
                let error = own - layout.part(&one.exact, rank, (state, range))?;
                if let (Some(own), Some(other)) = (expected.get(&key), expected.get(&by)) {
                    self.gradient((&key, &by), &error, (own, other));
                }
            }
        }
        self.norms(own, one, after);
        Ok(())
    }

    /// A parameter's gradient against its own and against that of the parameter by which it is judged.
    fn gradient(
        &mut self,
        (key, by): (&Key, &Key),
        error: &Tensor,
        (own, other): (&Expected, &Expected),
    ) {
        let Expected { scale, noise, kink } = *own;
        if self.in_16_bits() {
            let name = name_of(by);
            let count = error.numel() as f64;
            let squares = self.squares.entry(name).or_default();
            squares.error += square_sum(error);
            squares.noise += count * noise * noise;
            squares.scale += count * scale * scale;
            return;
        }
        let (scale, noise) = (scale.max(other.scale), noise.max(other.noise));
        let allowed = (self.tolerance * scale).max(FACTOR * noise) + kink;
        let error = self.tolerance * ratio(root_mean_square(error), allowed);
        raise(&mut self.gradients, name_of(key), error);
    }

    /// The norm against that in 64 bits, from which it is no further than all gradients are, and
    /// against that of the ranks' own gradients.
    fn norms(&mut self, own: &Iteration, one: &Step, after: &Held) {
        let norm = |whole: &Whole| square_sum(whole).sqrt();
        let own = if own.skipped { f64::NAN } else { own.gradient_norm };
        let (exact, noise) = (norm(&one.exact), norm(&one.noise));
        let kink = one.kink.as_ref().map_or(0.0, norm);
        let error = (own - exact).abs();
        if self.in_16_bits() {
            let squares = self.squares.entry(NORM.to_owned()).or_default();
            squares.error += error * error;
            squares.noise += noise * noise;
            squares.scale += exact * exact;
        } else {
            let allowed = (self.tolerance * exact).max(FACTOR * noise) + kink;
            let error = self.tolerance * ratio(error, allowed);
            raise(&mut self.gradients, NORM.to_owned(), error);
        }
        let ranks = norm(&after.gradients);
        raise(&mut self.sums, NORM.to_owned(), ratio((own - ranks).abs(), ranks));
    }

    /// Parameters and moments after a step against those in 64 bits. A parameter may be rounded
    /// itself; what the model computes with is the parameter, rounded to its type.
    pub(crate) fn updates(
        &mut self,
        rank: &Rank,
        (before, after): (&Held, &Held),
        expected: &[Whole; 3],
        layout: &Layout,
    ) -> Result<()> {
        let rounding = 4.0 * self.units.1 / self.tolerance;
        for state in rank.blocks.iter().flatten() {
            let (first, length) = state.part;
            for range in &state.flat.ranges {
                let name = name_of(&key_of(state, range));
                let part = |whole: &Whole| layout.part(whole, rank, (state, range));
                let [master, moments @ ..] = expected;
                let (old, new) = (part(&before.master)?, part(master)?);
                let change = root_mean_square(&(&new - &old));
                // Terms of an update may cancel.
                let term = ADAM.rate * root_mean_square(&part(&after.gradients)?);
                let scale = change.max(term) + rounding * root_mean_square(&new);
                let own = [&state.master, &state.moments[0], &state.moments[1]];
                let mut all = vec![(new, scale)];
                for (new, old) in moments.iter().zip(&before.moments) {
                    let (new, old) = (part(new)?, part(old)?);
                    let scale = root_mean_square(&new) + root_mean_square(&old);
                    all.push((new, scale));
                }
                let begin = range.start.max(first);
                let count = (range.start + range.length).min(first + length) - begin;
                for (own, (new, scale)) in own.into_iter().zip(all).filter(|_| count > 0) {
                    let own = own.narrow(0, begin - first, count).to_device(Device::Cpu);
                    let error = own - new.narrow(0, begin - range.start, count);
                    let error = ratio(root_mean_square(&error), scale + TINY);
                    raise(&mut self.updates, name.clone(), error);
                }
                if let Some(weights) = &state.weights {
                    let weights = weights.narrow(0, range.start, range.length);
                    self.rounded(&name, &weights, &part(&after.master)?);
                }
                if let Some(own) = state.own_weights.as_ref().filter(|_| count > 0) {
                    let weights = own.narrow(0, begin - first, count);
                    let master = part(&after.master)?.narrow(0, begin - range.start, count);
                    self.rounded(&name, &weights, &master);
                }
            }
        }
        Ok(())
    }

    /// Whether weights are the master copy rounded, each to the nearest number of their type.
    fn rounded(&mut self, name: &str, weights: &Tensor, master: &Tensor) {
        let smallest = if weights.kind() == Kind::Half { 0.5f64.powi(25) } else { TINY };
        let allowed = master.abs() * (self.units.0 * NEAREST) + smallest;
        let off = (weights.to_device(Device::Cpu).to_kind(Kind::Double) - master).abs() / allowed;
        let off = off.max().double_value(&[]);
        // Rounding is no error of the update; another rounding is.
        let error = if off <= 1.0 { 0.0 } else { self.tolerance * off };
        raise(&mut self.updates, name.to_owned(), error);
    }

    /// All that was found.
    pub(crate) fn compared(self) -> Compared {
        let mut gradients = self.gradients;
        for (name, Squares { error, noise, scale }) in self.squares {
            let unit = noise.max(self.units.0.powi(2) * scale);
            raise(&mut gradients, name, ratio(error, unit).sqrt());
        }
        let [gradients, sums, updates] =
            [gradients, self.sums, self.updates].map(|all| all.into_iter().collect());
        Compared { losses: self.losses, gradients, sums, updates }
    }
}
