//! Ranks as threads of this process: quicker than processes where many small runs are made and none
//! is to be ended.

use super::failure::{Failure, first_cause};
use super::meeting::Meeting;
use super::result::RankResult;
use super::task::Task;
use crate::executor::caught::panic_text;
use crate::executor::error::{ExecutorError, Result};
use lmplan_c10d::Store;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// What a rank does with its task: its answer, or why it has none.
pub type RankMain = fn(&Task, &Meeting) -> Result<RankResult>;

/// Runs a task on as many ranks as its plan names, each a thread; their answers, by rank.
///
/// # Errors
/// A rank that fails, with the reason.
pub(super) fn launch(main: RankMain, task: &Task) -> Result<Vec<RankResult>> {
    let patience = Duration::from_secs_f64(task.patience_s);
    let store = Store::tcp("127.0.0.1", 0, true, patience)?;
    let port = store.port().ok_or_else(|| ExecutorError::Rank("the store has no port".into()))?;
    let rank = |rank: u64| {
        let here = "127.0.0.1".to_owned();
        let (host, address, prefix) = (here.clone(), here, String::new());
        let meeting = Meeting { host, port, prefix, address, rank, local_rank: rank };
        let result = catch_unwind(AssertUnwindSafe(|| main(task, &meeting)));
        let result = result.map_err(|panic| Failure::own(panic_text(panic.as_ref())))?;
        result.map_err(|error| Failure::of(&error))
    };
    let results: Vec<std::result::Result<RankResult, Failure>> = std::thread::scope(|scope| {
        let rank = &rank;
        let ranks: Vec<_> =
            (0..task.plan.devices()).map(|number| scope.spawn(move || rank(number))).collect();
        let failed = || Err(Failure::own("its thread failed"));
        ranks.into_iter().map(|thread| thread.join().unwrap_or_else(|_| failed())).collect()
    });
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    for (number, result) in (0..).zip(results) {
        match result {
            Ok(answer) => answers.push(answer),
            Err(why) => failures.push((number, why)),
        }
    }
    match first_cause(&failures) {
        Some((rank, failure)) => Err(failure.of_rank(*rank)),
        None => Ok(answers),
    }
}
