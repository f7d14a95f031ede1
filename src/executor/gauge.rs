//! How fast a machine is at the moment.
//!
//! A rented core is as fast as its neighbours leave it: the same product may take twice as long an
//! hour later. So a product and a copy are timed between whatever else is timed, when a machine is
//! calibrated and when a plan is run on it, and predictions are made for the pace of the run.

use super::measure::median;
use crate::spec::Pace;
use crate::units::Seconds;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// Side of the product's matrices (1 MiB each).
const SIDE: i64 = 512;

/// Elements of the copy, 16 MiB: more than a core's own caches hold.
const ELEMENTS: i64 = 1 << 22;

/// Readings at one moment.
const READINGS: usize = 5;

/// What is timed.
#[derive(Debug)]
pub struct Gauge {
    factor: Tensor,
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

impl Gauge {
    /// Ready to be read, in host memory.
    pub fn new() -> Gauge {
        let options = (Kind::Float, Device::Cpu);
        Gauge {
            factor: Tensor::ones([SIDE, SIDE], options),
            from: Tensor::ones([ELEMENTS], options),
            to: Tensor::ones([ELEMENTS], options),
        }
    }

    /// Times both several times, some fifty milliseconds in all: what ranks do at once they begin
    /// and end apart.
    pub fn read(&mut self) -> Vec<Reading> {
        // What comes first finds cold caches, and a core that may have been asleep.
        self.once();
        (0..READINGS).map(|_| self.once()).collect()
    }

    fn once(&mut self) -> Reading {
        let start = Instant::now();
        drop(self.factor.matmul(&self.factor));
        let product_s = start.elapsed().as_secs_f64();
        let start = Instant::now();
        self.to.copy_(&self.from);
        Reading { product_s, copy_s: start.elapsed().as_secs_f64() }
    }
}

impl Default for Gauge {
    fn default() -> Gauge {
        Gauge::new()
    }
}

/// The pace that some readings show: the middle of each, and how far nine tenths of them are from
/// it. None where there are none.
pub fn pace(readings: &[Reading]) -> Option<Pace> {
    if readings.is_empty() {
        return None;
    }
    let of = |part: fn(&Reading) -> f64| -> (Seconds, f64) {
        let mut all: Vec<f64> = readings.iter().map(part).collect();
        all.sort_by(f64::total_cmp);
        let middle = median(&all);
        let last = all.len() - 1;
        let far = (all[last * 9 / 10] / middle).max(middle / all[last / 10]) - 1.0;
        (Seconds::new(middle), far)
    };
    let (product, product_spread) = of(|reading| reading.product_s);
    let (copy, copy_spread) = of(|reading| reading.copy_s);
    Some(Pace { product, copy, product_spread, copy_spread })
}
