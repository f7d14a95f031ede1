//! Devices: their streams' time, their host memory, what libraries take of them at their first use.

use crate::memory::libraries_took;
use crate::{Error, ffi};
use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::Mutex;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

fn raw(tensor: &Tensor) -> *mut c_void {
    tensor.as_ptr().cast_mut().cast::<c_void>()
}

/// A tensor that the shim has made, which owns it from here on.
fn owned(pointer: *mut c_void) -> Result<Tensor, Error> {
    if pointer.is_null() {
        return Err(Error::last());
    }
    // SAFETY: the shim has just made this `at::Tensor` with `new` and handed it over.
    Ok(unsafe { Tensor::from_ptr(pointer.cast()) })
}

/// Number of a GPU; none of anything else.
pub fn gpu_index(device: Device) -> Option<i32> {
    match device {
        Device::Cuda(index) => Some(i32::try_from(index).unwrap_or(0)),
        _ => None,
    }
}

thread_local! {
    /// Events of moments that are gone, for those to come: to make one takes longer than to use it.
    static SPARE: RefCell<Vec<*mut c_void>> = const { RefCell::new(Vec::new()) };
}

/// A point in the stream of a GPU.
#[derive(Debug)]
pub struct Event(*mut c_void);

impl Event {
    fn record(device: i32) -> Result<Event, Error> {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        // SAFETY: makes an object that this one owns.
        let event = Event(spare.unwrap_or_else(|| unsafe { ffi::lmplan_event() }));
        if event.0.is_null() {
            return Err(Error::last());
        }
        // SAFETY: the event is alive.
        Error::check(unsafe { ffi::lmplan_event_record(event.0, device) })?;
        Ok(event)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let pointer = self.0;
        if pointer.is_null() {
            return;
        }
        let kept = SPARE.try_with(|spare| spare.borrow_mut().push(pointer));
        if kept.is_err() {
            // SAFETY: the thread ends; the event is freed once.
            unsafe { ffi::lmplan_event_free(pointer) };
        }
    }
}

/// A moment of a device: on a GPU, when its current stream gets there, behind the host.
#[derive(Debug)]
pub enum Moment {
    /// By the host's clock.
    Host(Instant),
    /// By a GPU's.
    Device(Event),
}

impl Moment {
    /// Now, after all that the device has been told to do. By the host's clock where a GPU can not
    /// mark it; its next operation says why.
    pub fn now(device: Device) -> Moment {
        let event = gpu_index(device).map(Event::record);
        match event {
            Some(Ok(event)) => Moment::Device(event),
            _ => Moment::Host(Instant::now()),
        }
    }

    /// Seconds since an earlier moment of the same device, which must have [come to
    /// pass](synchronize) by now. None between clocks.
    pub fn since(&self, earlier: &Moment) -> Option<f64> {
        match (self, earlier) {
            (Moment::Host(now), Moment::Host(then)) => {
                Some(now.duration_since(*then).as_secs_f64())
            }
            (Moment::Device(now), Moment::Device(then)) => {
                let mut milliseconds = 0.0;
                // SAFETY: both events and the number are alive.
                let code =
                    unsafe { ffi::lmplan_event_elapsed(then.0, now.0, &raw mut milliseconds) };
                (code == 0).then_some(milliseconds / 1e3)
            }
            _ => None,
        }
    }
}

/// Waits until a device has done all that it was told.
///
/// # Errors
/// What went wrong on the device, in its runtime's words.
pub fn synchronize(device: Device) -> Result<(), Error> {
    let Some(index) = gpu_index(device) else { return Ok(()) };
    // SAFETY: no memory is involved.
    Error::check(unsafe { ffi::lmplan_synchronize(index) })
}

/// Has the libraries of a GPU set up what they keep: handles, workspaces, kernels. What they take of
/// its memory is not counted as tensors' from here on. Once in a process; of the host nothing.
///
/// # Errors
/// A GPU that can not be used, in its runtime's words.
pub fn warm_up(device: Device) -> Result<(), Error> {
    static WARM: Mutex<Vec<i32>> = Mutex::new(Vec::new());
    let Some(index) = gpu_index(device) else { return Ok(()) };
    let Ok(mut warm) = WARM.lock() else { return Ok(()) };
    if warm.contains(&index) {
        return Ok(());
    }
    let before = crate::memory(device)?.current;
    for kind in [Kind::Float, Kind::BFloat16, Kind::Half] {
        let side = Tensor::f_ones([256, 256], (kind, device))?;
        let bias = Tensor::f_ones([256], (kind, device))?;
        drop(side.f_matmul(&side)?);
        drop(bias.f_addmm(&side, &side)?);
        let flat = side.f_flatten(0, -1)?;
        drop(flat.f_dot(&flat)?);
    }
    synchronize(device)?;
    libraries_took(crate::memory(device)?.current.saturating_sub(before));
    warm.push(index);
    Ok(())
}

