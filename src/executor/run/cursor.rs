//! Holds what is executed against what was priced.
//!
//! An operator walks its instruction list while it runs: it names the kernel or collective that it
//! is about to run, with its local shape, and the cursor answers with a slot to run it in, or with
//! an error where the list says something else. So a plan can not be executed in another way than
//! it was priced, and every instruction is timed by itself.

use super::record::{Place, Recorder};
use crate::executor::error::{ExecutorError, Result};
use crate::graph::{Collective, GemmPass, Kernel, PassKind};
use crate::sharding::Instruction;
use std::cell::RefCell;

/// An instruction that may run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(usize);

/// A walk through a list of instructions.
pub(crate) struct Cursor<'a> {
    list: &'a [Instruction],
    next: usize,
    begun: RefCell<Vec<bool>>,
    place: Place,
    operator: &'a str,
    recorder: &'a Recorder,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(
        list: &'a [Instruction],
        place: Place,
        operator: &'a str,
        recorder: &'a Recorder,
    ) -> Self {
        let begun = RefCell::new(vec![false; list.len()]);
        Cursor { list, next: 0, begun, place, operator, recorder }
    }

    fn mismatch<T>(&self, executed: &str) -> Result<T> {
        let priced = match self.list.get(self.next) {
            Some(instruction) => format!("{instruction:?} was priced"),
            None => "nothing more was priced".to_owned(),
        };
        let what = format!("{executed} is about to run, {priced}");
        Err(ExecutorError::Mismatch { operator: self.operator.to_owned(), what })
    }

    fn take(&mut self) -> Slot {
        self.next += 1;
        Slot(self.next - 1)
    }

    /// The next kernel, where it is next.
    fn kernel(&self) -> Option<&'a Kernel> {
        match self.list.get(self.next) {
            Some(Instruction::Compute { kernel, .. }) => Some(kernel),
            _ => None,
        }
    }

    /// Whether the next instruction is a pass over memory of this kind.
    pub(crate) fn is_memory(&self, kind: PassKind) -> bool {
        matches!(self.kernel(), Some(Kernel::Memory { pass, .. }) if *pass == kind)
    }

    /// A product of these sides.
    pub(crate) fn gemm(&mut self, which: GemmPass, sides: [i64; 3]) -> Result<Slot> {
        match self.kernel() {
            Some(Kernel::Gemm { m, n, k, pass, .. })
                if *pass == which && [*m, *n, *k].map(|side| side as i64) == sides =>
            {
                Ok(self.take())
            }
            _ => self.mismatch(&format!("a {which:?} product of {sides:?}")),
        }
    }

    /// A product of attention, `batch` times.
    pub(crate) fn batched(&mut self, batch: i64, sides: [i64; 3]) -> Result<Slot> {
        match self.kernel() {
            Some(Kernel::Gemm { batch: b, m, n, k, .. })
                if *b as i64 == batch && [*m, *n, *k].map(|side| side as i64) == sides =>
            {
                Ok(self.take())
            }
            _ => self.mismatch(&format!("{batch} products of {sides:?}")),
        }
    }

    /// Passes over memory.
    pub(crate) fn memory(&mut self, kind: PassKind) -> Result<Slot> {
        if self.is_memory(kind) {
            return Ok(self.take());
        }
        self.mismatch(&format!("a {kind:?} pass"))
    }

    /// Fused attention over queries \[sequences, heads, rows, width\].
    pub(crate) fn attention(&mut self, back: bool, query: [i64; 4]) -> Result<Slot> {
        match self.kernel() {
            Some(Kernel::FlashAttention {
                backward, batch, heads, query_length, head_dim, ..
            }) if *backward == back
                && [*batch, *heads, *query_length, *head_dim].map(|side| side as i64) == query =>
            {
                Ok(self.take())
            }
            _ => self.mismatch(&format!("fused attention of {query:?}")),
        }
    }

    /// A collective of a size in bytes, as [`Collective`] defines it. Sizes may differ by what is
    /// added to make all parts alike.
    pub(crate) fn collective(&mut self, which: Collective, size: u64, slack: u64) -> Result<Slot> {
        match self.list.get(self.next) {
            Some(Instruction::Communicate { collective, bytes, .. })
                if *collective == which && bytes.get().abs_diff(size) <= slack =>
            {
                Ok(self.take())
            }
            _ => self.mismatch(&format!("a {which:?} of {size} bytes")),
        }
    }

    /// Runs a part of an instruction, timed.
    pub(crate) fn run<T>(&self, slot: Slot, f: impl FnOnce() -> T) -> T {
        let first = !std::mem::replace(&mut self.begun.borrow_mut()[slot.0], true);
        self.recorder.instruction(self.place, slot.0, first, f)
    }

    /// All of the list must have run.
    pub(crate) fn finish(self) -> Result<()> {
        if self.next == self.list.len() {
            return Ok(());
        }
        self.mismatch("nothing more")
    }
}
