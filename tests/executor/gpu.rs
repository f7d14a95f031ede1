//! What a GPU is measured for, on the host at smallest sizes: that it runs and gives sizes and times.

use lmplan::executor::gpu::{self, Extent};
use lmplan::spec::Observed;
use tch::Device;

#[test]
fn a_host_is_observed_as_a_gpu_would_be() {
    let _no_tape = tch::no_grad_guard();
    let seen = gpu::observe(Device::Cpu, Extent::Tiny, &|_| {});
    for element in ["bf16", "fp16", "fp32", "tf32"] {
        let rows = seen.products.get(element).unwrap();
        assert_eq!(rows[0].sizes, [64, 64, 64], "{element}");
        assert!(rows[0].time.get() > 1e-8 && rows[0].time.get() < 0.1, "{element}: {rows:?}");
    }
    let (launch, alone) = (seen.launch.unwrap().get(), seen.round_trip.unwrap().get());
    assert!(launch > 1e-8 && launch < 1e-2 && alone > 1e-8, "{launch} {alone}");
    let load = seen.load.as_ref().unwrap();
    assert!(load.tflops > 0.0 && load.duration.get() >= 0.1, "{load:?}");
    // What only a GPU has is said to be missing.
    for what in ["launches from a graph", "copies", "NCCL", "clock and power under load"] {
        assert!(seen.not_measured.iter().any(|note| note.starts_with(what)), "{what}: {seen:?}");
    }
    assert!(gpu::peaks(&seen).values().all(|rate| rate.get() > 1e6), "{seen:?}");
    assert!(gpu::peaks(&seen).len() >= 2, "{seen:?}");
    let text = serde_yaml::to_string(&seen).unwrap();
    let read: Observed = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(read.not_measured, seen.not_measured);
    assert_eq!(read.products.len(), seen.products.len());
}

#[test]
fn products_and_attention_by_themselves() {
    let _no_tape = tch::no_grad_guard();
    let (kernels, missing) = gpu::kernels(Device::Cpu, Extent::Tiny, &|_| {});
    assert_eq!(missing, Vec::<String>::new());
    // One product; two widths of heads, masked or not, forward and backward.
    assert_eq!(kernels.len(), 1 + 2 * 2 * 2);
    assert!(kernels.iter().all(|kernel| kernel.time.get() > 0.0));
}
