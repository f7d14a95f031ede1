//! Starts the ranks of a run as processes of this machine, watches them, and ends them all where
//! one fails.

use super::failure::{Failure, first_cause};
use super::meeting::{HEARTBEAT, Meeting};
use super::result::{Line, RankResult};
use super::task::Task;
use crate::executor::error::{ExecutorError, Result};
use lmplan_c10d::Store;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// A rank that is silent for this long hangs.
pub(crate) const SILENCE: Duration = Duration::from_secs(8);

/// What comes from the ranks.
enum Event {
    Line(usize, Line),
    /// Its output has ended; what it wrote to standard error.
    End(usize, String),
}

/// Processes that end with this value.
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Those that have ended already can not be killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ranks of a task that run on this machine.
pub(crate) struct Started {
    /// Number of each.
    numbers: Vec<u64>,
    children: Children,
    events: Receiver<Event>,
}

/// Runs a task on as many ranks as its plan names, all on this machine; their answers, by rank.
///
/// `program` is this program, whose command `rank` runs a rank.
///
/// # Errors
/// A rank that fails, dies or hangs, with the reason. No process is left behind.
pub fn launch(program: &Path, task: &Task) -> Result<Vec<RankResult>> {
    let patience = Duration::from_secs_f64(task.patience_s);
    let store = Store::tcp("127.0.0.1", 0, true, patience)?;
    let port = store.port().ok_or_else(|| ExecutorError::Rank("the store has no port".into()))?;
    let here = "127.0.0.1".to_owned();
    let meeting = |rank| Meeting {
        host: here.clone(),
        port,
        prefix: String::new(),
        address: here.clone(),
        rank,
        local_rank: rank,
    };
    start(program, task, (0..task.plan.devices()).map(meeting))?.watch(&mut || Ok(()))
}

/// Starts ranks of a task.
pub(crate) fn start(
    program: &Path,
    task: &Task,
    ranks: impl Iterator<Item = Meeting>,
) -> Result<Started> {
    let (sender, events) = channel();
    let (mut numbers, mut children) = (Vec::new(), Children(Vec::new()));
    for (index, meeting) in ranks.enumerate() {
        let rank = meeting.rank;
        let order = serde_json::to_string(&(meeting, task)).map_err(|error| {
            ExecutorError::Program(format!("the task can not be written: {error}"))
        })?;
        let mut child = Command::new(program)
            .arg("rank")
            .env("OMP_NUM_THREADS", "1")
            .env("TORCH_CPP_LOG_LEVEL", "ERROR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(ExecutorError::io(format!("rank {rank} could not be started")))?;
        if let Some(mut input) = child.stdin.take() {
            let told = input.write_all(order.as_bytes());
            told.map_err(ExecutorError::io(format!("rank {rank} could not be told its task")))?;
        }
        listen(index, &mut child, &sender);
        numbers.push(rank);
        children.0.push(child);
    }
    Ok(Started { numbers, children, events })
}

/// Passes on what a rank says, from threads of their own, which end with its output.
fn listen(rank: usize, child: &mut Child, sender: &Sender<Event>) {
    let (Some(output), Some(mut errors)) = (child.stdout.take(), child.stderr.take()) else {
        return;
    };
    let complaints = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = errors.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let sender = sender.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
            if let Ok(line) = serde_json::from_str(&line)
                && sender.send(Event::Line(rank, line)).is_err()
            {
                return;
            }
        }
        let _ = sender.send(Event::End(rank, complaints.join().unwrap_or_default()));
    });
}

impl Started {
    /// Waits for the answers, in the order in which the ranks were started. `again` is called all
    /// the while; its error ends the run.
    pub(crate) fn watch(
        mut self,
        again: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Vec<RankResult>> {
        let ranks = self.numbers.len();
        let mut answers: Vec<Option<RankResult>> = vec![None; ranks];
        let mut heard = vec![Instant::now(); ranks];
        let mut failures: Vec<(u64, Failure)> = Vec::new();
        let mut failed_at: Option<Instant> = None;
        while answers.iter().any(Option::is_none) {
            match self.events.recv_timeout(HEARTBEAT) {
                Ok(Event::Line(index, line)) => {
                    heard[index] = Instant::now();
                    match line {
                        Line::Alive => {}
                        Line::Done(answer) => answers[index] = Some(*answer),
                        Line::Failed(why) => failures.push((self.numbers[index], why)),
                    }
                }
                Ok(Event::End(index, complaints)) => {
                    let rank = self.numbers[index];
                    let known = failures.iter().any(|(failed, _)| *failed == rank);
                    if answers[index].is_none() && !known {
                        // It ended without a word: the first cause of whatever else fails.
                        return Err(self.ended(index, &complaints));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let silent = (0..ranks)
                .find(|index| answers[*index].is_none() && heard[*index].elapsed() > SILENCE);
            if let Some(index) = silent {
                return Err(hangs(self.numbers[index]));
            }
            again()?;
            // Others fail when one does; a moment shows which was first and why.
            if !failures.is_empty() {
                let since = *failed_at.get_or_insert_with(Instant::now);
                if since.elapsed() > HEARTBEAT {
                    break;
                }
            }
        }
        match first_cause(&failures) {
            Some((rank, failure)) => Err(failure.of_rank(*rank)),
            None => answers
                .into_iter()
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| ExecutorError::Rank("a rank ended without an answer".to_owned())),
        }
    }

    fn ended(&mut self, index: usize, complaints: &str) -> ExecutorError {
        let how = self.children.0[index].wait().map(|status| status.to_string());
        let how = how.unwrap_or_else(|error| error.to_string());
        let last = complaints.lines().last().unwrap_or_default();
        let text = format!("rank {} ended: {how} {last}", self.numbers[index]);
        ExecutorError::Rank(text.trim_end().to_owned())
    }
}

/// A rank that says nothing any more.
pub(crate) fn hangs(rank: u64) -> ExecutorError {
    let seconds = SILENCE.as_secs();
    ExecutorError::Rank(format!("rank {rank} hangs: it has been silent for {seconds} seconds"))
}
