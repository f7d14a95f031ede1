//! Instructions that several rules write.

use super::sharded::Port;
use crate::graph::{Kernel, PassKind};
use crate::sharding::{Instruction, ShardContext, TensorShape, local_elements, pass};
use crate::units::Bytes;

/// The addition of the gradients that `consumers` readers left, where there is more than one.
pub(crate) fn gradient_sum(
    op: usize,
    shape: TensorShape,
    port: Port,
    consumers: u64,
    context: &ShardContext,
) -> Option<Instruction> {
    let sums = consumers.saturating_sub(1);
    let bytes = sums * local_elements(shape, port.gradient, context) * shape.element_bytes;
    (sums > 0).then(|| {
        let read = Bytes::new(2 * bytes);
        pass::memory(op, PassKind::DropoutAdd, read, Bytes::new(bytes), sums)
    })
}

/// A kernel of the operator with this index in its block.
pub(super) fn compute(op: usize, kernel: Kernel) -> Instruction {
    Instruction::Compute { op, kernel }
}

/// A pass over memory, in bytes.
pub(super) fn memory(
    op: usize,
    kind: PassKind,
    read: u64,
    written: u64,
    launches: u64,
) -> Instruction {
    pass::memory(op, kind, Bytes::new(read), Bytes::new(written), launches)
}

/// Adds the gradient of `elements` parameters, in `tensors` tensors, to the buffer in which the
/// step's gradients gather.
pub(super) fn accumulate(
    op: usize,
    elements: u64,
    tensors: u64,
    context: &ShardContext,
) -> Instruction {
    let (gradient, buffer) = (context.element_bytes(), context.stack.gradient_bytes);
    memory(
        op,
        PassKind::GradientAccumulate,
        elements * (gradient + buffer),
        elements * buffer,
        tensors,
    )
}
