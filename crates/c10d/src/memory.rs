//! The CUDA half of libtorch, and what its allocators have handed out.

use crate::{Error, ffi};
use tch::Device;

/// Bytes that an allocator has handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Now.
    pub current: u64,
    /// At most, since the last reset.
    pub peak: u64,
}

/// Loads libtorch's CUDA half. Must come before the first tensor: libtorch asks once whether CUDA
/// is there.
///
/// # Errors
/// Libraries that are not there, in the loader's words.
pub fn load_cuda() -> Result<(), Error> {
    // SAFETY: loads a library of libtorch itself.
    Error::check(unsafe { ffi::lmplan_load_cuda() })
}

/// Counts host memory from here on, for tensors made after it.
///
/// # Errors
/// An allocator that can not be replaced.
pub fn count_cpu_memory() -> Result<(), Error> {
    // SAFETY: replaces the allocator by one that hands its calls on.
    Error::check(unsafe { ffi::lmplan_count_cpu_memory() })
}

/// Has this process keep the host memory that tensors give back, as the allocator of a GPU does.
/// Otherwise every large tensor is made of fresh pages, which the kernel fills with zeros first: a
/// pass over it then takes up to twice as long, or not, by the history of the heap.
pub fn keep_host_memory() {
    // SAFETY: sets parameters of the allocator; a value it does not take changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}

/// What a device's allocator has handed out.
///
/// # Errors
/// A device that is not there.
pub fn memory(device: Device) -> Result<Memory, Error> {
    read(device, false)
}

/// As [`memory`]; the peak is counted anew from here on.
///
/// # Errors
/// A device that is not there.
pub fn reset_peak(device: Device) -> Result<Memory, Error> {
    read(device, true)
}

/// A GPU, as its runtime describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gpu {
    /// Streaming multiprocessors.
    pub multiprocessors: u64,
    /// Bytes of memory.
    pub memory: u64,
}

/// What the CUDA runtime says of a GPU.
///
/// # Errors
/// A GPU that is not there.
pub fn gpu(device: i32) -> Result<Gpu, Error> {
    let (mut multiprocessors, mut memory) = (0, 0);
    // SAFETY: both numbers outlive the call.
    let code = unsafe { ffi::lmplan_gpu(device, &raw mut multiprocessors, &raw mut memory) };
    Error::check(code)?;
    Ok(Gpu { multiprocessors: u64::try_from(multiprocessors).unwrap_or(0), memory })
}

fn read(device: Device, reset: bool) -> Result<Memory, Error> {
    let (cuda, index) = match device {
        Device::Cuda(index) => (1, i32::try_from(index).unwrap_or(0)),
        _ => (0, 0),
    };
    let (mut current, mut peak) = (0, 0);
    // SAFETY: both numbers outlive the call.
    let code = unsafe {
        ffi::lmplan_memory(cuda, index, i32::from(reset), &raw mut current, &raw mut peak)
    };
    Error::check(code)?;
    let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
    Ok(Memory { current: bytes(current), peak: bytes(peak) })
}
