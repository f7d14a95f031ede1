//! A device file from measurements.

use super::benchmark;
use super::error::{ExecutorError, Result};
use super::fitting::{fit_kernels, fit_link};
use super::gpu::{self, Extent};
use super::launch::launch;
use super::measure::median;
use super::task::{Mode, Task};
use crate::cost::fit::{MeasuredCollective, MeasuredKernel, one_node};
use crate::cost::{KernelTable, table_name};
use crate::plan::{Batch, OptimizerSharding, Parallelism, Plan};
use crate::planner::choice::Choice;
use crate::planner::job::Job;
use crate::spec::{
    self, Cluster, CollectiveConstants, DeviceSpec, KernelConstants, LinkSpec, MeasuredRow,
    MeasuredTable, ModelSpec, Observed, Precision, ScheduleKind, StackSpec,
};
use crate::units::{Bytes, BytesPerSecond, FlopsPerSecond, Seconds, Watts};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind};

/// What is measured, and how long for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Name of the device file.
    pub name: String,
    /// On a GPU.
    pub cuda: bool,
    /// Fewer shapes and repetitions.
    pub quick: bool,
    /// What the file says of the device and of when it was measured.
    pub provenance: String,
}

/// Measures a device. `program` is this program, which is started again for ranks; `say` is told
/// what is being measured.
///
/// # Errors
/// What libtorch or a rank reports.
pub fn calibrate(program: &Path, request: &Request, say: &dyn Fn(&str)) -> Result<DeviceSpec> {
    let device = if request.cuda { Device::Cuda(0) } else { Device::Cpu };
    lmplan_c10d::warm_up(device)?;
    tch::set_num_threads(1);
    lmplan_c10d::keep_host_memory();
    let _no_tape = tch::no_grad_guard();
    say("memory bandwidth and peak");
    let mut spec = draft(request, device)?;
    let kind = if request.cuda { Kind::BFloat16 } else { Kind::Float };
    let precision = if request.cuda { Precision::Bf16Mixed } else { Precision::Fp32 };
    let mut kernels = if request.cuda {
        let (kernels, missing) = gpu::kernels(device, extent(request), say);
        let seen = gpu::observe(device, extent(request), say);
        let not_measured = [missing, seen.not_measured.clone()].concat();
        spec.peak.extend(gpu::peaks(&seen));
        spec.observed = Some(Observed { not_measured, ..seen });
        kernels
    } else {
        say("matrix products");
        benchmark::products(device, kind, request.quick)
    };
    let mut of_layers = Vec::new();
    let mut totals = (0.0, 0.0);
    let models = models(request, precision);
    for (index, (model, batch)) in models.iter().enumerate() {
        say(&format!("layers, {} of {}", index + 1, models.len()));
        let (job, choice) = single(model, &stack()?, &spec, *batch)?;
        let repeats = if request.quick { 5 } else { 9 };
        let found = benchmark::kernels_of(&job, &choice, device, repeats)?;
        of_layers.extend(found.kernels);
        totals = (totals.0 + found.totals.0, totals.1 + found.totals.1);
    }
    // A step has all the interruptions that the middle one of a kernel's few times leaves out:
    // they are many kernels' together, and go to each by its time.
    let interruptions = if totals.1 > 0.0 { totals.0 / totals.1 } else { 1.0 };
    of_layers.iter_mut().for_each(|kernel| kernel.time = kernel.time * interruptions);
    kernels.extend(of_layers);
    say("fitting kernels");
    let errors = fit_kernels(&mut spec, precision, &kernels);
    spec.kernels.provenance = format!(
        "{}; kernels of layers with {:.1} % of interruptions; {errors}",
        request.provenance,
        100.0 * (interruptions - 1.0)
    );
    spec.measured = Some(table(&kernels, kind.elt_size_in_bytes() as u64));
    if !request.cuda {
        say("collectives of two ranks");
        let rows = collectives(program, request)?;
        let errors = fit_link(&mut spec, &rows);
        if let Some(measured) = &mut spec.measured {
            measured.collectives = collective_table(&rows, repetitions(request));
        }
        if let Some(link) = &mut spec.link {
            link.collectives.provenance = format!("{}; {errors}", request.provenance);
        }
    }
    Ok(spec)
}

const fn extent(request: &Request) -> Extent {
    if request.quick { Extent::Quick } else { Extent::Full }
}

