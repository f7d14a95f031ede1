//! Collectives and messages between ranks of this machine, measured as a run has them.

use super::request::{Request, plan, stack};
use crate::cost::fit::MeasuredCollective;
use crate::cost::{MESSAGE, table_name};
use crate::executor::error::{ExecutorError, Result};
use crate::executor::ranks::RankResult;
use crate::executor::ranks::launch;
use crate::executor::ranks::task::{Mode, Task};
use crate::executor::run::comm::Ranks;
use crate::graph::Collective;
use crate::spec::{self, MeasuredRow};
use crate::units::statistics::mean_without_longest;
use crate::units::{Bytes, Seconds};
use lmplan_c10d::Envelope;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// How often each collective is timed.
pub(super) const fn repetitions(request: &Request) -> u64 {
    if request.quick { 5 } else { 31 }
}

/// Collectives and messages between two ranks of this machine.
pub(super) struct Between {
    pub(super) collectives: Vec<MeasuredCollective>,
    /// Bytes and seconds of a message one way.
    pub(super) messages: Vec<(u64, f64)>,
}

/// Measures between two ranks of this machine.
pub(super) fn measure(program: &Path, request: &Request) -> Result<Between> {
    let (model, _) = spec::load_model("gpt2-124m", crate::spec::catalog::built_in())
        .map_err(|error| ExecutorError::Program(error.to_string()))?;
    let task = Task {
        steps: repetitions(request),
        ..Task::new(Mode::Collectives, model, plan(2, 1), stack()?)
    };
    let answers = launch(program, &task)?;
    // Who comes first waits for the other: the mean of both is what a step is longer for it.
    let ranks = answers.len().max(1) as f64;
    let of_first = answers.first().map(|answer| answer.collectives.clone()).unwrap_or_default();
    let row = |(index, (collective, bytes, _)): (usize, (_, u64, f64))| {
        let all = answers.iter().filter_map(|answer| answer.collectives.get(index));
        MeasuredCollective {
            device: String::new(),
            collective,
            ranks: 2,
            bytes: Bytes::new(bytes),
            time: Seconds::new(all.map(|(_, _, seconds)| seconds).sum::<f64>() / ranks),
        }
    };
    let collectives = of_first.into_iter().enumerate().map(row).collect();
    let messages = answers.into_iter().next().map(|answer| answer.messages).unwrap_or_default();
    Ok(Between { collectives, messages })
}

/// Collectives and messages as rows of a table.
pub(super) fn table(between: &Between, repetitions: u64) -> BTreeMap<String, Vec<MeasuredRow>> {
    let mut table: BTreeMap<String, Vec<MeasuredRow>> = BTreeMap::new();
    for row in &between.collectives {
        if let Some(name) = table_name(row.collective) {
            let sizes = [row.bytes.get(), row.ranks, repetitions];
            table.entry(name.to_owned()).or_default().push(MeasuredRow { sizes, time: row.time });
        }
    }
    let message = |(bytes, seconds): &(u64, f64)| MeasuredRow {
        sizes: [*bytes, 2, repetitions],
        time: Seconds::new(*seconds),
    };
    table.insert(MESSAGE.to_owned(), between.messages.iter().map(message).collect());
    table
}

/// What a rank does: collectives and messages of 256 bytes to 64 MiB (16 MiB where few are timed) as a run has them, each after
/// some computation, so that the ranks come one after the other and what their caches and cores
/// were busy with is gone.
pub(in crate::executor) fn work(world: &Ranks, repeats: u64) -> Result<RankResult> {
    let mut answer = RankResult::default();
    let ways = world.size();
    let factor = Tensor::ones([512, 512], (Kind::Float, Device::Cpu));
    // In a plan ranks come from some milliseconds of work of their own, never at once.
    let compute = || (0..2).for_each(|_| drop(factor.matmul(&factor)));
    // Beyond the largest the rate stays as it is there.
    let (largest, step) = if repeats < 10 { (22, 4) } else { (24, 2) };
    for power in (6..=largest).step_by(step) {
        let elements: i64 = 1 << power;
        let whole = Tensor::zeros([elements], (Kind::Float, Device::Cpu));
        let part = whole.narrow(0, 0, elements / ways).copy();
        let all = [
            Collective::AllReduce,
            Collective::AllGather,
            Collective::ReduceScatter,
            Collective::AllToAll,
        ];
        let bytes = elements as u64 * 4;
        for collective in all {
            let mut seconds = Vec::new();
            for _ in 0..=repeats {
                compute();
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
            answer.collectives.push((collective, bytes, mean_without_longest(&seconds[1..])));
        }
        let mut seconds = Vec::new();
        for _ in 0..=repeats {
            compute();
            seconds.push(there_and_back(world, &whole)? / 2.0);
        }
        answer.messages.push((bytes, mean_without_longest(&seconds[1..])));
    }
    Ok(answer)
}

/// Seconds of a message to the other of two ranks and back, as stages of a pipeline send it.
fn there_and_back(world: &Ranks, message: &Tensor) -> Result<f64> {
    let Some(group) = world.real() else { return Ok(0.0) };
    let first = group.rank() == 0;
    let other = 1 - group.rank().min(1);
    let into = Tensor::empty(message.size(), (message.kind(), Device::Cpu));
    let with = |tag| Envelope { peer: other, tag, lane: 0 };
    let start = Instant::now();
    if first {
        let sending = group.send(message.copy(), with(0))?;
        group.receive(&into, with(1))?;
        sending.wait()?;
    } else {
        group.receive(&into, with(0))?;
        group.send(into, with(1))?.wait()?;
    }
    Ok(start.elapsed().as_secs_f64())
}
