//! How long each instruction took.

use crate::graph::BlockKind;
use crate::lower::Action;
use crate::sim::SpanKind;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Instant;
use tch::{Cuda, Device};

/// The pass that an instruction belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pass {
    /// Forward.
    Forward,
    /// Backward.
    Backward,
    /// Forward work repeated in the backward pass.
    Recompute,
}

/// Which part of a block's code an instruction stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The conversion of an input, by slot.
    Input(u8),
    /// The operator itself.
    Body,
    /// The conversion at the block's end.
    End,
    /// The sum of the gradients of the block's input.
    InputSum,
}

/// Where an instruction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The block.
    pub block: BlockKind,
    /// The pass.
    pub pass: Pass,
    /// The operator, by its index in the block.
    pub operator: u16,
    /// The part.
    pub part: Part,
}

/// What runs beside the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the actions")]
pub enum Beside {
    Receive,
    Send,
    ReduceOverTensor,
    SumTied,
    ReduceOverData,
    GradientNorm,
    Optimizer,
    GatherParameters,
}

/// An action of a program as it ran.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// What it is.
    pub kind: SpanKind,
    /// Micro-batch, of a pass.
    pub micro_batch: Option<u64>,
    /// Model chunk of the stage.
    pub chunk: u64,
    /// Start, in seconds since the step began.
    pub start_s: f64,
    /// End, in seconds since the step began.
    pub end_s: f64,
    /// Bytes of tensors after it.
    pub bytes: u64,
}

/// Seconds by instruction, one entry for each time that it ran.
#[derive(Debug)]
pub struct Recorder {
    device: Device,
    on: bool,
    instructions: RefCell<BTreeMap<(Place, u16), Vec<f64>>>,
    beside: RefCell<BTreeMap<Beside, Vec<f64>>>,
    began: Cell<Instant>,
    ran: RefCell<Vec<Ran>>,
}

impl Recorder {
    /// Records on a device, or does not where `on` is false.
    pub fn new(device: Device, on: bool) -> Recorder {
        Recorder {
            device,
            on,
            instructions: RefCell::default(),
            beside: RefCell::default(),
            began: Cell::new(Instant::now()),
            ran: RefCell::default(),
        }
    }

    /// Waits for the device where it runs behind the host.
    pub fn synchronize(&self) {
        if let Device::Cuda(index) = self.device {
            Cuda::synchronize(i64::try_from(index).unwrap_or(0));
        }
    }

    fn timed<T>(&self, f: impl FnOnce() -> T) -> (T, f64) {
        self.synchronize();
        let start = Instant::now();
        let result = f();
        self.synchronize();
        (result, start.elapsed().as_secs_f64())
    }

    /// Runs a part of an instruction; `first` where it is its first part.
    pub(crate) fn instruction<T>(
        &self,
        place: Place,
        index: usize,
        first: bool,
        f: impl FnOnce() -> T,
    ) -> T {
        if !self.on {
            return f();
        }
        let (result, seconds) = self.timed(f);
        let mut all = self.instructions.borrow_mut();
        let times = all.entry((place, u16::try_from(index).unwrap_or(u16::MAX))).or_default();
        match times.last_mut() {
            Some(last) if !first => *last += seconds,
            _ => times.push(seconds),
        }
        result
    }

    /// Runs something beside the blocks.
    pub(crate) fn beside<T>(&self, what: Beside, f: impl FnOnce() -> T) -> T {
        if !self.on {
            return f();
        }
        let (result, seconds) = self.timed(f);
        self.beside.borrow_mut().entry(what).or_default().push(seconds);
        result
    }

    /// A step begins; the actions of the one before are forgotten.
    pub(crate) fn begin(&self) {
        self.began.set(Instant::now());
        self.ran.borrow_mut().clear();
    }

    /// An action that began at `start` has ended. Waiting for a message is no action.
    pub(crate) fn ran(&self, action: &Action, start: Instant) {
        let (kind, step, chunk) = match action {
            Action::Receive { .. } => return,
            Action::Run(step) if step.backward => (SpanKind::Backward, Some(step), step.chunk),
            Action::Run(step) => (SpanKind::Forward, Some(step), step.chunk),
            Action::Send { step, .. } => (SpanKind::Transfer, Some(step), step.chunk),
            Action::ReduceOverData { chunk } => (SpanKind::GradientReduce, None, *chunk),
            Action::ReduceOverTensor | Action::SumTied => (SpanKind::GradientReduce, None, 0),
            Action::GradientNorm | Action::Optimizer => (SpanKind::Optimizer, None, 0),
            Action::GatherParameters => (SpanKind::ParameterGather, None, 0),
        };
        if !self.on {
            return;
        }
        self.synchronize();
        let since = |moment: Instant| moment.duration_since(self.began.get()).as_secs_f64();
        self.ran.borrow_mut().push(Ran {
            kind,
            micro_batch: step.map(|step| u64::from(step.micro_batch)),
            chunk: u64::from(chunk),
            start_s: since(start),
            end_s: since(Instant::now()),
            bytes: lmplan_c10d::memory(self.device).map_or(0, |memory| memory.current),
        });
    }

    /// The actions of the last step.
    pub fn actions(&self) -> Vec<Ran> {
        self.ran.borrow().clone()
    }

    /// What was recorded, by instruction.
    pub fn instructions(&self) -> BTreeMap<(Place, u16), Vec<f64>> {
        self.instructions.borrow().clone()
    }

    /// What was recorded beside the blocks.
    pub fn beside_times(&self) -> BTreeMap<Beside, Vec<f64>> {
        self.beside.borrow().clone()
    }

    /// Forgets what was recorded.
    pub fn clear(&self) {
        self.instructions.borrow_mut().clear();
        self.beside.borrow_mut().clear();
    }
}
