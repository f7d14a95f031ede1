//! Where the ranks of a run come from: processes that this one starts, or one of each process that
//! a launcher (torchrun, Slurm, MPI) started on the machines of a cluster.
//!
//! Among the processes of a launcher rank 0 leads: it leaves tasks in the store where all meet, the
//! others [follow](Shared::follow). Each runs its own rank as a process of its own.

use super::environment::Environment;
use super::failure::{Failure, first_cause};
use super::launch::{SILENCE, hangs, launch, start};
use super::meeting::{HEARTBEAT, Meeting};
use super::result::RankResult;
use super::task::Task;
use super::threads::{self, RankMain};
use crate::executor::error::{ExecutorError, Result};
use lmplan_c10d::Store;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// The processes of a launcher wait so long for each other to start.
const GATHERING: Duration = Duration::from_secs(60);

/// Between two looks into the store.
const GLANCE: Duration = Duration::from_millis(100);

/// Once one rank has failed, the others have so long to say why.
const EXPLAINING: Duration = Duration::from_secs(2);

/// Processes whose signs of life are looked at at a time.
const LOOKS: usize = 64;

/// Largest value that the store of torch takes, with room to spare.
const PIECE: usize = 4 << 20;

/// Where the ranks of a run come from.
#[derive(Debug)]
pub enum World {
    /// Processes of this program, on this machine.
    Here(PathBuf),
    /// Threads of this process, each of which runs this, for numerics that are known not to hang.
    Threads(RankMain),
    /// The processes of a launcher; this is rank 0 of them.
    Shared(Shared),
}

/// What a rank says in the end.
type Said = std::result::Result<RankResult, Failure>;

impl World {
    /// Runs a task on as many ranks as its plan names; their answers, by rank.
    ///
    /// # Errors
    /// A rank that fails, dies or hangs, with the reason. No process is left behind.
    pub fn launch(&self, task: &Task) -> Result<Vec<RankResult>> {
        match self {
            World::Here(program) => launch(program, task),
            World::Threads(main) => threads::launch(*main, task),
            World::Shared(shared) => shared.lead(task),
        }
    }

    /// Whether each of so many ranks has a GPU of its own, and NCCL is there for them to talk over.
    pub fn has_gpu_for_each(&self, ranks: u64) -> bool {
        let here = match self {
            World::Here(_) | World::Threads(_) => ranks,
            World::Shared(shared) => shared.environment.local_size.unwrap_or(ranks).min(ranks),
        };
        let gpus = u64::try_from(tch::Cuda::device_count()).unwrap_or(0);
        gpus >= here && lmplan_c10d::nccl_version().is_ok()
    }

    /// Ranks that there can be, where that is known.
    pub const fn size(&self) -> Option<u64> {
        match self {
            World::Here(_) | World::Threads(_) => None,
            World::Shared(shared) => Some(shared.environment.size),
        }
    }
}

/// One of the processes of a launcher.
#[derive(Debug)]
pub struct Shared {
    program: PathBuf,
    environment: Environment,
    store: Store,
    /// Tasks so far.
    tasks: Cell<u64>,
    /// Ends the thread that says that this process is alive.
    _alive: Sender<()>,
}

/// When other processes were last seen to be alive.
struct Beats {
    /// Each with what it said last, and when that was new.
    seen: Vec<(u64, Option<Vec<u8>>, Instant)>,
    /// The one to look at next.
    next: usize,
}

impl Beats {
    fn new(ranks: impl Iterator<Item = u64>) -> Beats {
        Beats { seen: ranks.map(|rank| (rank, None, Instant::now())).collect(), next: 0 }
    }

    /// Looks at some of them.
    fn look(&mut self, shared: &Shared) -> Result<()> {
        for _ in 0..self.seen.len().min(LOOKS) {
            let at = self.next % self.seen.len();
            self.next = at + 1;
            let (rank, last, since) = &mut self.seen[at];
            let beat = shared.beat(*rank)?;
            if beat != *last {
                (*last, *since) = (beat, Instant::now());
            } else if since.elapsed() > SILENCE {
                return Err(hangs(*rank));
            }
        }
        Ok(())
    }
}

