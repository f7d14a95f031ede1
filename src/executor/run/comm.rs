//! The groups that a rank is in.

use crate::executor::error::{ExecutorError, Result};
use lmplan_c10d::{Envelope, Group, Sending};
use std::cell::Cell;
use tch::Tensor;

/// A group of ranks as one of them sees it.
#[derive(Debug)]
pub enum Ranks {
    /// This rank alone.
    Alone,
    /// One rank that stands for `size`: collectives give tensors of the right shape and wrong
    /// values at once. For timing kernels at the shapes of one rank.
    Imitated {
        /// Ranks that there would be.
        size: i64,
    },
    /// Real ranks.
    Group(Group),
    /// Real ranks of which one collective is [imitated](Ranks::Imitated), so that a test can see
    /// that it is noticed.
    Faulty {
        /// The ranks.
        group: Group,
        /// Collectives before that one; none once it has been.
        before: Cell<Option<u64>>,
    },
}

/// A tensor fit for a collective of a group: contiguous, and in host memory where the group talks
/// there. Gloo does, also where a rank has a GPU: of its collectives all-reduce and broadcast alone
/// take device memory, by copies of their own.
fn given_to(group: &Group, tensor: &Tensor) -> Result<Tensor> {
    if group.on_device() { Ok(tensor.contiguous()) } else { Ok(lmplan_c10d::to_host(tensor)?) }
}

/// An empty tensor for what a group's collective leaves.
fn taken_from(group: &Group, shape: &[i64], like: &Tensor) -> Tensor {
    if group.on_device() {
        Tensor::empty(shape, (like.kind(), like.device()))
    } else {
        lmplan_c10d::host_tensor(shape, like)
    }
}

/// The shape with its first dimension multiplied or divided.
fn resized(tensor: &Tensor, first: i64) -> Vec<i64> {
    let mut shape = tensor.size();
    shape[0] = first;
    shape
}

impl Ranks {
    /// Ranks of the group.
    pub fn size(&self) -> i64 {
        match self {
            Ranks::Alone => 1,
            Ranks::Imitated { size } => *size,
            Ranks::Group(group) | Ranks::Faulty { group, .. } => group.size() as i64,
        }
    }

    /// Number of this rank in the group.
    pub fn rank(&self) -> i64 {
        self.real().map_or(0, |group| group.rank() as i64)
    }

    /// The real ranks, where there are others.
    pub const fn real(&self) -> Option<&Group> {
        match self {
            Ranks::Group(group) | Ranks::Faulty { group, .. } => Some(group),
            Ranks::Alone | Ranks::Imitated { .. } => None,
        }
    }

    /// Ranks of which a collective can go [wrong](Ranks::go_wrong_after).
    #[must_use]
    pub fn faulty(self) -> Ranks {
        match self {
            Ranks::Group(group) => Ranks::Faulty { group, before: Cell::new(None) },
            other => other,
        }
    }

    /// Lets the collective after `others` go wrong, of [faulty](Ranks::faulty) ranks.
    pub fn go_wrong_after(&self, others: u64) {
        if let Ranks::Faulty { before, .. } = self {
            before.set(Some(others));
        }
    }

    /// Whether a collective is still to go wrong.
    pub const fn awaits_fault(&self) -> bool {
        matches!(self, Ranks::Faulty { before, .. } if before.get().is_some())
    }

    /// Those with which the next collective is done.
    fn partners(&self) -> Option<&Group> {
        let Ranks::Faulty { group, before } = self else { return self.real() };
        let left = before.get();
        before.set(left.and_then(|left| left.checked_sub(1)));
        if left == Some(0) { None } else { Some(group) }
    }

    /// Sum (or maximum) over the ranks.
    ///
    /// # Errors
    /// Ranks that die or do not come in time.
    pub fn all_reduce(&self, tensor: &Tensor, maximum: bool) -> Result<Tensor> {
        let Some(group) = self.partners() else { return Ok(tensor.shallow_clone()) };
        let data = given_to(group, &tensor.detach())?;
        // In place on a copy: what was given may still be read.
        let data = if data.data_ptr() == tensor.data_ptr() { data.copy() } else { data };
        group.all_reduce(&data, maximum)?;
        Ok(data.to_device(tensor.device()))
    }

