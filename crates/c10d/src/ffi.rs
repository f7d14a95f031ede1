//! The shim's entries, as `shim/shim.cpp` defines them.

use std::ffi::{c_char, c_int, c_void};

unsafe extern "C" {
    pub(crate) fn lmplan_error() -> *const c_char;
    pub(crate) fn lmplan_store_tcp(
        host: *const c_char,
        port: u16,
        server: c_int,
        timeout_ms: i64,
    ) -> *mut c_void;
    pub(crate) fn lmplan_store_port(store: *mut c_void) -> c_int;
    pub(crate) fn lmplan_store_file(
        path: *const c_char,
        ranks: c_int,
        timeout_ms: i64,
    ) -> *mut c_void;
    pub(crate) fn lmplan_store_set(
        store: *mut c_void,
        key: *const c_char,
        data: *const c_char,
        size: u64,
    ) -> c_int;
    pub(crate) fn lmplan_store_get(
        store: *mut c_void,
        key: *const c_char,
        data: *mut *const u8,
        size: *mut u64,
    ) -> c_int;
    pub(crate) fn lmplan_store_free(store: *mut c_void);
    pub(crate) fn lmplan_group(
        store: *mut c_void,
        name: *const c_char,
        rank: c_int,
        size: c_int,
        address: *const c_char,
        timeout_ms: i64,
    ) -> *mut c_void;
    pub(crate) fn lmplan_group_free(group: *mut c_void);
    pub(crate) fn lmplan_all_reduce(group: *mut c_void, data: *mut c_void, maximum: c_int)
    -> c_int;
    pub(crate) fn lmplan_all_gather(
        group: *mut c_void,
        output: *mut c_void,
        input: *mut c_void,
    ) -> c_int;
    pub(crate) fn lmplan_reduce_scatter(
        group: *mut c_void,
        output: *mut c_void,
        input: *mut c_void,
    ) -> c_int;
    pub(crate) fn lmplan_all_to_all(
        group: *mut c_void,
        output: *mut c_void,
        input: *mut c_void,
    ) -> c_int;
    pub(crate) fn lmplan_broadcast(group: *mut c_void, data: *mut c_void, root: c_int) -> c_int;
    pub(crate) fn lmplan_barrier(group: *mut c_void) -> c_int;
    pub(crate) fn lmplan_send(
        group: *mut c_void,
        data: *mut c_void,
        to: c_int,
        tag: c_int,
        lane: c_int,
    ) -> *mut c_void;
    pub(crate) fn lmplan_receive(
        group: *mut c_void,
        data: *mut c_void,
        from: c_int,
        tag: c_int,
        lane: c_int,
    ) -> c_int;
    pub(crate) fn lmplan_settle(group: *mut c_void) -> c_int;
    pub(crate) fn lmplan_pending_wait(pending: *mut c_void) -> c_int;
    pub(crate) fn lmplan_pending_free(pending: *mut c_void);
    pub(crate) fn lmplan_nccl(path: *const c_char, version: *mut c_int) -> c_int;
    pub(crate) fn lmplan_nccl_group(
        store: *mut c_void,
        name: *const c_char,
        rank: c_int,
        size: c_int,
        device: c_int,
        lanes: c_int,
        timeout_ms: i64,
    ) -> *mut c_void;
    pub(crate) fn lmplan_layer_norm_backward(
        gradient: *mut c_void,
        input: *mut c_void,
        mean: *mut c_void,
        rstd: *mut c_void,
        weight: *mut c_void,
        bias: *mut c_void,
        results: *mut *mut c_void,
    ) -> c_int;
    pub(crate) fn lmplan_attention(
        query: *mut c_void,
        key: *mut c_void,
        value: *mut c_void,
        bias: *mut c_void,
        dropout: f64,
        causal: c_int,
        results: *mut *mut c_void,
    ) -> c_int;
    pub(crate) fn lmplan_attention_backward(
        gradient: *mut c_void,
        query: *mut c_void,
        key: *mut c_void,
        value: *mut c_void,
        bias: *mut c_void,
        output: *mut c_void,
        denominators: *mut c_void,
        seed: *mut c_void,
        offset: *mut c_void,
        dropout: f64,
        causal: c_int,
        results: *mut *mut c_void,
    ) -> c_int;
    pub(crate) fn lmplan_lamb_update(
        gradients: *mut c_void,
        first: *mut c_void,
        second: *mut c_void,
        update: *mut c_void,
        step: f64,
        beta1: f64,
        beta2: f64,
        epsilon: f64,
        scale: f64,
    ) -> c_int;
    pub(crate) fn lmplan_adam(
        parameters: *mut c_void,
        gradients: *mut c_void,
        first: *mut c_void,
        second: *mut c_void,
        step: f64,
        rate: f64,
        beta1: f64,
        beta2: f64,
        decay: f64,
        epsilon: f64,
        scale: f64,
    ) -> c_int;
    pub(crate) fn lmplan_load_cuda() -> c_int;
    pub(crate) fn lmplan_gpu(
        device: c_int,
        multiprocessors: *mut c_int,
        memory: *mut u64,
        address: *mut c_char,
        room: c_int,
    ) -> c_int;
    pub(crate) fn lmplan_count_cpu_memory() -> c_int;
    pub(crate) fn lmplan_memory(
        cuda: c_int,
        device: c_int,
        reset_peak: c_int,
        current: *mut i64,
        peak: *mut i64,
        reserved: *mut i64,
    ) -> c_int;
    pub(crate) fn lmplan_empty_cache() -> c_int;
    pub(crate) fn lmplan_synchronize(device: c_int) -> c_int;
    pub(crate) fn lmplan_allow_tf32(allowed: c_int) -> c_int;
    pub(crate) fn lmplan_event() -> *mut c_void;
    pub(crate) fn lmplan_event_record(event: *mut c_void, device: c_int) -> c_int;
    pub(crate) fn lmplan_event_elapsed(
        from: *mut c_void,
        to: *mut c_void,
        milliseconds: *mut f64,
    ) -> c_int;
    pub(crate) fn lmplan_event_free(event: *mut c_void);
    pub(crate) fn lmplan_pinned(
        sizes: *const i64,
        dimensions: c_int,
        like: *mut c_void,
    ) -> *mut c_void;
    pub(crate) fn lmplan_copy(to: *mut c_void, from: *mut c_void) -> c_int;
    pub(crate) fn lmplan_graph(data: *mut c_void, launches: c_int) -> *mut c_void;
    pub(crate) fn lmplan_graph_launch(graph: *mut c_void) -> c_int;
    pub(crate) fn lmplan_graph_free(graph: *mut c_void);
}
