//! Kernels timed on the device at hand: products by themselves, everything else as the executor
//! runs it.

use super::comm::Ranks;
use super::error::{ExecutorError, Result};
use super::measure::{self, median};
use super::rank::{Groups, Seat};
use super::record::Beside;
use super::setup::{self, RunOptions};
use crate::cost::fit::MeasuredKernel;
use crate::cost::optimizer_kernels;
use crate::graph::{GemmPass, Kernel, PassKind};
use crate::planner::choice::Choice;
use crate::planner::job::Job;
use crate::sharding::Instruction;
use crate::units::{Bytes, Seconds};
use std::time::Instant;
use tch::{Cuda, Device, Kind, Tensor};

/// A kernel runs for at least this long.
const AT_LEAST_S: f64 = 0.02;

fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(i64::try_from(index).unwrap_or(0));
    }
}

/// Seconds of one call: the median of five rounds of as many calls as fill their time.
pub fn seconds_of(device: Device, mut f: impl FnMut()) -> f64 {
    let mut round = |calls: u32| {
        synchronize(device);
        let start = Instant::now();
        (0..calls).for_each(|_| f());
        synchronize(device);
        start.elapsed().as_secs_f64() / f64::from(calls)
    };
    let first = round(1).min(round(1));
    let calls = (AT_LEAST_S / first.max(1e-9)).clamp(1.0, 1000.0) as u32;
    median(&(0..5).map(|_| round(calls)).collect::<Vec<_>>())
}

/// A product \[m, k\] x \[k, n\].
pub fn product(device: Device, kind: Kind, [m, n, k]: [i64; 3]) -> f64 {
    let a = Tensor::randn([m, k], (kind, device));
    let b = Tensor::randn([k, n], (kind, device));
    seconds_of(device, || drop(a.matmul(&b)))
}

/// Bytes a second, read and written, of a copy that no cache holds.
pub fn copy_bandwidth(device: Device) -> f64 {
    let elements = if device.is_cuda() { 1 << 28 } else { 1 << 25 };
    let from = Tensor::zeros([elements], (Kind::Float, device));
    let mut to = Tensor::zeros([elements], (Kind::Float, device));
    let seconds = seconds_of(device, || to.copy_(&from));
    8.0 * elements as f64 / seconds
}

/// Products of the sides that models have.
pub fn products(device: Device, kind: Kind, quick: bool) -> Vec<MeasuredKernel> {
    let sides: &[i64] = if quick { &[128, 512, 1536] } else { &[64, 128, 256, 768, 2048] };
    let bytes = kind.elt_size_in_bytes() as u64;
    let mut all = Vec::new();
    for &m in sides {
        for &n in sides {
            for &k in sides {
                let time = Seconds::new(product(device, kind, [m, n, k]));
                let [m, n, k] = [m, n, k].map(|side| side as u64);
                let kernel = Kernel::Gemm {
                    batch: 1,
                    m,
                    n,
                    k,
                    operand_bytes: bytes,
                    result_bytes: bytes,
                    accumulate: false,
                    pass: GemmPass::Forward,
                };
                all.push(MeasuredKernel {
                    device: String::new(),
                    kernel,
                    beside: Bytes::ZERO,
                    time,
                });
            }
        }
    }
    all
}

/// Kernels of a plan and what they took altogether.
#[derive(Debug, Clone)]
pub struct PlanKernels {
    /// Each with the middle one of its times.
    pub kernels: Vec<MeasuredKernel>,
    /// Seconds of all runs of all kernels, and what they were if each took the middle one of its
    /// times.
    pub totals: (f64, f64),
}

/// Every kernel of a plan for one device, as the executor runs it, and its optimizer's passes.
///
/// # Errors
/// What the executor lacks for the model.
pub fn kernels_of(job: &Job, choice: &Choice, device: Device, repeats: u64) -> Result<PlanKernels> {
    let options = RunOptions {
        device,
        double: false,
        dropout: true,
        gate_pieces: 1,
        at_true_size: true,
        timed: true,
        seed: 0,
    };
    let program =
        choice.program(job, 0).map_err(|error| ExecutorError::Program(error.to_string()))?;
    let groups = Groups { data: Ranks::Alone, tied: Ranks::Alone, world: Ranks::Alone };
    let seat = Seat { tensor: 0, data: 0, stage: 0 };
    let mut rank = setup::of_program(job, program, seat, Ranks::Alone, groups, &options)?;
    rank.iteration()?;
    rank.recorder.clear();
    for _ in 0..repeats {
        rank.iteration()?;
    }
    let mut all = Vec::new();
    let mut totals = (0.0, 0.0);
    for timed in measure::timed(&rank.recorder) {
        totals.0 += timed.seconds.iter().sum::<f64>();
        totals.1 += timed.median() * timed.seconds.len() as f64;
        if let Some(Instruction::Compute { kernel, .. }) = timed.instruction(&rank.program) {
            let time = Seconds::new(timed.median());
            let (device, kernel) = (String::new(), kernel.clone());
            all.push(MeasuredKernel { device, kernel, beside: Bytes::ZERO, time });
        }
    }
    let beside = rank.recorder.beside_times();
    let elements = rank.blocks.iter().flatten().map(|state| state.flat.elements as u64).sum();
    let training = &job.model.training;
    let passes = optimizer_kernels(elements, training.precision, &job.stack, training.optimizer);
    let of = |what: &Beside| beside.get(what).map_or(0.0, |seconds| median(seconds));
    let time = Seconds::new(of(&Beside::GradientNorm) + of(&Beside::Optimizer));
    let kernel = together(&passes);
    all.push(MeasuredKernel { device: String::new(), kernel, beside: Bytes::ZERO, time });
    Ok(PlanKernels { kernels: all, totals })
}

/// Several passes of the optimizer as one.
fn together(passes: &[Kernel]) -> Kernel {
    let (mut all_read, mut all_written, mut all_launches) = (Bytes::ZERO, Bytes::ZERO, 0);
    for pass in passes {
        if let Kernel::Memory { read, written, launches, .. } = pass {
            all_read += *read;
            all_written += *written;
            all_launches += launches;
        }
    }
    Kernel::Memory {
        pass: PassKind::Optimizer,
        read: all_read,
        written: all_written,
        launches: all_launches,
    }
}
