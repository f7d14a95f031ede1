//! The process of one rank.

use super::caught::panic_text;
use super::comm::Ranks;
use super::compare;
use super::error::Result;
use super::rank::{Rank, Seat};
use super::setup;
use super::task::{Answer, Fault, GroupKind, Line, Mode, Task, join};
use crate::graph::Collective;
use crate::lower::Action;
use lmplan_c10d::Store;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// How often a rank says that it is alive.
pub const HEARTBEAT: Duration = Duration::from_millis(500);

/// Where a rank's process finds the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meeting {
    /// Host of the store.
    pub host: String,
    /// Port of the store.
    pub port: u16,
    /// Before the names of this run's groups in the store.
    pub prefix: String,
    /// Interface for messages; the host's own where empty.
    pub address: String,
    /// Number of this rank.
    pub rank: u64,
    /// Its number on this machine, for the choice of a GPU.
    pub local_rank: u64,
}

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
            Ok(Err(error)) => Line::Failed(error.to_string()),
            Err(panic) => Line::Failed(panic_text(panic.as_ref())),
        };
        say(&line);
        matches!(line, Line::Done(_))
    })
}

fn run(task: &Task, meeting: &Meeting) -> Result<Answer> {
    if task.cuda {
        lmplan_c10d::load_cuda()?;
    } else {
        lmplan_c10d::count_cpu_memory()?;
    }
    // One core for each rank, as the device of the machine's cores is calibrated.
    tch::set_num_threads(1);
    lmplan_c10d::keep_host_memory();
    let _no_tape = tch::no_grad_guard();
    let patience = Duration::from_secs_f64(task.patience_s);
    let (job, choice) = task.choice(&task.plan)?;
    let store = Store::tcp(&meeting.host, meeting.port, false, patience)?;
    let device = device(task.cuda, meeting.local_rank);
    let gpu = lmplan_c10d::gpu_index(device).filter(|_| task.nccl);
    let (mut tensor, mut groups) = join(&store, meeting, &choice, patience, gpu)?;
    if let Some(Fault::Collective(kind, _)) = task.fault {
        let spoil = |ranks: &mut Ranks| *ranks = std::mem::replace(ranks, Ranks::Alone).faulty();
        spoil(match kind {
            GroupKind::Tensor => &mut tensor,
            GroupKind::Data => &mut groups.data,
            GroupKind::Tied => &mut groups.tied,
            GroupKind::World => &mut groups.world,
        });
    }
    let c = &choice.candidate;
    let seat = Seat::of(meeting.rank, c.tensor, c.data);
    if task.mode == Mode::Collectives {
        return collectives(&groups.world, task.steps);
    }
    let mut options = task.options(device);
    options.timed = task.mode == Mode::Whole;
    options.dropout = task.mode == Mode::Whole;
    options.at_true_size = task.mode == Mode::Whole;
    let mut rank = setup::rank(&job, &choice, seat, tensor, groups, &options)?;
    if let Some(Fault::Skip(action)) = &task.fault {
        rank.program.actions.retain(|other| name_of(other) != Some(action));
    }
    match task.mode {
        Mode::Numerics => compare::numerics(task, meeting.rank, &mut rank),
        Mode::Whole | Mode::Collectives => whole(task, &mut rank),
    }
}

/// The GPU of a rank, or the host.
fn device(cuda: bool, local_rank: u64) -> Device {
    let devices = usize::try_from(tch::Cuda::device_count()).unwrap_or(0).max(1);
    if cuda { Device::Cuda(local_rank as usize % devices) } else { Device::Cpu }
}

/// Names of actions that a fault may leave out.
fn name_of(action: &Action) -> Option<&'static str> {
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
pub(super) fn fail_on_purpose(task: &Task, rank: u64) {
    match &task.fault {
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

/// Runs the plan, timed.
fn whole(task: &Task, rank: &mut Rank) -> Result<Answer> {
    let mut answer = Answer::default();
    let device = rank.env.device;
    rank.recorder.sample(1);
    answer.state_bytes = lmplan_c10d::reset_peak(device)?.current;
    for step in 0..task.steps {
        if step == 1 {
            fail_on_purpose(task, rank.seat.tensor);
            // The first step allocates and connects.
            rank.recorder.clear();
            lmplan_c10d::reset_peak(device)?;
        }
        if let Some(world) = rank.groups.world.real() {
            world.barrier()?;
        }
        let start = Instant::now();
        let own = rank.iteration()?;
        rank.recorder.synchronize();
        answer.iterations_s.push(start.elapsed().as_secs_f64());
        answer.losses.push((own.loss, 0.0));
    }
    let memory = lmplan_c10d::memory(device)?;
    (answer.peak_bytes, answer.reserved_bytes) = (memory.peak, memory.reserved);
    answer.library_bytes = memory.libraries;
    answer.times = super::measure::timed(&rank.recorder);
    answer.actions = rank.recorder.actions();
    answer.beside = rank.recorder.beside_times().into_iter().collect();
    Ok(answer)
}

/// Times collectives of 256 bytes to 64 MiB as a run has them: each after some computation, so that
/// the ranks come one after the other and what their caches and cores were busy with is gone.
fn collectives(world: &Ranks, repeats: u64) -> Result<Answer> {
    let mut answer = Answer::default();
    let ways = world.size();
    let factor = Tensor::ones([512, 512], (Kind::Float, Device::Cpu));
    for power in (6..=24).step_by(2) {
        let elements: i64 = 1 << power;
        let whole = Tensor::zeros([elements], (Kind::Float, Device::Cpu));
        let part = whole.narrow(0, 0, elements / ways).copy();
        let all = [
            Collective::AllReduce,
            Collective::AllGather,
            Collective::ReduceScatter,
            Collective::AllToAll,
        ];
        for collective in all {
            let mut seconds = Vec::new();
            for _ in 0..=repeats {
                // In a plan ranks come from some milliseconds of work of their own, never at once.
                (0..2).for_each(|_| drop(factor.matmul(&factor)));
                let start = Instant::now();
                let result = match collective {
                    Collective::AllReduce => world.all_reduce(&whole, false)?,
                    Collective::AllGather => world.all_gather(&part)?,
                    Collective::ReduceScatter => world.reduce_scatter(&whole)?,
                    _ => world.all_to_all(&whole)?,
                };
                seconds.push(start.elapsed().as_secs_f64());
                drop(result);
            }
            let bytes = elements as u64 * 4;
            answer.collectives.push((collective, bytes, usual(&mut seconds[1..])));
        }
    }
    Ok(answer)
}

/// The mean without the tenth that is longest. Who waits for others waits for each of their delays,
/// so the middle one is too short; a neighbour's burst on the machine is not the collective's.
fn usual(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    let kept = &seconds[..seconds.len() - seconds.len() / 10];
    kept.iter().sum::<f64>() / kept.len().max(1) as f64
}
