//! What a plan's ranks are held against: the same step on one device, in the plan's own precision
//! and in 64 bits, from the ranks' own parameters. Rank 0 runs it, and tells the others.

use super::assemble::{Held, Layout, Whole};
use crate::executor::error::Result;
use crate::executor::ranks::task::Task;
use crate::executor::run::rank::Rank;
use crate::executor::run::setup;
use crate::executor::run::update;
use crate::spec::{Activation, Precision};
use tch::{Device, Kind, Tensor};

/// An input of a ReLU that is nearer to zero than so many roundings of such inputs may be on either
/// side of it.
const KINK_ROUNDINGS: f64 = 64.0;

/// One device that runs the same steps, whole.
#[derive(Debug)]
pub(crate) struct Reference {
    /// In 64 bits, in host memory.
    exact: Rank,
    /// In the plan's precision, where that is another.
    own: Option<Rank>,
    /// Whether this rank runs it.
    leads: bool,
    /// Where parameters stand.
    pub(crate) layout: Layout,
    /// Type of the plan's activations.
    kind: Kind,
    /// Half of the range around zero, in root mean squares, in which a ReLU may be on either side.
    kink: f64,
}

/// A step on one device.
#[derive(Debug)]
pub(crate) struct Step {
    /// Gradients in 64 bits.
    pub(crate) exact: Whole,
    /// How far one device's own are from them.
    pub(crate) noise: Whole,
    /// How far they are apart with all ReLUs near zero on, and off.
    pub(crate) kink: Option<Whole>,
    /// Losses: of one device in the plan's precision, and in 64 bits.
    pub(crate) losses: [f64; 2],
}

/// Unit roundoff: half of the distance from 1 to the next number.
pub(crate) fn unit_roundoff(kind: Kind) -> f64 {
    let digits = match kind {
        Kind::BFloat16 => 8,
        Kind::Half => 11,
        Kind::Float => 24,
        _ => 53,
    };
    0.5f64.powi(digits)
}

impl Reference {
    pub(crate) fn new(task: &Task, number: u64, rank: &Rank) -> Result<Reference> {
        let plan = task.reference_plan();
        let alone = |task: &Task, device: Device| -> Result<Rank> {
            let (workload, mapping) = task.mapping(&plan)?;
            let mut one = setup::alone(&workload, &mapping, &task.options(device))?;
            one.env.keeps_gradients = true;
            Ok(one)
        };
        let mut double = task.clone();
        (double.double, double.model.training.precision) = (true, Precision::Fp32);
        let exact = alone(&double, Device::Cpu)?;
        let kind = rank.env.kind;
        let leads = number == 0;
        let has_own = leads && kind != Kind::Double;
        let own = has_own.then(|| alone(task, rank.env.device)).transpose()?;
        let layout = Layout::of(&exact);
        // In 16 bits there are so many of them that they are part of what one device is off by.
        let has_kinks = kind == Kind::Float && task.model.activation_kind() == Activation::Relu;
        let kink = if has_kinks { KINK_ROUNDINGS * unit_roundoff(kind) } else { 0.0 };
        Ok(Reference { exact, own, leads, layout, kind, kink })
    }

    /// Chooses the loss scale of a step in fp16, at most the one before: none of one device's
    /// gradients is infinite, not at four times of it either.
    pub(crate) fn choose_scale(&mut self, rank: &mut Rank, before: &Held) -> Result<()> {
        if self.kind != Kind::Half {
            return Ok(());
        }
        let mut scale = 0.0;
        if let Some(own) = &mut self.own {
            scale = rank.env.loss_scale;
            let steps = own.steps();
            loop {
                self.layout.adopt(own, &before.master, None)?;
                own.env.loss_scale = 4.0 * scale;
                let skipped = own.iteration()?.skipped;
                own.set_steps(steps);
                if !skipped || scale <= 1.0 {
                    break;
                }
                scale /= 2.0;
            }
            own.env.loss_scale = scale;
        }
        let told = rank.groups.world.all_reduce(&Tensor::from_slice(&[scale]), false)?;
        rank.env.loss_scale = told.double_value(&[0]);
        Ok(())
    }

    /// The loss and the gradients of the next step in 64 bits.
    fn in_64_bits(&mut self, parameters: &Whole, kink: f64) -> Result<(f64, Whole)> {
        let steps = self.exact.steps();
        self.layout.adopt(&self.exact, parameters, None)?;
        self.exact.env.kink = kink;
        let loss = self.exact.iteration()?.loss;
        self.exact.set_steps(steps);
        Ok((loss, self.layout.gradients(&self.exact)?))
    }

    /// The next step, from what the ranks held before it. A collective of all ranks.
    pub(crate) fn step(&mut self, rank: &Rank, before: &Held) -> Result<Step> {
        let step = if self.leads {
            self.run(before)?
        } else {
            self.exact.set_steps(self.exact.steps() + 1);
            let nothing = || before.master.zeros_like();
            let kink = (self.kink > 0.0).then(nothing);
            Step { exact: nothing(), noise: nothing(), kink, losses: [0.0; 2] }
        };
        let world = &rank.groups.world;
        let told = |own: &Tensor| world.all_reduce(own, false);
        let losses = told(&Tensor::from_slice(&step.losses))?;
        Ok(Step {
            exact: told(&step.exact)?,
            noise: told(&step.noise)?,
            kink: step.kink.as_ref().map(told).transpose()?,
            losses: [losses.double_value(&[0]), losses.double_value(&[1])],
        })
    }

    fn run(&mut self, before: &Held) -> Result<Step> {
        // The values that the ranks multiply by.
        let rounded = before.master.to_kind(self.kind).to_kind(Kind::Double);
        let kink = if self.kink > 0.0 {
            let (_, on) = self.in_64_bits(&rounded, -self.kink)?;
            let (_, off) = self.in_64_bits(&rounded, self.kink)?;
            Some(on - off)
        } else {
            None
        };
        let (exact_loss, exact) = self.in_64_bits(&rounded, 0.0)?;
        self.exact.set_steps(self.exact.steps() + 1);
        let (mut own_loss, mut noise) = (exact_loss, exact.zeros_like());
        if let Some(own) = &mut self.own {
            self.layout.adopt(own, &before.master, None)?;
            own_loss = own.iteration()?.loss;
            noise = self.layout.gradients(own)? - &exact;
        }
        Ok(Step { exact, noise, kink, losses: [own_loss, exact_loss] })
    }

    /// Parameters and moments after the step that has been run, updated in 64 bits from what the
    /// ranks held before it, by their own gradients and the norm of these. A collective of all ranks.
    pub(crate) fn updated(
        &mut self,
        rank: &Rank,
        before: &Held,
        gradients: &Tensor,
        norm: f64,
    ) -> Result<[Whole; 3]> {
        let mut states = [0; 3].map(|_| before.master.zeros_like());
        if self.leads {
            self.layout.adopt(&self.exact, &before.master, Some(&before.moments))?;
            self.layout.give_gradients(&self.exact, gradients)?;
            let steps = self.exact.steps();
            update::optimizer(&mut self.exact, steps, norm)?;
            states = self.layout.states(&self.exact)?;
        }
        let told = rank.groups.world.all_reduce(&Tensor::stack(&states, 0), false)?;
        Ok([0, 1, 2].map(|row| told.select(0, row)))
    }
}