impl Shared {
    /// Meets the other processes. `program` is this program.
    ///
    /// # Errors
    /// A port that is taken, processes that do not come within a minute.
    pub fn meet(program: &Path, environment: Environment) -> Result<Shared> {
        let Environment { rank, host, port, served, .. } = &environment;
        let serves = *rank == 0 && !served;
        let connect = |serves| Store::tcp(host, *port, serves, GATHERING);
        let store = connect(serves).map_err(|error| {
            let text = error.to_string();
            ExecutorError::Rank(if serves && text.contains("EADDRINUSE") {
                format!("port {port} of {host} is taken: set MASTER_PORT to a free one")
            } else if serves {
                format!("rank 0 can not serve {host}:{port}: {}", text.lines().next().unwrap_or(""))
            } else {
                let seconds = GATHERING.as_secs();
                format!(
                    "rank {rank} finds no rank 0 at {host}:{port} within {seconds} s: {}",
                    text.lines().next().unwrap_or("")
                )
            })
        })?;
        // A connection of its own: the other may be waiting.
        let beating = connect(false)?;
        let key = key(&environment.run, &format!("alive/{rank}"));
        let (alive, ended) = channel();
        beating.set(&key, b"0")?;
        std::thread::spawn(move || {
            for beat in 1_u64.. {
                if ended.recv_timeout(HEARTBEAT) != Err(RecvTimeoutError::Timeout)
                    || beating.set(&key, beat.to_string().as_bytes()).is_err()
                {
                    return;
                }
            }
        });
        let program = program.to_owned();
        let shared = Shared { program, environment, store, tasks: Cell::new(0), _alive: alive };
        if shared.environment.rank == 0 {
            shared.gather()?;
        }
        Ok(shared)
    }

    /// Number of this process.
    pub const fn rank(&self) -> u64 {
        self.environment.rank
    }

    /// Waits until all others have come.
    fn gather(&self) -> Result<()> {
        let start = Instant::now();
        for rank in 1..self.environment.size {
            while self.beat(rank)?.is_none() {
                if start.elapsed() > GATHERING {
                    let Environment { size, host, port, .. } = &self.environment;
                    let seconds = GATHERING.as_secs();
                    return Err(ExecutorError::Rank(format!(
                        "rank {rank} of {size} has not come to {host}:{port} within {seconds} s"
                    )));
                }
                std::thread::sleep(GLANCE);
            }
        }
        Ok(())
    }