/// What is measured at once, with constants to start from.
fn draft(request: &Request, device: Device) -> Result<DeviceSpec> {
    let side = if request.cuda { 8192 } else { 1024 };
    let rate = |kind: Kind| {
        let flops = 2.0 * (side as f64).powi(3);
        FlopsPerSecond::new(flops / benchmark::product(device, kind, [side; 3]))
    };
    let mut peak = BTreeMap::from([(Precision::Fp32, rate(Kind::Float))]);
    peak.insert(Precision::Bf16Mixed, rate(Kind::BFloat16));
    let bandwidth = BytesPerSecond::new(benchmark::copy_bandwidth(device));
    let (sm_count, memory) = if request.cuda {
        let gpu = lmplan_c10d::gpu(0)?;
        (gpu.multiprocessors, Bytes::new(gpu.memory))
    } else {
        (1, memory_of_a_core())
    };
    Ok(DeviceSpec {
        name: request.name.clone(),
        peak,
        memory,
        memory_bandwidth: bandwidth,
        sm_count,
        host_bandwidth: bandwidth,
        power: Watts::new(gpu::power_limit(device).unwrap_or(if request.cuda {
            700.0
        } else {
            10.0
        })),
        link: (!request.cuda).then(|| LinkSpec {
            name: "gloo".to_owned(),
            bandwidth: BytesPerSecond::new(bandwidth.get() / 4.0),
            latency: Seconds::new(5e-5),
            pair_bandwidth: None,
            collectives: CollectiveConstants::default(),
        }),
        price_per_hour: None,
        kernels: KernelConstants {
            matmul_efficiency: 0.9,
            power_limited_rate: 1.0,
            memory_efficiency: 0.9,
            l2_bandwidth: BytesPerSecond::new(10.0 * bandwidth.get()),
            kernel_latency: Seconds::new(3e-6),
            matmul_prologue_k: 30.0,
            wave_quantisation: 0.1,
            attention_efficiency: (0.5, 0.4),
            attention_generation: 2,
            softmax_flops: 100.0,
            attention_prologue_keys: 20.0,
            attention_latency: Seconds::new(1e-5),
            pass_efficiency: BTreeMap::new(),
            provenance: String::new(),
        },
        measured: None,
        observed: None,
        source: Some(format!(
            "peak and memory bandwidth are what was measured, not a data sheet's; power is an \
             assumption. {}",
            request.provenance
        )),
    })
}

/// A core's share of the machine's memory.
fn memory_of_a_core() -> Bytes {
    let gib = 1u64 << 30;
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    Bytes::new(kib.map_or(gib, |kib| kib * 1024) / cores)
}

fn stack() -> Result<StackSpec> {
    let found = spec::load_stack("lmplan", Path::new("."));
    found.map(|(stack, _)| stack).map_err(|error| ExecutorError::Program(error.to_string()))
}

/// Models of a few widths and lengths, one layer of each, with a micro-batch.
fn models(request: &Request, precision: Precision) -> Vec<(ModelSpec, u64)> {
    let shapes: &[(u64, u64, u64)] = if request.cuda {
        if request.quick { &gpu::LAYERS[2..5] } else { &gpu::LAYERS }
    } else if request.quick {
        &[(256, 128, 2), (512, 256, 1)]
    } else {
        &[
            (128, 64, 4),
            (192, 96, 4),
            (256, 128, 1),
            (256, 128, 4),
            (384, 192, 2),
            (512, 64, 2),
            (512, 256, 1),
            (512, 256, 4),
            (768, 128, 2),
            (640, 512, 1),
            (1024, 256, 1),
        ]
    };
    let mut all = Vec::new();
    for name in ["gpt2-124m", "bert-base", "llama-7b"] {
        let Ok((base, _)) = spec::load_model(name, Path::new(".")) else { continue };
        for &(hidden, rows, batch) in shapes {
            let mut model = base.clone();
            model.num_layers = 1;
            model.hidden_size = hidden;
            model.num_heads = hidden / 64;
            model.num_kv_heads = model.num_kv_heads.map(|_| hidden / 64);
            model.ffn_hidden_size = model.ffn_hidden_size.map(|_| hidden * 8 / 3 / 32 * 32);
            if name != "llama-7b" {
                model.ffn_hidden_size = Some(4 * hidden);
            }
            model.vocab_size = 8192;
            model.sequence_length = rows;
            model.max_position_embeddings = None;
            model.training.max_predictions_per_sequence =
                model.training.max_predictions_per_sequence.map(|_| rows / 6);
            model.training.precision = precision;
            model.training.global_batch_size = batch;
            model.published_parameters = None;
            all.push((model, batch));
        }
    }
    all
}

