//! A device under products without a pause: what its clock and power settle at.

use super::timing::{Extent, told};
use crate::executor::error::Result;
use crate::spec::Load;
use crate::units::statistics::median;
use crate::units::{Seconds, Watts};
use lmplan_c10d::{Power, Sample, synchronize};
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// What the first rate is taken over.
const FIRST_S: f64 = 0.25;

/// The limit of a GPU's power that holds, in watts; none where its driver does not say.
pub fn power_limit(device: Device) -> Option<f64> {
    power(device).ok()?.limit_w()
}

fn power(device: Device) -> Result<Power> {
    let index = lmplan_c10d::gpu_index(device).unwrap_or(0);
    Ok(Power::of(&lmplan_c10d::gpu(index)?.address)?)
}

/// Products of 16-bit random numbers without a pause, and the clock and power beside them. What the
/// driver does not say goes to `missing`.
pub(super) fn load(device: Device, extent: Extent, missing: &mut Vec<String>) -> Result<Load> {
    let (side, at_a_time, duration): (i64, u32, f64) = match extent {
        Extent::Tiny => (128, 2, 0.1),
        Extent::Quick => (8192, 20, 4.0),
        Extent::Full => (8192, 20, 10.0),
    };
    let options = (Kind::BFloat16, device);
    let a = told(Tensor::f_randn([side, side], options))?;
    let b = told(Tensor::f_randn([side, side], options))?;
    let power = power(device);
    let mut samples: Vec<(f64, Sample)> = Vec::new();
    let mut first: Option<(f64, f64)> = None;
    let flops = 2.0 * (side as f64).powi(3);
    let mut done = 0.0;
    synchronize(device)?;
    let start = Instant::now();
    let mut elapsed = 0.0;
    while elapsed < duration {
        for _ in 0..at_a_time {
            told(a.f_matmul(&b)).map(drop)?;
        }
        synchronize(device)?;
        elapsed = start.elapsed().as_secs_f64();
        done += f64::from(at_a_time) * flops;
        if first.is_none() && (elapsed >= FIRST_S || elapsed >= duration) {
            first = Some((done, elapsed));
        }
        if let Some(sample) = power.as_ref().ok().and_then(Power::sample) {
            samples.push((elapsed, sample));
        }
    }
    if samples.is_empty() {
        let why =
            power.as_ref().err().map_or("the driver does not say".to_owned(), |e| e.to_string());
        missing.push(format!("clock and power under load: {why}"));
    }
    let later = || samples.iter().filter(|(at, _)| *at >= duration / 2.0).map(|(_, sample)| sample);
    let middle = |of: &dyn Fn(&Sample) -> f64| {
        let values: Vec<f64> = later().map(of).collect();
        (!values.is_empty()).then(|| median(&values))
    };
    let tflops = |(done, seconds): (f64, f64)| (done / seconds / 1e6).round() / 1e6;
    let known = power.as_ref().ok();
    Ok(Load {
        duration: Seconds::new(elapsed),
        tflops: tflops((done, elapsed)),
        first_tflops: tflops(first.unwrap_or((done, elapsed))),
        clock_mhz: middle(&|sample| sample.clock_hz / 1e6),
        most_clock_mhz: known.and_then(Power::most_hz).map(|hertz| hertz / 1e6),
        power: middle(&|sample| sample.power_w).map(Watts::new),
        power_limit: known.and_then(Power::limit_w).map(Watts::new),
        temperature_c: samples.iter().map(|(_, sample)| sample.temperature_c).reduce(f64::max),
    })
}
