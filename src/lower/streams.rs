//! Two streams of one rank during one pass: computation, and communication beside it.
//!
//! A collective beside computation slows it by `contention` for as long as both run: it takes
//! part of the multiprocessors and of the memory bandwidth.

use crate::units::SimTime;

/// A block as the two streams see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Item {
    /// Computation.
    pub compute: SimTime,
    /// Gathering of its parameters, before its computation.
    pub gather: SimTime,
    /// Reduction of its gradients, after its computation.
    pub reduce: SimTime,
}

/// When each stream is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streams {
    /// The compute stream.
    pub compute: SimTime,
    /// The communication stream.
    pub communication: SimTime,
}

impl Streams {
    /// When both are done.
    pub fn both(&self) -> SimTime {
        self.compute.max(self.communication)
    }
}

/// Runs `items` in order: gathers are issued one block ahead, reductions after their block.
///
/// With gathers G, computations C and reductions R the communication stream runs
/// G0 G1 R0 G2 R1 …; C(i) waits for G(i), R(i) for C(i).
pub fn run(items: &[Item], contention: f64) -> Streams {
    let mut streams = Streams::default();
    let mut gathered = items.first().map_or(SimTime::ZERO, |item| item.gather);
    streams.communication = gathered;
    let (mut computing, mut communicating) = (SimTime::ZERO, gathered);
    for (i, item) in items.iter().enumerate() {
        let start = streams.compute.max(gathered);
        if let Some(next) = items.get(i + 1)
            && next.gather > SimTime::ZERO
        {
            streams.communication = streams.communication.max(streams.compute) + next.gather;
            gathered = streams.communication;
            communicating += next.gather;
        }
        streams.compute = start + item.compute;
        computing += item.compute;
        if item.reduce > SimTime::ZERO {
            streams.communication = streams.communication.max(streams.compute) + item.reduce;
            communicating += item.reduce;
        }
    }
    if contention > 0.0 {
        let beside = computing.min(communicating);
        let slowed = beside.scaled(contention);
        streams.compute += slowed;
        streams.communication = streams.communication.max(streams.compute);
    }
    streams
}

/// Runs `items` in order on one stream: each is gathered, computed, reduced.
pub fn in_order(items: &[Item]) -> SimTime {
    items.iter().map(|item| item.gather + item.compute + item.reduce).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(gather: u64, compute: u64, reduce: u64) -> Item {
        let time = SimTime::from_picos;
        Item { gather: time(gather), compute: time(compute), reduce: time(reduce) }
    }

    #[test]
    fn gathers_hide_under_the_block_before() {
        let streams = run(&[item(5, 10, 0), item(5, 10, 0), item(5, 10, 0)], 0.0);
        assert_eq!(streams.compute.picos(), 35);
        let bound = run(&[item(20, 10, 0), item(20, 10, 0), item(20, 10, 0)], 0.0);
        assert_eq!(bound.compute.picos(), 70);
    }

    #[test]
    fn the_last_reduction_is_exposed() {
        let streams = run(&[item(0, 10, 4), item(0, 10, 4), item(0, 10, 4)], 0.0);
        assert_eq!((streams.compute.picos(), streams.communication.picos()), (30, 34));
        let slow = run(&[item(0, 10, 15), item(0, 10, 15), item(0, 10, 15)], 0.0);
        assert_eq!(slow.communication.picos(), 55);
    }

    #[test]
    fn nothing_hides_in_order() {
        let items = [item(5, 10, 2), item(5, 10, 2)];
        assert_eq!(in_order(&items).picos(), 34);
        assert!(run(&items, 0.0).both() < in_order(&items));
    }

    #[test]
    fn contention_slows_what_overlaps() {
        let streams = run(&[item(0, 100, 50), item(0, 100, 50)], 0.1);
        assert_eq!(streams.compute.picos(), 210, "100 of 200 run beside communication");
    }
}
