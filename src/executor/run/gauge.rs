//! How fast a machine is at the moment.
//!
//! A rented core is as fast as its neighbours leave it: the same product may take half as long again
//! a second later. So a product and a copy are timed between whatever else is timed, when a machine
//! is calibrated and when a plan is run on it, and predictions are made for the pace of the run.

use crate::executor::error::Result;
use crate::spec::Pace;
use crate::units::Seconds;
use crate::units::statistics::clipped_mean;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// Side of the product's matrices (1 MiB each).
const SIDE: i64 = 512;

/// Elements of the copy, 16 MiB: more than a core's own caches hold.
const ELEMENTS: i64 = 1 << 22;

/// Readings at one moment.
const READINGS: usize = 2;

/// What is timed. It takes no memory while it is read.
#[derive(Debug)]
pub struct Gauge {
    factor: Tensor,
    product: Tensor,
    from: Tensor,
    to: Tensor,
}

/// Seconds of both, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Of the product.
    pub product_s: f64,
    /// Of the copy.
    pub copy_s: f64,
}

impl Reading {
    /// Half way from one reading to the next.
    pub fn between(self, next: Reading) -> Reading {
        Reading {
            product_s: f64::midpoint(self.product_s, next.product_s),
            copy_s: f64::midpoint(self.copy_s, next.copy_s),
        }
    }
}

impl Gauge {
    /// Ready to be read, in host memory.
    pub fn new() -> Gauge {
        let options = (Kind::Float, Device::Cpu);
        Gauge {
            factor: Tensor::ones([SIDE, SIDE], options),
            product: Tensor::ones([SIDE, SIDE], options),
            from: Tensor::ones([ELEMENTS], options),
            to: Tensor::ones([ELEMENTS], options),
        }
    }

    /// Times both several times, some twenty milliseconds in all.
    pub fn read(&mut self) -> Reading {
        // What comes first finds cold caches, and a core that may have been asleep.
        self.once();
        let all: Vec<Reading> = (0..READINGS).map(|_| self.once()).collect();
        let mean = |part: fn(&Reading) -> f64| all.iter().map(part).sum::<f64>() / READINGS as f64;
        Reading { product_s: mean(|one| one.product_s), copy_s: mean(|one| one.copy_s) }
    }

    fn once(&mut self) -> Reading {
        let start = Instant::now();
        let _ = Tensor::mm_out(&self.product, &self.factor, &self.factor);
        let product_s = start.elapsed().as_secs_f64();
        let start = Instant::now();
        self.to.copy_(&self.from);
        Reading { product_s, copy_s: start.elapsed().as_secs_f64() }
    }
}

/// Pages that a process may be given while something is timed: a quarter of a MiB, in a tenth of a
/// millisecond.
const FRESH_PAGES: u64 = 64;

/// Runs something until it finds its memory where it, or others, had left it, at most `tries` times.
/// Pages that the kernel has to give first, filled with zeros, take longer than most passes over them.
///
/// # Errors
/// The first of its own.
pub fn until_steady<T>(tries: usize, mut f: impl FnMut() -> Result<T>) -> Result<T> {
    let mut left = tries;
    loop {
        let before = lmplan_c10d::fresh_pages();
        let result = f()?;
        left = left.saturating_sub(1);
        if left == 0 || lmplan_c10d::fresh_pages().saturating_sub(before) <= FRESH_PAGES {
            return Ok(result);
        }
    }
}

impl Default for Gauge {
    fn default() -> Gauge {
        Gauge::new()
    }
}

/// The pace that some readings show; none where there are none.
pub fn pace(readings: &[Reading]) -> Option<Pace> {
    if readings.is_empty() {
        return None;
    }
    let of = |part: fn(&Reading) -> f64| {
        Seconds::new(clipped_mean(&readings.iter().map(part).collect::<Vec<_>>()))
    };
    Some(Pace { product: of(|one| one.product_s), copy: of(|one| one.copy_s) })
}
