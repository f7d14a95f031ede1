//! What tch lacks: libtorch's process groups (c10d with Gloo), statistics of its allocators, some
//! operators, and the loading of its CUDA half at run time. All unsafe code of lmplan is here, behind a safe
//! interface.

mod error;
mod ffi;
mod group;
mod kernels;
mod memory;
mod process;

pub use error::Error;
pub use group::{Group, Sending, Store};
pub use kernels::{
    Adam, Attended, adam, attention, attention_backward, lamb_update, layer_norm_backward,
};
pub use memory::{
    Gpu, Memory, count_cpu_memory, gpu, keep_host_memory, load_cuda, memory, reset_peak,
};
pub use process::{STOP, die_with_parent, send_signal};
