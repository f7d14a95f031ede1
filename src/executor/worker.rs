//! The process of one rank.

use super::calibrate;
use super::caught::panic_text;
use super::error::Result;
use crate::executor::ranks::failure::Failure;
use crate::executor::ranks::fault::{Fault, GroupKind, fail_on_purpose, name_of};
use crate::executor::ranks::task::{Mode, Task};
use crate::executor::ranks::{HEARTBEAT, Line, Meeting, RankResult, join};
use crate::executor::run::comm::Ranks;
use crate::executor::run::gauge::Gauge;
use crate::executor::run::rank::{Groups, Rank};
use crate::executor::run::setup;
use crate::executor::run::timed::timed;
use crate::executor::verify::compare;
use crate::mesh::Mesh;
use lmplan_c10d::Store;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tch::Device;

/// Runs a task as one of its ranks, and writes its lines to `out`. Answers whether it succeeded.
pub fn work(task: &Task, meeting: &Meeting, out: impl Write + Send) -> bool {
    let out = Mutex::new(out);
    let say = |line: &Line| {
        if let (Ok(mut out), Ok(text)) = (out.lock(), serde_json::to_string(line)) {
            // Nobody is left to tell where the reader is gone.
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        }
    };
    std::thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let beat = &say;
        scope.spawn(move || {
            while stopped
                .recv_timeout(HEARTBEAT)
                .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                beat(&Line::Alive);
            }
        });
        std::panic::set_hook(Box::new(|_| {}));
        let result = catch_unwind(AssertUnwindSafe(|| run(task, meeting)));
        let _ = std::panic::take_hook();
        drop(stop);
        let line = match result {
            Ok(Ok(answer)) => Line::Done(Box::new(answer)),
            Ok(Err(error)) => Line::Failed(Failure::of(&error)),
            Err(panic) => Line::Failed(Failure::own(panic_text(panic.as_ref()))),
        };
        say(&line);
        matches!(line, Line::Done(_))
    })
}

/// Runs a task as one of its ranks, in this thread.
pub fn run(task: &Task, meeting: &Meeting) -> Result<RankResult> {
    if task.cuda {
        lmplan_c10d::load_cuda()?;
    }
    // Made before memory is counted, it does not count.
    let mut gauge = (task.mode == Mode::Whole).then(Gauge::new);
    if !task.cuda {
        lmplan_c10d::count_cpu_memory()?;
    }
    // One core for each rank, as the device of the machine's cores is calibrated.
    tch::set_num_threads(1);
    lmplan_c10d::keep_host_memory();
    let _no_tape = tch::no_grad_guard();
    let patience = Duration::from_secs_f64(task.patience_s);
    let (workload, mapping) = task.mapping(&task.plan)?;
    let store = Store::tcp(&meeting.host, meeting.port, false, patience)?;
    let device = device(task.cuda, meeting.local_rank);
    let gpu = lmplan_c10d::gpu_index(device).filter(|_| task.nccl);
    let (mut tensor, mut groups) = join(&store, meeting, &mapping.candidate, patience, gpu)?;
    if let Some(Fault::Collective(kind, _)) = task.fault {
        let spoil = |ranks: &mut Ranks| *ranks = std::mem::replace(ranks, Ranks::Alone).faulty();
        spoil(match kind {
            GroupKind::Tensor => &mut tensor,
            GroupKind::Data => &mut groups.data,
            GroupKind::Tied => &mut groups.tied,
            GroupKind::World => &mut groups.world,
        });
    }
    let c = &mapping.candidate;
    let seat = c.mesh().coordinates(meeting.rank);
    if task.mode == Mode::Collectives {
        return calibrate::collectives::work(&groups.world, task.steps);
    }
    if let Mode::Kernels { quick } = task.mode {
        return calibrate::kernels::work(&groups.world, device, quick);
    }
    let Some(gauge) = &mut gauge else {
        return numerics(task, (meeting.rank, device), tensor, groups);
    };
    let mut options = task.options(device);
    (options.timed, options.dropout, options.at_true_size) = (true, true, true);
    let mut rank = setup::rank(&workload, &mapping, seat, tensor, groups, &options)?;
    whole(task, &mut rank, gauge)
}

/// Compares the plan with one device, in each precision.
fn numerics(
    task: &Task,
    (number, device): (u64, Device),
    mut tensor: Ranks,
    mut groups: Groups,
) -> Result<RankResult> {
    let seat = Mesh::of(&task.plan.parallelism).coordinates(number);
    let mut answer = RankResult::default();
    for task in task.by_precision() {
        let (workload, mapping) = task.mapping(&task.plan)?;
        let mut rank =
            setup::rank(&workload, &mapping, seat, tensor, groups, &task.options(device))?;
        match &task.fault {
            Some(Fault::Skip(action)) => {
                rank.program.actions.retain(|other| name_of(other) != Some(action));
            }
            Some(Fault::In16Bits(what)) => rank.fault = Some(*what),
            _ => {}
        }
        answer.compared.push(compare::numerics(&task, number, &mut rank)?);
        (tensor, groups) = (rank.env.tensor, rank.groups);
    }
    Ok(answer)
}

/// The GPU of a rank, or the host.
fn device(cuda: bool, local_rank: u64) -> Device {
    let devices = usize::try_from(tch::Cuda::device_count()).unwrap_or(0).max(1);
    if cuda { Device::Cuda(local_rank as usize % devices) } else { Device::Cpu }
}

/// Runs the plan, timed.
fn whole(task: &Task, rank: &mut Rank, gauge: &mut Gauge) -> Result<RankResult> {
    let mut answer = RankResult::default();
    let device = rank.env.device;
    rank.recorder.sample(1);
    answer.state_bytes = lmplan_c10d::reset_peak(device)?.current;
    for step in 0..task.steps {
        if step == 1 {
            fail_on_purpose(task.fault.as_ref(), rank.seat.tensor);
            // The first step allocates and connects.
            rank.recorder.clear();
            lmplan_c10d::reset_peak(device)?;
        }
        if let Some(world) = rank.groups.world.real() {
            world.barrier()?;
        }
        if device == Device::Cpu && step > 0 {
            // All ranks at once, as they run.
            answer.pace.push(gauge.read());
        }
        if let Some(world) = rank.groups.world.real() {
            world.barrier()?;
        }
        let start = Instant::now();
        rank.iteration()?;
        rank.recorder.synchronize();
        answer.iterations_s.push(start.elapsed().as_secs_f64());
    }
    if device == Device::Cpu {
        answer.pace.push(gauge.read());
    }
    let memory = lmplan_c10d::memory(device)?;
    (answer.peak_bytes, answer.reserved_bytes) = (memory.peak, memory.reserved);
    answer.library_bytes = memory.libraries;
    answer.times = timed(&rank.recorder);
    answer.actions = rank.recorder.actions();
    answer.beside = rank.recorder.beside_times().into_iter().collect();
    Ok(answer)
}