/// Gives back what a GPU's allocator holds and no tensor uses. Nothing of the host.
///
/// # Errors
/// A GPU that can not be used.
pub fn empty_cache(device: Device) -> Result<(), Error> {
    if gpu_index(device).is_none() {
        return Ok(());
    }
    // SAFETY: frees what no tensor uses.
    Error::check(unsafe { ffi::lmplan_empty_cache() })
}

/// Lets products of 32-bit numbers on a GPU run in its matrix units, rounded to 10 bits of mantissa
/// (TF32), or not, as it is without this call.
///
/// # Errors
/// None that is known.
pub fn allow_tf32(allowed: bool) -> Result<(), Error> {
    // SAFETY: sets a flag of libtorch.
    Error::check(unsafe { ffi::lmplan_allow_tf32(i32::from(allowed)) })
}

/// An empty tensor in host memory, of the type of another one; where that is a GPU's, one that the
/// GPU reaches directly, if there is room for such.
pub fn host_tensor(shape: &[i64], like: &Tensor) -> Tensor {
    if gpu_index(like.device()).is_some() {
        let dimensions = i32::try_from(shape.len()).unwrap_or(0);
        // SAFETY: shape and tensor outlive the call.
        let made = unsafe { ffi::lmplan_pinned(shape.as_ptr(), dimensions, raw(like)) };
        if let Ok(tensor) = owned(made) {
            return tensor;
        }
    }
    Tensor::empty(shape, (like.kind(), Device::Cpu))
}

/// A tensor in host memory and contiguous; itself where it is so already.
///
/// # Errors
/// What went wrong on its device before.
pub fn to_host(tensor: &Tensor) -> Result<Tensor, Error> {
    if gpu_index(tensor.device()).is_none() {
        return Ok(tensor.contiguous());
    }
    let host = host_tensor(&tensor.size(), tensor);
    // SAFETY: both tensors are alive until the copy is done.
    Error::check(unsafe { ffi::lmplan_copy(raw(&host), raw(tensor)) })?;
    synchronize(tensor.device())?;
    Ok(host)
}

/// Launches of a smallest kernel, recorded once and repeated by the device without the host.
#[derive(Debug)]
pub struct Graph {
    graph: *mut c_void,
    _tensor: Tensor,
}

impl Graph {
    /// Records as many launches of a kernel that adds one to a tensor of a GPU.
    ///
    /// # Errors
    /// What the CUDA runtime says.
    pub fn record(tensor: Tensor, launches: i32) -> Result<Graph, Error> {
        // SAFETY: the tensor is alive as long as the graph.
        let graph = unsafe { ffi::lmplan_graph(raw(&tensor), launches) };
        if graph.is_null() { Err(Error::last()) } else { Ok(Graph { graph, _tensor: tensor }) }
    }

    /// Starts it; it runs behind the host.
    ///
    /// # Errors
    /// What the CUDA runtime says.
    pub fn launch(&self) -> Result<(), Error> {
        // SAFETY: the graph is alive.
        Error::check(unsafe { ffi::lmplan_graph_launch(self.graph) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by the shim, freed once.
        unsafe { ffi::lmplan_graph_free(self.graph) }
    }
}

/// Version of the NCCL that libtorch's CUDA half brings along, as 22809 for 2.28.9.
///
/// # Errors
/// No NCCL, in the loader's words.
pub fn nccl_version() -> Result<i32, Error> {
    nccl(std::ptr::null())
}

/// Takes the NCCL of a file in place of libtorch's, for tests; before any other use of it.
///
/// # Errors
/// A file that is not NCCL.
pub fn load_nccl(path: &str) -> Result<i32, Error> {
    let path = std::ffi::CString::new(path).map_err(|_| Error::new("a path holds a zero"))?;
    nccl(path.as_ptr())
}

fn nccl(path: *const std::ffi::c_char) -> Result<i32, Error> {
    let mut version = 0;
    // SAFETY: path and number outlive the call, which loads a library of libtorch itself.
    Error::check(unsafe { ffi::lmplan_nccl(path, &raw mut version) })?;
    Ok(version)
}
