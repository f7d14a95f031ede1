//! How long calls take by a device's own clock.

use crate::executor::error::{ExecutorError, Result};
use crate::units::statistics::median;
use lmplan_c10d::{Moment, synchronize};
use tch::Device;

/// A kernel runs for at least this long.
const AT_LEAST_S: f64 = 0.02;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Smallest sizes, a second in all, for tests.
    Tiny,
    /// Few sizes.
    Quick,
    /// All sizes.
    Full,
}

/// A panic's text is not for people: tch's fallible calls say what libtorch says.
pub(super) fn told<T>(result: std::result::Result<T, tch::TchError>) -> Result<T> {
    Ok(result.map_err(lmplan_c10d::Error::from)?)
}

/// Seconds of one call by the device's own clock: the median of five rounds of as many calls as fill
/// their time.
pub(super) fn seconds_of(device: Device, f: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let mut round = |calls: u32| -> Result<f64> {
        let start = Moment::now(device);
        for _ in 0..calls {
            f()?;
        }
        let end = Moment::now(device);
        synchronize(device)?;
        let seconds = end.since(&start);
        seconds.map(|seconds| seconds / f64::from(calls)).ok_or_else(clock)
    };
    let first = round(1)?.min(round(1)?);
    let calls = (AT_LEAST_S / first.max(1e-9)).clamp(1.0, 1000.0) as u32;
    let rounds = (0..5).map(|_| round(calls)).collect::<Result<Vec<f64>>>()?;
    Ok(median(&rounds))
}

fn clock() -> ExecutorError {
    ExecutorError::Program("the device's clock can not be read".to_owned())
}
