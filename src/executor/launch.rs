//! Starts the ranks of a run as processes of this machine, watches them, and ends them all where
//! one fails.

use super::error::{ExecutorError, Result};
use super::task::{Answer, Line, Task};
use super::worker::HEARTBEAT;
use lmplan_c10d::Store;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// A rank that is silent for this long hangs.
const SILENCE: Duration = Duration::from_secs(8);

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

/// Runs a task on as many ranks as its plan names; their answers, by rank.
///
/// `program` is this program, which takes a rank's part with the arguments that
/// [`rank_arguments`] gives.
///
/// # Errors
/// A rank that fails, dies or hangs, with the reason. No process is left behind.
pub fn launch(program: &Path, task: &Task) -> Result<Vec<Answer>> {
    let ranks = task.plan.devices() as usize;
    let patience = Duration::from_secs_f64(task.patience_s);
    let store = Store::tcp("127.0.0.1", 0, true, patience)?;
    let port = store.port().ok_or_else(|| ExecutorError::Rank("the store has no port".into()))?;
    let text = serde_json::to_string(task)
        .map_err(|error| ExecutorError::Program(format!("the task can not be written: {error}")))?;
    let (sender, events) = channel();
    let mut children = Children(Vec::with_capacity(ranks));
    for rank in 0..ranks {
        let mut child = Command::new(program)
            .args(rank_arguments(rank, port))
            .env("OMP_NUM_THREADS", "1")
            .env("TORCH_CPP_LOG_LEVEL", "ERROR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(ExecutorError::io(format!("rank {rank} could not be started")))?;
        if let Some(mut input) = child.stdin.take() {
            let told = input.write_all(text.as_bytes());
            told.map_err(ExecutorError::io(format!("rank {rank} could not be told its task")))?;
        }
        listen(rank, &mut child, &sender);
        children.0.push(child);
    }
    drop(sender);
    watch(&mut children, &events)
}

/// The arguments with which a rank of [`launch`] is started.
pub fn rank_arguments(rank: usize, port: u16) -> Vec<String> {
    ["rank", "--rank", &rank.to_string(), "--port", &port.to_string()].map(str::to_owned).to_vec()
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

fn watch(children: &mut Children, events: &Receiver<Event>) -> Result<Vec<Answer>> {
    let ranks = children.0.len();
    let mut answers: Vec<Option<Answer>> = vec![None; ranks];
    let mut heard = vec![Instant::now(); ranks];
    let mut failures: Vec<(usize, String)> = Vec::new();
    let mut failed_at: Option<Instant> = None;
    while answers.iter().any(Option::is_none) {
        match events.recv_timeout(HEARTBEAT) {
            Ok(Event::Line(rank, line)) => {
                heard[rank] = Instant::now();
                match line {
                    Line::Alive => {}
                    Line::Done(answer) => answers[rank] = Some(*answer),
                    Line::Failed(why) => failures.push((rank, why)),
                }
            }
            Ok(Event::End(rank, complaints)) => {
                let known = failures.iter().any(|(failed, _)| *failed == rank);
                if answers[rank].is_none() && !known {
                    // It ended without a word: the first cause of whatever else fails.
                    let how = children.0[rank].wait().map(|status| status.to_string());
                    let how = how.unwrap_or_else(|error| error.to_string());
                    let last = complaints.lines().last().unwrap_or_default();
                    let text = format!("rank {rank} ended: {how} {last}");
                    return Err(ExecutorError::Rank(text.trim_end().to_owned()));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let silent =
            (0..ranks).find(|rank| answers[*rank].is_none() && heard[*rank].elapsed() > SILENCE);
        if let Some(rank) = silent {
            let seconds = SILENCE.as_secs();
            let text = format!("rank {rank} hangs: it has been silent for {seconds} seconds");
            return Err(ExecutorError::Rank(text));
        }
        // Others fail when one does; a moment shows which was first and why.
        if !failures.is_empty() {
            let since = *failed_at.get_or_insert_with(Instant::now);
            if since.elapsed() > HEARTBEAT {
                break;
            }
        }
    }
    match first_cause(&failures) {
        Some((rank, why)) => Err(ExecutorError::Rank(format!("rank {rank}: {why}"))),
        None => answers
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| ExecutorError::Rank("a rank ended without an answer".to_owned())),
    }
}

/// Lost connections are what other ranks see of a failure.
fn first_cause(failures: &[(usize, String)]) -> Option<&(usize, String)> {
    let follows = |why: &str| {
        ["onnection", "Timed out", "gloo", "socket"].iter().any(|word| why.contains(word))
    };
    failures.iter().find(|(_, why)| !follows(why)).or(failures.first())
}
