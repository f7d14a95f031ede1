//! Throughput of the cost model: what one kernel or collective takes to price.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{Criterion, criterion_group, criterion_main};
use lmplan::cost::{CollectiveModel, DeviceModel};
use lmplan::graph::{Collective, GemmPass, Kernel};
use lmplan::mesh::{GroupPlacement, Nodes};
use lmplan::spec::{ClusterSpec, DeviceSpec, Precision};
use lmplan::units::Bytes;
use std::hint::black_box;

fn price(criterion: &mut Criterion) {
    let device: DeviceSpec =
        serde_saphyr::from_str(include_str!("../hardware/devices/a100-80gb-sxm.yaml"))
            .expect("the catalogue reads");
    let cluster: ClusterSpec = serde_saphyr::from_str(include_str!("../hardware/a100x64.yaml"))
        .expect("the catalogue reads");
    let model = DeviceModel::new(&device, Precision::Bf16Mixed);
    let product = Kernel::Gemm {
        batch: 1,
        m: 2048,
        n: 4608,
        k: 12288,
        operand_bytes: 2,
        result_bytes: 2,
        accumulate: false,
        pass: GemmPass::Forward,
    };
    criterion.bench_function("kernel_time of a product", |bencher| {
        bencher.iter(|| model.kernel_time(black_box(&product)));
    });
    let attention = Kernel::FlashAttention {
        backward: false,
        batch: 1,
        heads: 12,
        kv_heads: 12,
        query_length: 2048,
        key_length: 2048,
        head_dim: 128,
        causal: true,
        element_bytes: 2,
    };
    criterion.bench_function("kernel_time of fused attention", |bencher| {
        bencher.iter(|| model.kernel_time(black_box(&attention)));
    });
    let collectives = CollectiveModel::new(&cluster, &device);
    for (name, size, stride) in [("inside a node", 8, 1), ("across nodes", 8, 8)] {
        let group = GroupPlacement::new(&Nodes::of(&cluster), size, stride);
        criterion.bench_function(&format!("collective_time {name}"), |bencher| {
            bencher.iter(|| {
                let bytes = black_box(Bytes::new(50 << 20));
                collectives.collective_time(Collective::AllReduce, bytes, &group)
            });
        });
    }
    criterion.bench_function("placement of a group", |bencher| {
        bencher.iter(|| GroupPlacement::new(&Nodes::of(&cluster), black_box(8), black_box(8)));
    });
}

criterion_group!(benches, price);
criterion_main!(benches);
