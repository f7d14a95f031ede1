//! Clocks and power of a GPU, from the management library of its driver (NVML), where it is there.
//! Reads alone; nothing is set.

use crate::Error;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};

type Handle = *mut c_void;
type OfHandle = unsafe extern "C" fn(Handle, *mut c_uint) -> c_int;
type OfClock = unsafe extern "C" fn(Handle, c_uint, *mut c_uint) -> c_int;

/// NVML's numbers of clocks and sensors (nvml.h).
const CLOCK_SM: c_uint = 1;
const CLOCK_MEMORY: c_uint = 2;
const SENSOR_GPU: c_uint = 0;

/// A GPU as its driver's management library sees it.
#[derive(Debug)]
pub struct Power {
    device: Handle,
    power: OfHandle,
    limit: OfHandle,
    clock: OfClock,
    most: OfClock,
    temperature: OfClock,
}

/// What a GPU does at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Clock of the multiprocessors, in hertz.
    pub clock_hz: f64,
    /// Clock of the memory, in hertz.
    pub memory_clock_hz: f64,
    /// Power of the board, in watts, as the driver averages it (over a second on an H100).
    pub power_w: f64,
    /// Temperature, in degrees Celsius.
    pub temperature_c: f64,
}

/// An entry of a library.
///
/// # Safety
/// `F` must be the type of the entry.
unsafe fn entry<F: Copy>(library: *mut c_void, name: &str) -> Result<F, Error> {
    let missing = || Error::new(format!("the GPU's management library has no {name}"));
    let name = CString::new(name).map_err(|_| missing())?;
    // SAFETY: the library is open and the name ends in a zero.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    if found.is_null() || size_of::<F>() != size_of::<*mut c_void>() {
        return Err(missing());
    }
    // SAFETY: the caller names the type of the entry, a function's, which is as large as a pointer.
    Ok(unsafe { std::mem::transmute_copy::<*mut c_void, F>(&found) })
}

impl Power {
    /// The GPU at an address on the bus.
    ///
    /// # Errors
    /// No management library, or one that does not know the GPU.
    pub fn of(address: &str) -> Result<Power, Error> {
        type Init = unsafe extern "C" fn() -> c_int;
        type ByAddress = unsafe extern "C" fn(*const c_char, *mut Handle) -> c_int;
        let address = CString::new(address).map_err(|_| Error::new("an address with a zero"))?;
        // SAFETY: the driver's own library, which stays open; its entries have these types (nvml.h).
        unsafe {
            let library = libc::dlopen(c"libnvidia-ml.so.1".as_ptr(), libc::RTLD_NOW);
            if library.is_null() {
                return Err(Error::new("libnvidia-ml.so.1 is not there"));
            }
            let answers = |code: c_int, what: &str| {
                let text = || Error::new(format!("the GPU's management library: {what}: {code}"));
                if code == 0 { Ok(()) } else { Err(text()) }
            };
            answers(entry::<Init>(library, "nvmlInit_v2")?(), "start")?;
            let mut device = std::ptr::null_mut();
            let find = entry::<ByAddress>(library, "nvmlDeviceGetHandleByPciBusId_v2")?;
            answers(find(address.as_ptr(), &raw mut device), "the GPU's address")?;
            Ok(Power {
                device,
                power: entry(library, "nvmlDeviceGetPowerUsage")?,
                limit: entry(library, "nvmlDeviceGetEnforcedPowerLimit")?,
                clock: entry(library, "nvmlDeviceGetClockInfo")?,
                most: entry(library, "nvmlDeviceGetMaxClockInfo")?,
                temperature: entry(library, "nvmlDeviceGetTemperature")?,
            })
        }
    }

    fn of_handle(&self, f: OfHandle) -> Option<f64> {
        let mut value = 0;
        // SAFETY: the handle lasts as long as the process, the number as the call.
        let code = unsafe { f(self.device, &raw mut value) };
        (code == 0).then_some(f64::from(value))
    }

    fn of_clock(&self, f: OfClock, which: c_uint) -> Option<f64> {
        let mut value = 0;
        // SAFETY: as in `of_handle`.
        let code = unsafe { f(self.device, which, &raw mut value) };
        (code == 0).then_some(f64::from(value))
    }

    /// What it does now; none where the driver does not say.
    pub fn sample(&self) -> Option<Sample> {
        Some(Sample {
            clock_hz: 1e6 * self.of_clock(self.clock, CLOCK_SM)?,
            memory_clock_hz: 1e6 * self.of_clock(self.clock, CLOCK_MEMORY)?,
            power_w: 1e-3 * self.of_handle(self.power)?,
            temperature_c: self.of_clock(self.temperature, SENSOR_GPU)?,
        })
    }

    /// The limit of its power that holds, in watts.
    pub fn limit_w(&self) -> Option<f64> {
        self.of_handle(self.limit).map(|milliwatts| 1e-3 * milliwatts)
    }

    /// Largest clock of its multiprocessors, in hertz.
    pub fn most_hz(&self) -> Option<f64> {
        self.of_clock(self.most, CLOCK_SM).map(|megahertz| 1e6 * megahertz)
    }
}
