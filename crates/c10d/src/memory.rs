//! The CUDA half of libtorch, and what its allocators have handed out.

use crate::device::gpu_index;
use crate::{Error, ffi};
use std::sync::atomic::{AtomicU64, Ordering};
use tch::Device;

/// Bytes that an allocator has handed out for tensors. What the libraries of a GPU keep for
/// themselves since [`warm_up`](crate::warm_up) is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Now.
    pub current: u64,
    /// At most, since the last reset.
    pub peak: u64,
    /// At most taken from the device, with what was free in between and what libraries keep.
    pub reserved: u64,
    /// What libraries keep.
    pub libraries: u64,
}

/// Bytes that libraries keep of this process's GPU.
static LIBRARIES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn libraries_took(bytes: u64) {
    LIBRARIES.fetch_add(bytes, Ordering::Relaxed);
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

/// Pages that the kernel has given to this process so far, without reading them from a disk.
pub fn fresh_pages() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills what it is given; zeros are a valid value as well.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_minflt).unwrap_or(0)
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gpu {
    /// Streaming multiprocessors.
    pub multiprocessors: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Its address on the bus, such as `0000:17:00.0`.
    pub address: String,
}

/// What the CUDA runtime says of a GPU.
///
/// # Errors
/// A GPU that is not there.
pub fn gpu(device: i32) -> Result<Gpu, Error> {
    const ROOM: usize = 32;
    let (mut multiprocessors, mut memory, mut address) = (0, 0, [0_u8; ROOM]);
    // SAFETY: both numbers and the text outlive the call, which writes no more than there is room.
    let code = unsafe {
        ffi::lmplan_gpu(
            device,
            &raw mut multiprocessors,
            &raw mut memory,
            address.as_mut_ptr().cast(),
            ROOM as i32,
        )
    };
    Error::check(code)?;
    let text: Vec<u8> = address.into_iter().take_while(|byte| *byte != 0).collect();
    Ok(Gpu {
        multiprocessors: u64::try_from(multiprocessors).unwrap_or(0),
        memory,
        address: String::from_utf8_lossy(&text).into_owned(),
    })
}

fn read(device: Device, reset: bool) -> Result<Memory, Error> {
    let (cuda, index) = gpu_index(device).map_or((0, 0), |index| (1, index));
    let (mut current, mut peak, mut reserved) = (0, 0, 0);
    // SAFETY: all numbers outlive the call.
    let code = unsafe {
        ffi::lmplan_memory(
            cuda,
            index,
            i32::from(reset),
            &raw mut current,
            &raw mut peak,
            &raw mut reserved,
        )
    };
    Error::check(code)?;
    let libraries = if cuda == 1 { LIBRARIES.load(Ordering::Relaxed) } else { 0 };
    let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
    let of_tensors = |count: i64| bytes(count).saturating_sub(libraries);
    Ok(Memory {
        current: of_tensors(current),
        peak: of_tensors(peak),
        reserved: bytes(reserved),
        libraries,
    })
}