    /// The parts of all ranks, one after the other along the first dimension.
    ///
    /// # Errors
    /// As [`Ranks::all_reduce`].
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Tensor> {
        if self.size() == 1 {
            return Ok(tensor.shallow_clone());
        }
        let shape = resized(tensor, tensor.size()[0] * self.size());
        let Some(group) = self.partners() else {
            let mut times = vec![1; shape.len()];
            times[0] = self.size();
            return Ok(tensor.repeat(times));
        };
        let input = given_to(group, tensor)?;
        let output = taken_from(group, &shape, tensor);
        group.all_gather(&output, &input)?;
        Ok(output.to_device(tensor.device()))
    }

    /// This rank's part, along the first dimension, of the sum over the ranks.
    ///
    /// # Errors
    /// As [`Ranks::all_reduce`].
    pub fn reduce_scatter(&self, tensor: &Tensor) -> Result<Tensor> {
        if self.size() == 1 {
            return Ok(tensor.shallow_clone());
        }
        let part = tensor.size()[0] / self.size();
        let Some(group) = self.partners() else {
            return Ok(tensor.narrow(0, self.rank() * part, part).copy());
        };
        let input = given_to(group, tensor)?;
        let output = taken_from(group, &resized(tensor, part), tensor);
        group.reduce_scatter(&output, &input)?;
        Ok(output.to_device(tensor.device()))
    }

    /// As [`Ranks::reduce_scatter`], in the memory of what it is given, which is void afterwards.
    ///
    /// # Errors
    /// As [`Ranks::all_reduce`].
    pub fn reduce_scatter_within(&self, tensor: Tensor) -> Result<Tensor> {
        if self.size() == 1 {
            return Ok(tensor);
        }
        let part = tensor.size()[0] / self.size();
        let Some(group) = self.partners() else {
            return Ok(tensor.detach().narrow(0, self.rank() * part, part));
        };
        let data = given_to(group, &tensor.detach())?;
        if group.on_device() {
            let output = taken_from(group, &resized(&tensor, part), &tensor);
            group.reduce_scatter(&output, &data)?;
            return Ok(output);
        }
        group.all_reduce(&data, false)?;
        Ok(data.narrow(0, self.rank() * part, part).to_device(tensor.device()))
    }

    /// Part r of the first dimension to rank r, and theirs here.
    ///
    /// # Errors
    /// As [`Ranks::all_reduce`].
    pub fn all_to_all(&self, tensor: &Tensor) -> Result<Tensor> {
        let Some(group) = self.partners() else { return Ok(tensor.copy()) };
        let input = given_to(group, tensor)?;
        let output = taken_from(group, &tensor.size(), tensor);
        group.all_to_all(&output, &input)?;
        Ok(output.to_device(tensor.device()))
    }

    /// Starts to send a tensor to a rank of the group.
    ///
    /// # Errors
    /// As [`Ranks::all_reduce`]; no other ranks.
    pub fn send(&self, tensor: &Tensor, to: Envelope) -> Result<Sending> {
        let group = self.others()?;
        Ok(group.send(given_to(group, &tensor.detach())?, to)?)
    }

    /// Receives a tensor of a shape, of the type and to the device of another one.
    ///
    /// # Errors
    /// As [`Ranks::send`].
    pub fn receive(&self, shape: &[i64], like: &Tensor, from: Envelope) -> Result<Tensor> {
        let group = self.others()?;
        let tensor = taken_from(group, shape, like);
        group.receive(&tensor, from)?;
        Ok(tensor.to_device(like.device()))
    }

    fn others(&self) -> Result<&Group> {
        let group = self.real();
        group.ok_or_else(|| ExecutorError::Program("a transfer without other ranks".into()))
    }
}
