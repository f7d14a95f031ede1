//! What the optimizer keeps, and what its step costs.

use crate::graph::{Kernel, PassKind};
use crate::spec::{Optimizer, Precision, StackSpec};
use crate::units::Bytes;

/// Elements that one launch of a multi-tensor optimizer kernel covers: 320 blocks of 65,536
/// elements (NVIDIA/apex, `csrc/multi_tensor_apply.cuh` and `apex/multi_tensor_apply`).
const ELEMENTS_PER_LAUNCH: u64 = 320 * 65_536;

/// Bytes that training keeps for each parameter element, before any sharding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateBytes {
    /// The parameter as the model computes with it.
    pub parameters: u64,
    /// Its gradient.
    pub gradients: u64,
    /// Its 32-bit copy, where the model computes in 16 bits, and the optimizer's moments.
    pub optimizer: u64,
}

impl StateBytes {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.parameters + self.gradients + self.optimizer
    }
}

/// Bytes of each parameter element by recipe: mixed precision with Adam 2 + 4 + 4+4+4 where the
/// stack keeps gradients in 32 bits (Narayanan et al. 2021; Megatron-LM `--accumulate-allreduce-
/// grads-in-fp32`), 2 + 2 + 4+4+4 where it does not (Rajbhandari et al. 2020, section 3.1); 32-bit
/// recipes 4 + 4 + 4+4. FP8 recipes keep their parameters in 16 bits.
pub fn state_bytes(precision: Precision, stack: &StackSpec, optimizer: Optimizer) -> StateBytes {
    let moments = moments(optimizer) * 4;
    if precision.is_mixed() {
        StateBytes { parameters: 2, gradients: stack.gradient_bytes, optimizer: 4 + moments }
    } else {
        StateBytes { parameters: 4, gradients: 4, optimizer: moments }
    }
}

const fn moments(optimizer: Optimizer) -> u64 {
    match optimizer {
        Optimizer::Adam | Optimizer::Lamb => 2,
        Optimizer::Sgd => 1,
    }
}

/// The passes of one optimizer step over `elements` parameters of this rank: the gradient norm for
/// clipping, the update, and the clearing of gradients; LAMB adds the norms of weights and of
/// updates, and applies them in a further pass (You et al. 2020, algorithm 2).
pub fn optimizer_kernels(
    elements: u64,
    precision: Precision,
    stack: &StackSpec,
    optimizer: Optimizer,
) -> Vec<Kernel> {
    let state = state_bytes(precision, stack, optimizer);
    let launches = elements.div_ceil(ELEMENTS_PER_LAUNCH);
    let pass = |read: u64, written: u64| Kernel::Memory {
        pass: PassKind::Optimizer,
        read: Bytes::new(elements.saturating_mul(read)),
        written: Bytes::new(elements.saturating_mul(written)),
        launches,
    };
    let moments = moments(optimizer) * 4;
    let copy = if precision.is_mixed() { state.parameters } else { 0 };
    let norm = pass(state.gradients, 0);
    let clear = pass(0, state.gradients);
    match optimizer {
        Optimizer::Adam | Optimizer::Sgd => {
            vec![norm, pass(state.gradients + 4 + moments, 4 + moments + copy), clear]
        }
        Optimizer::Lamb => vec![
            norm,
            // The first stage writes the update over the gradient's place, in 32 bits.
            pass(state.gradients + 4 + moments, moments + 4),
            // Norms of weights and updates.
            pass(8, 0),
            pass(8, 4 + copy),
            clear,
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(gradient_bytes: u64) -> StackSpec {
        let text = include_str!("../../hardware/stacks/megatron-core.yaml");
        let stack: StackSpec = serde_saphyr::from_str(text).unwrap();
        StackSpec { gradient_bytes, ..stack }
    }

    #[test]
    fn bytes_of_an_element_are_those_of_the_papers() {
        use Optimizer::{Adam, Sgd};
        let total =
            |precision, bytes, optimizer| state_bytes(precision, &stack(bytes), optimizer).total();
        assert_eq!(total(Precision::Bf16Mixed, 4, Adam), 18, "Megatron");
        assert_eq!(total(Precision::Fp16Mixed, 2, Adam), 16, "ZeRO, section 3.1");
        assert_eq!(total(Precision::Fp32, 4, Adam), 16);
        assert_eq!(total(Precision::Bf16Mixed, 4, Sgd), 14);
    }

    #[test]
    fn adam_moves_its_states_once() {
        let kernels = optimizer_kernels(1000, Precision::Bf16Mixed, &stack(4), Optimizer::Adam);
        let bytes: u64 = kernels
            .iter()
            .map(|kernel| match kernel {
                Kernel::Memory { read, written, .. } => read.get() + written.get(),
                _ => 0,
            })
            .sum();
        // Norm 4; gradient, copy and moments read 16; copy, moments and parameter written 14;
        // gradient cleared 4.
        assert_eq!(bytes, 38_000);
    }
}
