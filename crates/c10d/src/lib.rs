//! What tch lacks: libtorch's process groups (c10d with Gloo) and NCCL's, statistics of its
//! allocators, events of GPUs, some operators, and the loading of its CUDA half at run time. All
//! unsafe code of lmplan is here, behind a safe interface.

mod device;
mod error;
mod ffi;
mod group;
mod kernels;
mod memory;
mod power;
mod process;

pub use device::{
    Event, Graph, Moment, allow_tf32, empty_cache, gpu_index, host_tensor, load_nccl, nccl_version,
    synchronize, to_host, warm_up,
};
pub use error::Error;
pub use group::{Envelope, Group, Sending, Store};
pub use kernels::{
    Adam, Attended, adam, attention, attention_backward, lamb_update, layer_norm_backward,
};
pub use memory::{
    Gpu, Memory, count_cpu_memory, fresh_pages, gpu, keep_host_memory, load_cuda, memory,
    reset_peak,
};
pub use power::{Power, Sample};
pub use process::{STOP, die_with_parent, send_signal};
