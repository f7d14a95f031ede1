//! How long each instruction took.

use super::gauge::{Gauge, Reading};
use crate::graph::BlockKind;
use crate::lower::Action;
use crate::sim::SpanKind;
use lmplan_c10d::Moment;
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

/// What was timed.
#[derive(Debug, Clone, Copy)]
enum What {
    /// A part of an instruction; whether it is its first.
    Instruction((Place, u16), bool),
    Beside(Beside),
}

/// Something that has been begun, between two moments of its device.
#[derive(Debug)]
struct Begun {
    what: What,
    start: Moment,
    end: Moment,
}

/// Seconds by instruction, one entry for each time that it ran.
///
/// A GPU runs behind the host: moments are marked in its stream, and read when the times are asked
/// for. So the host never waits for it in between.
#[derive(Debug)]
pub struct Recorder {
    device: Device,
    on: bool,
    /// Steps whose instructions are still to be timed; none where all are.
    steps_left: Cell<Option<u64>>,
    sampled: Option<u64>,
    begun: RefCell<Vec<Begun>>,
    instructions: RefCell<BTreeMap<(Place, u16), Vec<f64>>>,
    beside: RefCell<BTreeMap<Beside, Vec<f64>>>,
    began: RefCell<Moment>,
    actions: RefCell<Vec<(Ran, Moment, Moment)>>,
    gauge: RefCell<Option<(Gauge, Vec<Reading>)>>,
}

impl Recorder {
    /// Records on a device, or does not where `on` is false.
    pub fn new(device: Device, on: bool) -> Recorder {
        Recorder {
            device,
            on,
            steps_left: Cell::new(None),
            sampled: None,
            begun: RefCell::default(),
            instructions: RefCell::default(),
            beside: RefCell::default(),
            began: RefCell::new(Moment::Host(Instant::now())),
            actions: RefCell::default(),
            gauge: RefCell::default(),
        }
    }

    /// Reads a gauge after each action from here on.
    pub(crate) fn with_gauge(&self, gauge: Gauge) {
        self.gauge.replace(Some((gauge, Vec::new())));
    }

    /// What the gauge showed since times were last forgotten.
    pub(crate) fn readings(&self) -> Vec<Reading> {
        self.gauge.borrow().as_ref().map_or_else(Vec::new, |(_, readings)| readings.clone())
    }

    /// On a GPU, times instructions in the first `steps` steps after each [`Recorder::clear`] alone:
    /// marks between kernels take time of their own. Actions are timed in all steps.
    pub fn sample(&mut self, steps: u64) {
        if self.device.is_cuda() {
            self.sampled = Some(steps);
            self.steps_left.set(self.sampled);
        }
    }

    /// Whether it records.
    pub const fn is_on(&self) -> bool {
        self.on
    }

    /// Waits for the device where it runs behind the host.
    pub fn synchronize(&self) {
        if let Device::Cuda(index) = self.device {
            Cuda::synchronize(i64::try_from(index).unwrap_or(0));
        }
    }

    /// The moment that the device has been told to reach.
    pub(crate) fn now(&self) -> Moment {
        if self.on { Moment::now(self.device) } else { Moment::Host(Instant::now()) }
    }

    fn timed<T>(&self, what: What, f: impl FnOnce() -> T) -> T {
        if !self.on || self.steps_left.get() == Some(0) {
            return f();
        }
        let start = Moment::now(self.device);
        let result = f();
        let end = Moment::now(self.device);
        self.begun.borrow_mut().push(Begun { what, start, end });
        result
    }

    /// Runs a part of an instruction; `first` where it is its first part.
    pub(crate) fn instruction<T>(
        &self,
        place: Place,
        index: usize,
        first: bool,
        f: impl FnOnce() -> T,
    ) -> T {
        let key = (place, u16::try_from(index).unwrap_or(u16::MAX));
        self.timed(What::Instruction(key, first), f)
    }

