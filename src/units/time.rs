//! Simulated time.

use super::Seconds;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub};

/// A time or duration of the simulation, in whole picoseconds (range: 213 days).
///
/// Integers make sums associative: the same instructions give the same bits in any grouping and
/// on any number of threads. Conversion from [`Seconds`] rounds up, and happens in one function.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SimTime(u64);

impl SimTime {
    /// No time at all.
    pub const ZERO: SimTime = SimTime(0);
    /// Later than anything that can happen.
    pub const MAX: SimTime = SimTime(u64::MAX);

    /// From whole picoseconds.
    pub const fn from_picos(picos: u64) -> Self {
        SimTime(picos)
    }

    /// Whole picoseconds.
    pub const fn picos(self) -> u64 {
        self.0
    }

    /// The smallest number of picoseconds that is not less than `seconds`.
    /// Negative and undefined durations count as zero; what does not fit saturates.
    pub fn from_seconds(seconds: Seconds) -> Self {
        let picos = (seconds.get() * 1e12).ceil();
        if picos > 0.0 { SimTime(picos as u64) } else { SimTime::ZERO }
    }

    /// The same duration in seconds.
    pub fn seconds(self) -> Seconds {
        Seconds::new(self.0 as f64 * 1e-12)
    }

    /// `self - other`, or zero where `other` is later.
    pub fn saturating_sub(self, other: SimTime) -> SimTime {
        SimTime(self.0.saturating_sub(other.0))
    }

    /// `self * factor`, rounded up to a whole picosecond.
    pub fn scaled(self, factor: f64) -> SimTime {
        let picos = (self.0 as f64 * factor).ceil();
        if picos > 0.0 { SimTime(picos as u64) } else { SimTime::ZERO }
    }
}

impl Add for SimTime {
    type Output = SimTime;
    fn add(self, rhs: SimTime) -> SimTime {
        SimTime(self.0.saturating_add(rhs.0))
    }
}

impl AddAssign for SimTime {
    fn add_assign(&mut self, rhs: SimTime) {
        *self = *self + rhs;
    }
}

impl Sub for SimTime {
    type Output = SimTime;
    fn sub(self, rhs: SimTime) -> SimTime {
        debug_assert!(self >= rhs, "simulated time went below zero: {} - {}", self.0, rhs.0);
        SimTime(self.0.saturating_sub(rhs.0))
    }
}

impl Mul<u64> for SimTime {
    type Output = SimTime;
    fn mul(self, rhs: u64) -> SimTime {
        SimTime(self.0.saturating_mul(rhs))
    }
}

impl Sum for SimTime {
    fn sum<I: Iterator<Item = SimTime>>(iter: I) -> SimTime {
        iter.fold(SimTime::ZERO, Add::add)
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seconds().fmt(f)
    }
}
