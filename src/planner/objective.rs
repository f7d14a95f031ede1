//! What the best plan is best at.

use crate::units::SimTime;
use serde::{Deserialize, Serialize};

/// What is minimised. Each is a monotone function of the iteration time for a given number of
/// devices, so bounds on time are bounds on the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Objective {
    /// Iteration time.
    Time,
    /// Device time of the run, and with it money; a deadline may bound the iteration time.
    Cost {
        /// Longest iteration time allowed.
        deadline: Option<SimTime>,
    },
    /// Devices, then iteration time, within a deadline.
    Devices {
        /// Longest iteration time allowed.
        deadline: SimTime,
    },
}

/// The value of a plan under an objective; smaller is better.
pub type Score = u128;

impl Objective {
    /// The score of a plan of this time on this many devices.
    pub fn score(&self, time: SimTime, devices: u64) -> Score {
        match self {
            Objective::Time => u128::from(time.picos()),
            Objective::Cost { deadline } => match deadline {
                Some(deadline) if time > *deadline => Score::MAX,
                _ => u128::from(time.picos()) * u128::from(devices),
            },
            Objective::Devices { deadline } if time > *deadline => Score::MAX,
            Objective::Devices { .. } => (u128::from(devices) << 64) | u128::from(time.picos()),
        }
    }

    /// The iteration time from which on a plan on this many devices is no better than `score`.
    pub fn cutoff(&self, score: Score, devices: u64) -> SimTime {
        let below = |limit: u128| SimTime::from_picos(u64::try_from(limit).unwrap_or(u64::MAX));
        let within = |deadline: Option<SimTime>, cutoff: SimTime| match deadline {
            Some(deadline) => cutoff.min(deadline + SimTime::from_picos(1)),
            None => cutoff,
        };
        match self {
            Objective::Time => below(score),
            Objective::Cost { deadline } => {
                within(*deadline, below(score.div_ceil(u128::from(devices.max(1)))))
            }
            Objective::Devices { deadline } => {
                let best = (score >> 64) as u64;
                let cutoff = match devices.cmp(&best) {
                    std::cmp::Ordering::Less => SimTime::MAX,
                    std::cmp::Ordering::Equal => below(score & u128::from(u64::MAX)),
                    std::cmp::Ordering::Greater => SimTime::ZERO,
                };
                within(Some(*deadline), cutoff)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A time is below the cutoff exactly when its score is better.
        #[test]
        fn cutoff_inverts_score(time in 1u64..5000, devices in 1u64..9, other in 1u64..5000, others in 1u64..9, deadline in 1u64..5000) {
            let deadline = SimTime::from_picos(deadline);
            for objective in [
                Objective::Time,
                Objective::Cost { deadline: None },
                Objective::Cost { deadline: Some(deadline) },
                Objective::Devices { deadline },
            ] {
                let best = objective.score(SimTime::from_picos(other), others);
                let time = SimTime::from_picos(time);
                let better = objective.score(time, devices) < best;
                prop_assert_eq!(time < objective.cutoff(best, devices), better, "{:?}", objective);
            }
        }
    }
}
