//! What a test has go wrong in a run, to see that it is noticed. Without a fault nothing here does
//! anything.

use crate::executor::run::rank::In16Bits;
use crate::lower::Action;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// Something wrong, for tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// This rank ends in the middle.
    Die(u64),
    /// This rank stops in the middle.
    Hang(u64),
    /// This rank asks for more memory than there is.
    Memory(u64),
    /// This action is left out on all ranks: `receive`, `send`, `reduce_over_tensor`, `sum_tied`,
    /// `reduce_over_data`, `gradient_norm`, `optimizer`, `gather_parameters`.
    Skip(String),
    /// A collective of each step is left out on all ranks: that of each group of this kind after so
    /// many others.
    Collective(GroupKind, u64),
    /// Something is done in 16 bits that needs 32, on all ranks.
    In16Bits(In16Bits),
}

/// A kind of group of ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupKind {
    /// Tensor-parallel ranks.
    Tensor,
    /// Replicas.
    Data,
    /// Those that hold the token embedding's table.
    Tied,
    /// All.
    World,
}

/// Names of actions that a fault may leave out.
pub(crate) fn name_of(action: &Action) -> Option<&'static str> {
    Some(match action {
        Action::Receive { .. } => "receive",
        Action::Send { .. } => "send",
        Action::ReduceOverTensor => "reduce_over_tensor",
        Action::SumTied => "sum_tied",
        Action::ReduceOverData { .. } => "reduce_over_data",
        Action::GradientNorm => "gradient_norm",
        Action::Optimizer => "optimizer",
        Action::GatherParameters => "gather_parameters",
        Action::Run(_) => return None,
    })
}

/// What a test asks to go wrong in this rank.
pub(crate) fn fail_on_purpose(fault: Option<&Fault>, rank: u64) {
    match fault {
        Some(Fault::Die(which)) if *which == rank => std::process::abort(),
        Some(Fault::Hang(which)) if *which == rank => {
            lmplan_c10d::send_signal(std::process::id(), lmplan_c10d::STOP);
        }
        Some(Fault::Memory(which)) if *which == rank => {
            let _ = Tensor::empty([1 << 50], (Kind::Float, Device::Cpu));
        }
        _ => {}
    }
}
