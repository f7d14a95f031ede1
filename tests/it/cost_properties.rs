//! What must hold of the cost model whatever the constants, and of the catalogue that feeds it.

use lmplan::cost::{CollectiveModel, CostModel, DeviceModel};
use lmplan::graph::{Collective, GemmPass, Kernel, PassKind};
use lmplan::mesh::{GroupPlacement, Nodes};
use lmplan::sharding::{Group, InstructionCost};
use lmplan::spec::{
    ClusterSpec, DeviceSpec, LinkKind, NetworkSpec, NodeGroupSpec, Optimizer, Precision, StackSpec,
    Topology,
};
use lmplan::units::{Bytes, BytesPerSecond, Seconds, SimTime};
use proptest::prelude::*;
use std::fs;
use std::path::Path;

const DEVICES: [&str; 5] =
    ["a100-80gb-sxm", "h100-80gb-sxm", "b200-180gb", "v100-32gb-sxm2", "mi300x"];
const COLLECTIVES: [Collective; 5] = [
    Collective::AllReduce,
    Collective::ReduceScatter,
    Collective::AllGather,
    Collective::AllToAll,
    Collective::Broadcast,
];

fn device(name: &str) -> DeviceSpec {
    let text = fs::read_to_string(format!("hardware/devices/{name}.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn stack(name: &str) -> StackSpec {
    let text = fs::read_to_string(format!("hardware/stacks/{name}.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn cluster(nodes: u64, devices_per_node: u64, gbits_per_nic: f64) -> ClusterSpec {
    ClusterSpec {
        name: "test".into(),
        nodes: vec![NodeGroupSpec {
            count: nodes,
            devices_per_node,
            device: "a100-80gb-sxm".into(),
            intra_node: LinkKind::Nvlink3,
        }],
        network: Some(NetworkSpec {
            nics_per_node: 8,
            bandwidth_per_nic: BytesPerSecond::new(gbits_per_nic * 1e9 / 8.0),
            latency: Seconds::new(5e-6),
            efficiency: 0.92,
            topology: Topology::FatTree,
            tiers: Vec::new(),
            in_network_reduction: false,
        }),
        price_per_device_hour: None,
        host_power_per_device: None,
        failures_per_device: None,
        recovery: None,
        source: None,
    }
}

fn product(batch: u64, m: u64, n: u64, k: u64) -> Kernel {
    Kernel::Gemm {
        batch,
        m,
        n,
        k,
        operand_bytes: 2,
        result_bytes: 2,
        accumulate: false,
        pass: GemmPass::Forward,
    }
}

fn attention(backward: bool, length: u64, heads: u64, head_dim: u64, causal: bool) -> Kernel {
    Kernel::FlashAttention {
        backward,
        batch: 2,
        heads,
        kv_heads: heads,
        query_length: length,
        key_length: length,
        head_dim,
        causal,
        element_bytes: 2,
    }
}

fn yaml_files(folder: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn the_catalogue_reads_and_refers_to_itself() {
    let devices = yaml_files("hardware/devices");
    assert!(devices.len() >= 18, "{} devices", devices.len());
    for (name, text) in &devices {
        let device: DeviceSpec =
            serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(&device.name, name);
        assert!(device.source.is_some(), "{name} has no source");
        assert!(!device.kernels.provenance.contains("to be fitted"), "{name}");
        let link = device.link.as_ref().map(|link| link.collectives.provenance.as_str());
        assert!(!link.is_some_and(|from| from.contains("to be fitted")), "{name}");
        assert!((0.0..=1.0).contains(&device.kernels.matmul_efficiency), "{name}");
        let (forward, backward) = device.kernels.attention_efficiency;
        assert!(backward < forward, "{name}");
    }
    let clusters = yaml_files("hardware");
    assert!(clusters.len() >= 50, "{} clusters", clusters.len());
    for (name, text) in &clusters {
        let cluster: ClusterSpec =
            serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(&cluster.name, name);
        let nodes: u64 = cluster.nodes.iter().map(|group| group.count).sum();
        assert!(cluster.network.is_some() || nodes == 1, "{name} has nodes but no network");
        for group in &cluster.nodes {
            let path = format!("hardware/devices/{}.yaml", group.device);
            assert!(Path::new(&path).exists(), "{name}: no device {}", group.device);
        }
    }
    let stacks = yaml_files("hardware/stacks");
    let names: Vec<&str> = stacks.iter().map(|(name, _)| name.as_str()).collect();
    for expected in ["deepspeed", "fsdp", "lmplan", "megatron-2021", "megatron-core"] {
        assert!(names.contains(&expected), "{expected}");
    }
    for (name, text) in &stacks {
        let stack: StackSpec =
            serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(&stack.name, name);
        assert!(stack.source.is_some() && !stack.schedules.is_empty(), "{name}");
    }
}

#[test]
fn a_large_product_is_slower_than_the_peak_and_not_by_much() {
    for name in DEVICES {
        let spec = device(name);
        let precision = Precision::Fp16Mixed;
        let model = DeviceModel::new(&spec, precision);
        let kernel = product(1, 8192, 8192, 8192);
        let share = model.peak_time(kernel.flops()) / model.kernel_time(&kernel).seconds();
        assert!((0.4..1.0).contains(&share), "{name} reaches {share:.2} of its peak");
    }
}

#[test]
fn causal_attention_is_nearly_half_of_full() {
    let model = DeviceModel::new(&device("a100-80gb-sxm"), Precision::Bf16Mixed);
    let time = |causal| model.kernel_time(&attention(false, 16_384, 32, 128, causal));
    let ratio = time(true).seconds() / time(false).seconds();
    assert!((0.49..0.56).contains(&ratio), "{ratio}");
}

#[test]
fn the_placed_price_list_is_the_model() {
    let cluster = cluster(8, 8, 200.0);
    let spec = device("a100-80gb-sxm");
    let model = CostModel::new(&cluster, &spec, &stack("megatron-core"), Precision::Bf16Mixed);
    let tensor = GroupPlacement::new(&Nodes::of(&cluster), 4, 1);
    let context = GroupPlacement::new(&Nodes::of(&cluster), 2, 4);
    let data = GroupPlacement::new(&Nodes::of(&cluster), 8, 8);
    let placed = model.with_groups(tensor, context, data);
    let kernel = product(1, 2048, 4096, 1024);
    assert_eq!(placed.kernel(&kernel), model.device().kernel_time(&kernel));
    for (group, placement) in
        [(Group::Tensor, tensor), (Group::Context, context), (Group::Data, data)]
    {
        let bytes = Bytes::new(64 << 20);
        let expected =
            model.collectives().collective_time(Collective::AllReduce, bytes, &placement);
        assert_eq!(placed.collective(Collective::AllReduce, bytes, group), expected);
    }
    // 12 billion bytes over NVLink against eight groups that share the interfaces.
    let bytes = Bytes::new(12_000_000_000);
    let near = placed.collective(Collective::AllReduce, bytes, Group::Tensor);
    let far = placed.collective(Collective::AllReduce, bytes, Group::Data);
    assert!(far.seconds() / near.seconds() > 5.0, "{near} {far}");
}

#[test]
fn an_optimizer_step_is_bound_by_memory() {
    let model = CostModel::new(
        &cluster(1, 8, 200.0),
        &device("a100-80gb-sxm"),
        &stack("megatron-core"),
        Precision::Bf16Mixed,
    );
    let elements = 1_000_000_000;
    let adam = model.optimizer_time(elements, Optimizer::Adam).seconds().get();
    let least = 38e9 / 2.039e12;
    assert!((least..2.0 * least).contains(&adam), "{adam}");
    assert!(model.optimizer_time(elements, Optimizer::Lamb).seconds().get() > adam);
    assert_eq!(model.optimizer_time(0, Optimizer::Adam), SimTime::ZERO);
}

#[test]
fn reduction_in_the_network_helps_and_oversubscription_hurts() {
    let spec = device("a100-80gb-sxm");
    let plain = cluster(64, 8, 200.0);
    let mut sharp = plain.clone();
    let mut tapered = plain.clone();
    if let Some(network) = &mut sharp.network {
        network.in_network_reduction = true;
    }
    if let Some(network) = &mut tapered.network {
        network.tiers.push(lmplan::spec::TierSpec { nodes: 16, oversubscription: 4.0 });
    }
    let group = GroupPlacement::new(&Nodes::of(&plain), 64, 8);
    let time = |cluster: &ClusterSpec| {
        let model = CollectiveModel::new(cluster, &spec);
        model.collective_time(Collective::AllReduce, Bytes::new(1 << 30), &group).seconds().get()
    };
    assert!(time(&sharp) < 0.6 * time(&plain));
    assert!((3.5..4.1).contains(&(time(&tapered) / time(&plain))));
}

/// Heads of 108 elements, 216 bytes a row: without tensor cores in a batch, slower alone, and the
/// next multiple of eight is fast in both.
#[test]
fn misaligned_rows_are_slow() {
    let model = DeviceModel::new(&device("a100-80gb-sxm"), Precision::Bf16Mixed);
    let seconds = |batch, k| model.kernel_time(&product(batch, 2048, 2048, k)).seconds().get();
    assert!(seconds(64, 108) > 8.0 * seconds(64, 112));
    assert!(seconds(1, 10_804) > 2.0 * seconds(1, 10_816));
    assert!(seconds(1, 10_804) < 5.0 * seconds(1, 10_816));
}

proptest! {
    #[test]
    fn collectives_grow_with_bytes(
        which in 0usize..5, name in 0usize..5, size in 1u64..64, stride in 1u64..32,
        small in 0u64..1 << 32, more in 0u64..1 << 32,
    ) {
        let cluster = cluster(64, 8, 200.0);
        let model = CollectiveModel::new(&cluster, &device(DEVICES[name]));
        let group = GroupPlacement::new(&Nodes::of(&cluster), size, stride);
        let time = |bytes| model.collective_time(COLLECTIVES[which], Bytes::new(bytes), &group);
        prop_assert!(time(small) <= time(small + more));
        if size == 1 {
            prop_assert_eq!(time(small), SimTime::ZERO);
        } else {
            // No bytes take the latency only: some microseconds a hop.
            prop_assert!(time(0) > SimTime::ZERO);
            prop_assert!(time(0).seconds().get() < 2e-5 * (size as f64 + 4.0));
        }
    }

    #[test]
    fn collectives_are_no_quicker_than_the_wire(
        size in 2u64..64, stride in 1u64..32, bytes in 1u64..1 << 34,
    ) {
        let cluster = cluster(64, 8, 200.0);
        let model = CollectiveModel::new(&cluster, &device("a100-80gb-sxm"));
        let group = GroupPlacement::new(&Nodes::of(&cluster), size, stride);
        let time = |what| model.collective_time(what, Bytes::new(bytes), &group).seconds().get();
        // Each rank receives what it lacks over its own 300 GB/s.
        let least = bytes as f64 * (size - 1) as f64 / size as f64 / 300e9;
        for what in [Collective::AllGather, Collective::ReduceScatter, Collective::AllToAll] {
            prop_assert!(time(what) >= least);
        }
        prop_assert!(time(Collective::AllReduce) >= 2.0 * least);
        // Two halves of an all-reduce take no less than the whole.
        let halves = time(Collective::ReduceScatter) + time(Collective::AllGather);
        prop_assert!(time(Collective::AllReduce) <= halves * 1.35);
    }

    #[test]
    fn a_quicker_network_is_no_slower(
        which in 0usize..5, size in 2u64..64, stride in 1u64..64, bytes in 0u64..1 << 32,
        gbits in 10.0f64..400.0, gain in 1.0f64..8.0,
    ) {
        let spec = device("h100-80gb-sxm");
        let time = |rate| {
            let cluster = cluster(512, 8, rate);
            let group = GroupPlacement::new(&Nodes::of(&cluster), size, stride);
            let model = CollectiveModel::new(&cluster, &spec);
            (
                model.collective_time(COLLECTIVES[which], Bytes::new(bytes), &group),
                model.point_to_point_time(Bytes::new(bytes), false, size),
            )
        };
        let (slow, quick) = (time(gbits), time(gbits * gain));
        prop_assert!(quick.0 <= slow.0);
        prop_assert!(quick.1 <= slow.1);
    }

    #[test]
    fn sharing_the_interfaces_is_no_quicker(bytes in 0u64..1 << 32, sharing in 1u64..16) {
        let model = CollectiveModel::new(&cluster(4, 8, 200.0), &device("a100-80gb-sxm"));
        let time = |n| model.point_to_point_time(Bytes::new(bytes), false, n);
        prop_assert!(time(sharing) <= time(sharing + 1));
        let near = model.point_to_point_time(Bytes::new(bytes), true, sharing);
        if bytes > 1 << 24 {
            prop_assert!(near < time(sharing));
        }
    }

    #[test]
    fn products_grow_with_their_sides_but_for_tiles(
        name in 0usize..5, m in 1u64..16_384, n in 1u64..16_384, k in 1u64..16_384,
    ) {
        let model = DeviceModel::new(&device(DEVICES[name]), Precision::Fp16Mixed);
        // Multiples of 32, 64 bytes, keep the alignment the same.
        let (n, k) = (n.div_ceil(32) * 32, k.div_ceil(32) * 32);
        let time = |m, n, k| model.kernel_time(&product(1, m, n, k)).seconds().get();
        let here = time(m, n, k);
        for twice in [time(2 * m, n, k), time(m, 2 * n, k), time(m, n, 2 * k)] {
            prop_assert!(twice >= here * 0.99, "{m} {n} {k}: {here} then {twice}");
        }
        let model_peak = model.peak_time(product(1, m, n, k).flops()).get();
        prop_assert!(here >= model_peak);
        let batch = model.kernel_time(&product(4, m, n, k)).seconds().get();
        // Four at once may leave a wave partly filled where one alone divided its k loop.
        prop_assert!(batch >= here && batch <= 4.0 * here * 1.6, "{} times", batch / here);
    }

    #[test]
    fn passes_over_memory_are_linear(read in 0u64..1 << 40, written in 0u64..1 << 40, launches in 1u64..9) {
        let model = DeviceModel::new(&device("a100-80gb-sxm"), Precision::Bf16Mixed);
        let pass = |read, written, launches| {
            let kernel = Kernel::Memory {
                pass: PassKind::Norm,
                read: Bytes::new(read),
                written: Bytes::new(written),
                launches,
            };
            model.kernel_time(&kernel)
        };
        let once = pass(read, written, launches);
        let twice = pass(2 * read, 2 * written, 2 * launches);
        prop_assert!(twice.picos().abs_diff(once.picos() * 2) <= 2 + once.picos() / 1_000_000_000);
        prop_assert_eq!(once, pass(written, read, launches));
    }

    #[test]
    fn attention_backward_costs_more(length in 1u64..32_768, heads in 1u64..64, wide in 1u64..5) {
        for name in DEVICES {
            let model = DeviceModel::new(&device(name), Precision::Fp16Mixed);
            let head_dim = wide * 32;
            let time = |backward, causal| {
                model.kernel_time(&attention(backward, length, heads, head_dim, causal))
            };
            prop_assert!(time(true, true) > time(false, true));
            prop_assert!(time(false, false) >= time(false, true));
            prop_assert!(time(true, false) >= time(true, true));
        }
    }

    #[test]
    fn no_input_panics(
        batch in any::<u64>(), m in any::<u64>(), n in any::<u64>(), k in any::<u64>(),
        bytes in any::<u64>(), size in any::<u64>(), stride in any::<u64>(), which in 0usize..5,
    ) {
        let spec = device("a100-80gb-sxm");
        let model = DeviceModel::new(&spec, Precision::Bf16Mixed);
        model.kernel_time(&product(batch, m, n, k));
        model.kernel_time(&attention(true, m, n, k, true));
        let cluster = cluster(4, 8, 200.0);
        let group = GroupPlacement::new(&Nodes::of(&cluster), size, stride);
        let model = CollectiveModel::new(&cluster, &spec);
        model.collective_time(COLLECTIVES[which], Bytes::new(bytes), &group);
        model.point_to_point_time(Bytes::new(bytes), false, size);
    }
}