    /// What stands in the store.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let Environment { host, port, run, .. } = &self.environment;
        self.store.get(&self::key(run, key)).map_err(|_| {
            ExecutorError::Rank(format!("the store of rank 0 at {host}:{port} is gone"))
        })
    }

    /// What changes as long as another process is alive.
    fn beat(&self, rank: u64) -> Result<Option<Vec<u8>>> {
        self.get(&format!("alive/{rank}"))
    }

    /// Leaves a value in the store, in pieces.
    fn put(&self, key: &str, value: &impl Serialize) -> Result<()> {
        let text =
            serde_json::to_vec(value).map_err(|error| ExecutorError::Program(error.to_string()))?;
        let key = self::key(&self.environment.run, key);
        let pieces = text.chunks(PIECE);
        let count = pieces.len();
        for (index, piece) in pieces.enumerate() {
            self.store.set(&format!("{key}/{index}"), piece)?;
        }
        Ok(self.store.set(&key, count.to_string().as_bytes())?)
    }

    /// A value from the store, where it is there.
    fn take<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let broken = || ExecutorError::Rank(format!("`{key}` in the store can not be read"));
        let Some(count) = self.get(key)? else { return Ok(None) };
        let count: usize = std::str::from_utf8(&count)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(broken)?;
        let mut text = Vec::new();
        for index in 0..count {
            text.extend(self.get(&format!("{key}/{index}"))?.ok_or_else(broken)?);
        }
        serde_json::from_slice(&text).map(Some).map_err(|_| broken())
    }

    /// Runs a task on all processes that it needs; the answers of their ranks.
    fn lead(&self, task: &Task) -> Result<Vec<RankResult>> {
        let number = self.tasks.replace(self.tasks.get() + 1);
        self.put(&format!("task/{number}"), task)?;
        let mut beats = Beats::new(1..task.plan.devices());
        self.own_part(number, task, &mut beats)?;
        self.collect(number, task.plan.devices(), &mut beats)
    }

    /// Runs this process's rank of a task, and leaves its answer or failure in the store.
    fn own_part(&self, number: u64, task: &Task, beats: &mut Beats) -> Result<()> {
        let Environment { rank, local_rank, host, port, run, .. } = &self.environment;
        if *rank >= task.plan.devices() {
            return Ok(());
        }
        let local = ["127.0.0.1", "localhost", "::1"].contains(&host.as_str());
        let meeting = Meeting {
            host: host.clone(),
            port: *port,
            prefix: key(run, &format!("groups/{number}/")),
            address: if local { "127.0.0.1".to_owned() } else { String::new() },
            rank: *rank,
            local_rank: *local_rank,
        };
        let failure = format!("failed/{number}");
        let mut failed_at: Option<Instant> = None;
        let mut given_up = false;
        let result = start(&self.program, task, std::iter::once(meeting)).and_then(|started| {
            started.watch(&mut || {
                beats.look(self)?;
                if failed_at.is_none() && self.take::<()>(&failure)?.is_some() {
                    failed_at = Some(Instant::now());
                }
                given_up = failed_at.is_some_and(|since| since.elapsed() > EXPLAINING);
                if given_up { Err(ExecutorError::Rank(String::new())) } else { Ok(()) }
            })
        });
        // What another is the cause of, that one tells.
        if given_up {
            return Ok(());
        }
        let said: Said = match result.map(|mut answers| answers.pop()) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Failure::own(format!("rank {rank} has no answer"))),
            Err(error) => Err(Failure::of(&error)),
        };
        if said.as_ref().is_err_and(|failure| !failure.follows) {
            self.put(&failure, &())?;
        }
        self.put(&format!("answer/{number}/{rank}"), &said)
    }

    /// The answers of all ranks, or why there are none.
    fn collect(&self, number: u64, ranks: u64, beats: &mut Beats) -> Result<Vec<RankResult>> {
        let mut answers = Vec::new();
        let mut failures = Vec::new();
        let mut failed_at = None;
        for rank in 0..ranks {
            match self.answer((number, rank), beats, &mut failed_at)? {
                Some(Ok(answer)) => answers.push(answer),
                Some(Err(why)) => failures.push((rank, why)),
                None => {}
            }
        }
        match first_cause(&failures) {
            Some((_, failure)) => Err(ExecutorError::Rank(failure.why.clone())),
            None if answers.len() as u64 == ranks => Ok(answers),
            None => Err(ExecutorError::Rank("a rank ended without an answer".to_owned())),
        }
    }

    /// Waits for what a rank says; none where another has failed and this one has nothing to add.
    /// `failed_at` is when such a failure was seen.
    fn answer(
        &self,
        (number, rank): (u64, u64),
        beats: &mut Beats,
        failed_at: &mut Option<Instant>,
    ) -> Result<Option<Said>> {
        let key = format!("answer/{number}/{rank}");
        loop {
            if let Some(said) = self.take(&key)? {
                return Ok(Some(said));
            }
            if failed_at.is_none() && self.take::<()>(&format!("failed/{number}"))?.is_some() {
                *failed_at = Some(Instant::now());
            }
            if failed_at.is_some_and(|since| since.elapsed() > EXPLAINING) {
                return Ok(None);
            }
            beats.look(self)?;
            std::thread::sleep(GLANCE);
        }
    }

    /// Runs this process's rank of every task of rank 0, until that ends; whether it succeeds.
    ///
    /// # Errors
    /// Rank 0 that is gone.
    pub fn follow(&self) -> Result<bool> {
        let mut beats = Beats::new(std::iter::once(0));
        loop {
            let number = self.tasks.get();
            if let Some(task) = self.take::<Task>(&format!("task/{number}"))? {
                self.tasks.set(number + 1);
                self.own_part(number, &task, &mut beats)?;
            } else if let Some(succeeds) = self.take("end")? {
                self.put(&format!("bye/{}", self.environment.rank), &())?;
                return Ok(succeeds);
            }
            beats.look(self)?;
            std::thread::sleep(GLANCE);
        }
    }

    /// Tells the others that rank 0 ends, and whether it succeeds, and lets them read it.
    pub fn end(&self, succeeds: bool) {
        if self.put("end", &succeeds).is_err() {
            return;
        }
        let start = Instant::now();
        for rank in 1..self.environment.size {
            let key = format!("bye/{rank}");
            while start.elapsed() < EXPLAINING && matches!(self.take::<()>(&key), Ok(None)) {
                std::thread::sleep(GLANCE / 4);
            }
        }
    }
}

/// A key of a run in the store.
fn key(run: &str, key: &str) -> String {
    format!("lmplan/{run}/{key}")
}
