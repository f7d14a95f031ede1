//! What failures cost: checkpoints, lost work, restarts.
//!
//! A job fails at random with a mean time M between failures (exponential), writes a checkpoint for
//! δ seconds after every τ seconds of work, and after a failure needs R seconds before it works
//! again from the last checkpoint; failures strike during restarts as well. The expected time of a
//! run that would take T without any of this is (Daly 2006)
//!
//! ```text
//! T_w = M · e^(R/M) · (e^((τ+δ)/M) - 1) · T/τ
//! ```
//!
//! Goodput is T/T_w. What is left out: failures that come in bursts or that slow a job down without
//! stopping it, writes beside the computation, and the part of a checkpoint interval at the end.
//!
//! - J. W. Young, "A first order approximation to the optimum checkpoint interval", CACM 17(9), 1974.
//! - J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps",
//!   Future Generation Computer Systems 22(3), 2006.

use crate::units::{PerDay, Seconds};

const DAY: f64 = 86_400.0;

/// What interrupts a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interruptions {
    /// Mean time between failures of the job (M).
    pub between_failures: Seconds,
    /// Time to write a checkpoint, during which nothing is computed (δ).
    pub checkpoint: Seconds,
    /// Time from a failure until the job works again (R).
    pub restart: Seconds,
}

impl Interruptions {
    /// Of a job on `devices` devices; nothing where no device ever fails.
    pub fn of_job(
        rate: PerDay,
        devices: u64,
        checkpoint: Seconds,
        restart: Seconds,
    ) -> Option<Interruptions> {
        let failures = rate.get() * devices as f64;
        let between_failures = Seconds::new(DAY / failures);
        (failures > 0.0 && between_failures.get().is_finite()).then_some(Interruptions {
            between_failures,
            checkpoint,
            restart,
        })
    }

    /// Young's interval between checkpoints, √(2·δ·M).
    pub fn young(&self) -> Seconds {
        let (m, delta) = (self.between_failures.get(), self.checkpoint.get());
        Seconds::new((2.0 * delta * m).sqrt())
    }

    /// Daly's interval between checkpoints: √(2·δ·M)·(1 + √(δ/2M)/3 + (δ/2M)/9) - δ where δ < 2M, M
    /// otherwise (Daly 2006, eq. 37).
    pub fn daly(&self) -> Seconds {
        let (m, delta) = (self.between_failures.get(), self.checkpoint.get());
        if delta >= 2.0 * m {
            return self.between_failures;
        }
        let ratio = delta / (2.0 * m);
        Seconds::new((2.0 * delta * m).sqrt() * (1.0 + ratio.sqrt() / 3.0 + ratio / 9.0) - delta)
    }

    /// Share of the time that is useful with checkpoints after every `interval` of work; zero where
    /// the job never ends.
    pub fn goodput(&self, interval: Seconds) -> f64 {
        let (m, delta) = (self.between_failures.get(), self.checkpoint.get());
        let tau = interval.get();
        if tau <= 0.0 || !tau.is_finite() {
            return 0.0;
        }
        // exp_m1 keeps the digits where failures are rare.
        let expected = m * (self.restart.get() / m).exp() * ((tau + delta) / m).exp_m1();
        let share = tau / expected;
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Shares of a run's time, which add up to one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Work that counts.
    pub useful: f64,
    /// Writing checkpoints.
    pub checkpoints: f64,
    /// Restarts.
    pub restarts: f64,
    /// Work that is done again.
    pub lost: f64,
}

impl Shares {
    /// All of the time is useful.
    pub const WHOLE: Shares = Shares { useful: 1.0, checkpoints: 0.0, restarts: 0.0, lost: 0.0 };

    /// Where the time goes with checkpoints after every `interval`.
    ///
    /// Writing takes δ for every τ of useful work, restarts R for every failure or less where the
    /// next failure cuts them short; the rest is work that is done again.
    pub fn of(interruptions: &Interruptions, interval: Seconds) -> Shares {
        let useful = interruptions.goodput(interval);
        let m = interruptions.between_failures.get();
        let checkpoints = useful * (interruptions.checkpoint / interval);
        let restart = m * -(-interruptions.restart.get() / m).exp_m1();
        let rest = (1.0 - useful - checkpoints).max(0.0);
        let restarts = (restart / m).min(rest);
        Shares { useful, checkpoints, restarts, lost: rest - restarts }
    }
}

/// The fewest spares such that with probability `confidence` no more nodes are under repair at once:
/// with `rate` failures a day and `repair` each, their number is Poisson with mean rate · repair.
pub fn spare_nodes(rate: PerDay, repair: Seconds, confidence: f64) -> u64 {
    let mean = rate.get() * repair.get() / DAY;
    if !(mean > 0.0 && mean.is_finite()) {
        return 0;
    }
    // Beyond this the tail is normal; the sum below would need as many terms.
    if mean > 10_000.0 {
        return (mean + 3.0 * mean.sqrt()).ceil() as u64;
    }
    let mut log_term = -mean;
    let mut sum = log_term.exp();
    let mut nodes = 0_u64;
    while sum < confidence && nodes < 40_000 {
        nodes += 1;
        log_term += mean.ln() - (nodes as f64).ln();
        sum += log_term.exp();
    }
    nodes
}
