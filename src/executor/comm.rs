//! The groups that a rank is in.

use super::error::Result;
use lmplan_c10d::Group;
use tch::{Device, Tensor};

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
}

/// Makes a tensor fit for a collective: contiguous, in host memory.
///
/// Gloo has no collectives for device memory but all-reduce; ranks on GPUs go through the host.
fn host(tensor: &Tensor) -> Tensor {
    let tensor = if tensor.device() == Device::Cpu {
        tensor.shallow_clone()
    } else {
        tensor.to_device(Device::Cpu)
    };
    tensor.contiguous()
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
            Ranks::Group(group) => group.size() as i64,
        }
    }

    /// Number of this rank in the group.
    pub fn rank(&self) -> i64 {
        match self {
            Ranks::Group(group) => group.rank() as i64,
            _ => 0,
        }
    }

    /// Sum (or maximum) over the ranks.
    ///
    /// # Errors
    /// Ranks that die or do not come in time.
    pub fn all_reduce(&self, tensor: &Tensor, maximum: bool) -> Result<Tensor> {
        let Ranks::Group(group) = self else { return Ok(tensor.shallow_clone()) };
        // In place on a copy: what was given may still be read.
        let data = host(&tensor.detach()).copy();
        group.all_reduce(&data, maximum)?;
        Ok(data.to_device(tensor.device()))
    }

    /// The parts of all ranks, one after the other along the first dimension.
    ///
    /// # Errors
    /// As [`Ranks::all_reduce`].
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Tensor> {
        let shape = resized(tensor, tensor.size()[0] * self.size());
        match self {
            Ranks::Alone => Ok(tensor.shallow_clone()),
            Ranks::Imitated { size } => {
                let mut times = vec![1; shape.len()];
                times[0] = *size;
                Ok(tensor.repeat(times))
            }
            Ranks::Group(group) => {
                let input = host(tensor);
                let output = Tensor::empty(shape, (tensor.kind(), Device::Cpu));
                group.all_gather(&output, &input)?;
                Ok(output.to_device(tensor.device()))
            }
        }
    }

    /// This rank's part, along the first dimension, of the sum over the ranks.
    ///
    /// # Errors
    /// As [`Ranks::all_reduce`].
    pub fn reduce_scatter(&self, tensor: &Tensor) -> Result<Tensor> {
        let part = tensor.size()[0] / self.size();
        match self {
            Ranks::Alone => Ok(tensor.shallow_clone()),
            Ranks::Imitated { .. } => Ok(tensor.narrow(0, 0, part).copy()),
            Ranks::Group(group) => {
                let input = host(tensor);
                let output = Tensor::empty(resized(tensor, part), (tensor.kind(), Device::Cpu));
                group.reduce_scatter(&output, &input)?;
                Ok(output.to_device(tensor.device()))
            }
        }
    }

    /// As [`Ranks::reduce_scatter`], in the memory of what it is given, which is void afterwards.
    ///
    /// # Errors
    /// As [`Ranks::all_reduce`].
    pub fn reduce_scatter_within(&self, tensor: Tensor) -> Result<Tensor> {
        let Ranks::Group(group) = self else { return self.reduce_scatter(&tensor) };
        let data = host(&tensor.detach());
        group.all_reduce(&data, false)?;
        let part = data.size()[0] / self.size();
        Ok(data.narrow(0, self.rank() * part, part).to_device(tensor.device()))
    }

    /// Part r of the first dimension to rank r, and theirs here.
    ///
    /// # Errors
    /// As [`Ranks::all_reduce`].
    pub fn all_to_all(&self, tensor: &Tensor) -> Result<Tensor> {
        let Ranks::Group(group) = self else { return Ok(tensor.copy()) };
        let input = host(tensor);
        let output = Tensor::empty(tensor.size(), (tensor.kind(), Device::Cpu));
        group.all_to_all(&output, &input)?;
        Ok(output.to_device(tensor.device()))
    }
}