fn plan(ranks: u64, batch: u64) -> Plan {
    Plan {
        model: String::new(),
        cluster: String::new(),
        stack: String::new(),
        parallelism: Parallelism {
            tensor: 1,
            pipeline: 1,
            data: ranks,
            context: 1,
            expert: 1,
            virtual_stages: 1,
            sequence_parallel: false,
        },
        batch: Batch { global: batch * ranks, micro: batch },
        lora: None,
        schedule: ScheduleKind::OneFOneB,
        optimizer_sharding: OptimizerSharding::None,
        stages: Vec::new(),
        operators: BTreeMap::new(),
    }
}

/// A model on one device.
fn single(
    model: &ModelSpec,
    stack: &StackSpec,
    device: &DeviceSpec,
    batch: u64,
) -> Result<(Job, Choice)> {
    let program = |error: String| ExecutorError::Program(error);
    let spec = one_node(&device.name, 1);
    let group = spec::NodeGroup { spec: spec.nodes[0].clone(), device: device.clone() };
    let cluster = Cluster { spec, groups: vec![group] };
    let job = Job::new(model.clone(), cluster, stack.clone())
        .map_err(|error| program(error.to_string()))?;
    let choice =
        Choice::of_plan(&job, &plan(1, batch)).map_err(|error| program(error.to_string()))?;
    Ok((job, choice))
}

/// Measured kernels as a table; of several times of one kernel the middle one.
fn table(kernels: &[MeasuredKernel], element_bytes: u64) -> MeasuredTable {
    let mut times: BTreeMap<(&str, [u64; 3]), Vec<f64>> = BTreeMap::new();
    for measured in kernels {
        if let Some(row) = KernelTable::row_of(&measured.kernel) {
            times.entry(row).or_default().push(measured.time.get());
        }
    }
    let mut kernels: BTreeMap<String, Vec<MeasuredRow>> = BTreeMap::new();
    for ((kind, sizes), seconds) in times {
        let time = Seconds::new(median(&seconds));
        kernels.entry(kind.to_owned()).or_default().push(MeasuredRow { sizes, time });
    }
    MeasuredTable { element_bytes, kernels, collectives: BTreeMap::new() }
}

/// Measured collectives as a table.
fn collective_table(
    rows: &[MeasuredCollective],
    repetitions: u64,
) -> BTreeMap<String, Vec<MeasuredRow>> {
    let mut table: BTreeMap<String, Vec<MeasuredRow>> = BTreeMap::new();
    for row in rows {
        if let Some(name) = table_name(row.collective) {
            let sizes = [row.bytes.get(), row.ranks, repetitions];
            table.entry(name.to_owned()).or_default().push(MeasuredRow { sizes, time: row.time });
        }
    }
    table
}

/// How often each collective is timed.
const fn repetitions(request: &Request) -> u64 {
    if request.quick { 5 } else { 31 }
}

/// Collectives between two ranks of this machine.
fn collectives(program: &Path, request: &Request) -> Result<Vec<MeasuredCollective>> {
    let (model, _) = spec::load_model("gpt2-124m", Path::new("."))
        .map_err(|error| ExecutorError::Program(error.to_string()))?;
    let task = Task {
        mode: Mode::Collectives,
        model,
        plan: plan(2, 1),
        stack: stack()?,
        cuda: false,
        double: false,
        steps: repetitions(request),
        patience_s: 60.0,
        fault: None,
        nccl: false,
    };
    let answers = launch(program, &task)?;
    // Who comes first waits for the other: the mean of both is what a step is longer for it.
    let ranks = answers.len().max(1) as f64;
    let of_first = answers.first().map(|answer| answer.collectives.clone()).unwrap_or_default();
    let row = |(index, (collective, bytes, _)): (usize, (_, u64, f64))| {
        let all = answers.iter().filter_map(|answer| answer.collectives.get(index));
        MeasuredCollective {
            device: String::new(),
            collective,
            ranks: 2,
            bytes: Bytes::new(bytes),
            time: Seconds::new(all.map(|(_, _, seconds)| seconds).sum::<f64>() / ranks),
        }
    };
    Ok(of_first.into_iter().enumerate().map(row).collect())
}