    /// Runs something beside the blocks.
    pub(crate) fn beside<T>(&self, what: Beside, f: impl FnOnce() -> T) -> T {
        self.timed(What::Beside(what), f)
    }

    /// A step begins; the actions of the one before are forgotten.
    pub(crate) fn begin(&self) {
        self.actions.borrow_mut().clear();
        self.began.replace(self.now());
    }

    /// A step has ended.
    pub(crate) fn end(&self) {
        self.steps_left.set(self.steps_left.get().map(|left| left.saturating_sub(1)));
    }

    /// An action that began at `start` has ended. Waiting for a message is no action.
    pub(crate) fn ran(&self, action: &Action, start: Moment) {
        let (kind, step, chunk) = match action {
            Action::Receive { .. } => return,
            Action::Run(step) => {
                let kind = match step.pass {
                    crate::lower::Pass::Forward => SpanKind::Forward,
                    crate::lower::Pass::Backward => SpanKind::Backward,
                };
                (kind, Some(step), step.chunk)
            }
            Action::Send { step, .. } => (SpanKind::Transfer, Some(step), step.chunk),
            Action::ReduceOverData { chunk } => (SpanKind::GradientReduce, None, *chunk),
            Action::ReduceOverTensor | Action::SumTied => (SpanKind::GradientReduce, None, 0),
            Action::GradientNorm | Action::Optimizer => (SpanKind::Optimizer, None, 0),
            Action::GatherParameters => (SpanKind::ParameterGather, None, 0),
        };
        if !self.on {
            return;
        }
        let ran = Ran {
            kind,
            micro_batch: step.map(|step| u64::from(step.micro_batch)),
            chunk: u64::from(chunk),
            start_s: 0.0,
            end_s: 0.0,
            // Memory is handed out in the order of the program, by the host.
            bytes: lmplan_c10d::memory(self.device).map_or(0, |memory| memory.current),
        };
        self.actions.borrow_mut().push((ran, start, self.now()));
        if let Some((gauge, readings)) = self.gauge.borrow_mut().as_mut() {
            readings.push(gauge.read());
        }
    }

    /// Reads the moments of what has been begun.
    fn settle(&self) {
        let begun = self.begun.take();
        if begun.is_empty() {
            return;
        }
        self.synchronize();
        let mut instructions = self.instructions.borrow_mut();
        let mut beside = self.beside.borrow_mut();
        for Begun { what, start, end } in begun {
            let Some(seconds) = end.since(&start) else { continue };
            match what {
                What::Beside(what) => beside.entry(what).or_default().push(seconds),
                What::Instruction(key, first) => {
                    let times = instructions.entry(key).or_default();
                    match times.last_mut() {
                        Some(last) if !first => *last += seconds,
                        _ => times.push(seconds),
                    }
                }
            }
        }
    }

    /// The actions of the last step.
    pub fn actions(&self) -> Vec<Ran> {
        self.synchronize();
        let began = self.began.borrow();
        let since = |moment: &Moment| moment.since(&began).unwrap_or(0.0);
        let all = self.actions.borrow();
        all.iter()
            .map(|(ran, start, end)| Ran { start_s: since(start), end_s: since(end), ..*ran })
            .collect()
    }

    /// What was recorded, by instruction.
    pub fn instructions(&self) -> BTreeMap<(Place, u16), Vec<f64>> {
        self.settle();
        self.instructions.borrow().clone()
    }

    /// What was recorded beside the blocks.
    pub fn beside_times(&self) -> BTreeMap<Beside, Vec<f64>> {
        self.settle();
        self.beside.borrow().clone()
    }

    /// Forgets what was recorded.
    pub fn clear(&self) {
        self.begun.borrow_mut().clear();
        self.instructions.borrow_mut().clear();
        self.beside.borrow_mut().clear();
        if let Some((_, readings)) = self.gauge.borrow_mut().as_mut() {
            readings.clear();
        }
        self.steps_left.set(self.sampled);
    }
}
