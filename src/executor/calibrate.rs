//! A device file from measurements.

use super::benchmark;
use super::error::{ExecutorError, Result};
use super::launch::launch;
use super::task::{Mode, Task};
use crate::cost::fit::{
    FitError, MeasuredCollective, MeasuredKernel, benchmark_model, coordinate_descent, one_node,
};
use crate::cost::{CollectiveModel, DeviceModel};
use crate::graph::{Kernel, PassKind};
use crate::plan::{Batch, OptimizerSharding, Parallelism, Plan};
use crate::planner::choice::Choice;
use crate::planner::job::Job;
use crate::spec::{
    self, Cluster, CollectiveConstants, DeviceSpec, KernelConstants, LinkSpec, ModelSpec,
    Precision, ScheduleKind, StackSpec,
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
    tch::set_num_threads(1);
    let _no_tape = tch::no_grad_guard();
    say("memory bandwidth and peak");
    let mut spec = draft(request, device);
    let kind = if request.cuda { Kind::BFloat16 } else { Kind::Float };
    let precision = if request.cuda { Precision::Bf16Mixed } else { Precision::Fp32 };
    say("matrix products");
    let mut kernels = benchmark::products(device, kind, request.quick);
    for (index, (model, batch)) in models(request.quick, precision).into_iter().enumerate() {
        say(&format!("layers, {} of {}", index + 1, models(request.quick, precision).len()));
        let (job, choice) = single(&model, &stack()?, &spec, batch)?;
        let repeats = if request.quick { 5 } else { 9 };
        kernels.extend(benchmark::kernels_of(&job, &choice, device, repeats)?);
    }
    say("fitting kernels");
    let errors = fit_kernels(&mut spec, precision, &kernels);
    spec.kernels.provenance = format!("{}; {errors}", request.provenance);
    if !request.cuda {
        say("collectives of two ranks");
        let rows = collectives(program, request)?;
        let errors = fit_link(&mut spec, &rows);
        if let Some(link) = &mut spec.link {
            link.collectives.provenance = format!("{}; {errors}", request.provenance);
        }
    }
    Ok(spec)
}

/// What is measured at once, with constants to start from.
fn draft(request: &Request, device: Device) -> DeviceSpec {
    let side = if request.cuda { 8192 } else { 1024 };
    let rate = |kind: Kind| {
        let flops = 2.0 * (side as f64).powi(3);
        FlopsPerSecond::new(flops / benchmark::product(device, kind, [side; 3]))
    };
    let mut peak = BTreeMap::from([(Precision::Fp32, rate(Kind::Float))]);
    peak.insert(Precision::Bf16Mixed, rate(Kind::BFloat16));
    let bandwidth = BytesPerSecond::new(benchmark::copy_bandwidth(device));
    let memory = memory_of(request.cuda);
    DeviceSpec {
        name: request.name.clone(),
        peak,
        memory,
        memory_bandwidth: bandwidth,
        sm_count: if request.cuda { 132 } else { 1 },
        host_bandwidth: bandwidth,
        power: Watts::new(if request.cuda { 700.0 } else { 10.0 }),
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
            sustained_clock: 1.0,
            memory_efficiency: 0.9,
            l2_bandwidth: BytesPerSecond::new(10.0 * bandwidth.get()),
            kernel_latency: Seconds::new(3e-6),
            matmul_prologue_k: 30.0,
            wave_quantisation: 0.1,
            attention_efficiency: (0.5, 0.4),
            softmax_flops: 100.0,
            attention_prologue_keys: 20.0,
            attention_latency: Seconds::new(1e-5),
            pass_efficiency: BTreeMap::new(),
            provenance: String::new(),
        },
        source: Some(format!(
            "peak and memory bandwidth are what was measured, not a data sheet's; power is an \
             assumption. {}",
            request.provenance
        )),
    }
}

/// Memory of the device: of a core, its share of the machine's.
fn memory_of(cuda: bool) -> Bytes {
    let gib = 1u64 << 30;
    if cuda {
        return Bytes::new(79 * gib);
    }
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
fn models(quick: bool, precision: Precision) -> Vec<(ModelSpec, u64)> {
    let shapes: &[(u64, u64, u64)] = if quick {
        &[(256, 128, 2), (512, 256, 1)]
    } else {
        &[(192, 96, 4), (256, 128, 2), (384, 192, 2), (512, 256, 1), (768, 128, 2), (640, 512, 1)]
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

fn mean_log_error<'a>(rows: impl Iterator<Item = &'a MeasuredKernel>, model: &DeviceModel) -> f64 {
    let (sum, count) = rows.fold((0.0, 0.0), |(sum, count), row| {
        (sum + (row.predicted(model) / row.time).ln().abs(), count + 1.0)
    });
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Fits products first, then attention, then each kind of pass, and says how far off they are.
fn fit_kernels(spec: &mut DeviceSpec, precision: Precision, rows: &[MeasuredKernel]) -> String {
    type With = fn(&mut KernelConstants, &[f64]);
    let is_gemm = |row: &&MeasuredKernel| matches!(row.kernel, Kernel::Gemm { .. });
    let is_attention = |row: &&MeasuredKernel| matches!(row.kernel, Kernel::FlashAttention { .. });
    let descend = |spec: &mut DeviceSpec,
                   chosen: &dyn Fn(&&MeasuredKernel) -> bool,
                   start: &[f64],
                   bounds: &[(f64, f64)],
                   with: With| {
        let (point, _) = coordinate_descent(start, bounds, |point| {
            let mut trial = spec.clone();
            with(&mut trial.kernels, point);
            mean_log_error(rows.iter().filter(chosen), &benchmark_model(&trial, precision))
        });
        with(&mut spec.kernels, &point);
    };
    let bandwidth = spec.memory_bandwidth.get();
    descend(
        spec,
        &is_gemm,
        &[0.9, 10.0 * bandwidth, 3e-6, 30.0, 0.1, 1.0],
        &[
            (0.2, 1.0),
            (bandwidth, 100.0 * bandwidth),
            (5e-7, 5e-5),
            (1.0, 500.0),
            (0.01, 1.0),
            (0.2, 4.0),
        ],
        |constants, point| {
            constants.matmul_efficiency = point[0];
            constants.l2_bandwidth = BytesPerSecond::new(point[1]);
            constants.kernel_latency = Seconds::new(point[2]);
            constants.matmul_prologue_k = point[3];
            constants.wave_quantisation = point[4];
            constants.memory_efficiency = point[5];
        },
    );
    descend(
        spec,
        &is_attention,
        &[0.5, 0.4, 100.0, 20.0, 1e-5],
        &[(0.02, 1.5), (0.02, 1.5), (1.0, 4000.0), (1.0, 1000.0), (1e-6, 5e-4)],
        |constants, point| {
            constants.attention_efficiency = (point[0], point[1]);
            constants.softmax_flops = point[2];
            constants.attention_prologue_keys = point[3];
            constants.attention_latency = Seconds::new(point[4]);
        },
    );
    let mut errors = vec![
        phrase("products", rows.iter().filter(is_gemm), spec, precision),
        phrase("attention", rows.iter().filter(is_attention), spec, precision),
    ];
    for kind in PassKind::ALL {
        let is_kind = |row: &&MeasuredKernel| matches!(row.kernel, Kernel::Memory { pass, .. } if pass == kind);
        if !rows.iter().any(|row| is_kind(&row)) {
            continue;
        }
        let (point, _) = coordinate_descent(&[0.5], &[(0.001, 100.0)], |point| {
            let mut trial = spec.clone();
            trial.kernels.pass_efficiency.insert(kind.name().to_owned(), point[0]);
            mean_log_error(rows.iter().filter(is_kind), &benchmark_model(&trial, precision))
        });
        let rounded = (point[0] * 1e4).round() / 1e4;
        spec.kernels.pass_efficiency.insert(kind.name().to_owned(), rounded.max(1e-4));
        errors.push(phrase(kind.name(), rows.iter().filter(is_kind), spec, precision));
    }
    format!("errors of the fit: {}", errors.join(", "))
}

fn phrase<'a>(
    what: &str,
    rows: impl Iterator<Item = &'a MeasuredKernel>,
    spec: &DeviceSpec,
    precision: Precision,
) -> String {
    let model = benchmark_model(spec, precision);
    match FitError::over(rows.map(|row| (row.predicted(&model), row.time))) {
        Some(error) => format!(
            "{what} median {:.0} %, p90 {:.0} % ({} rows)",
            100.0 * error.median,
            100.0 * error.p90,
            error.count
        ),
        None => format!("{what} not measured"),
    }
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
        steps: if request.quick { 5 } else { 15 },
        patience_s: 60.0,
        fault: None,
    };
    let answers = launch(program, &task)?;
    let rows = answers.into_iter().next().map(|answer| answer.collectives).unwrap_or_default();
    Ok(rows
        .into_iter()
        .map(|(collective, bytes, seconds)| MeasuredCollective {
            device: String::new(),
            collective,
            ranks: 2,
            bytes: Bytes::new(bytes),
            time: Seconds::new(seconds),
        })
        .collect())
}

fn fit_link(spec: &mut DeviceSpec, rows: &[MeasuredCollective]) -> String {
    let cluster = one_node(&spec.name, 2);
    let with = |spec: &DeviceSpec, point: &[f64]| {
        let mut spec = spec.clone();
        if let Some(link) = &mut spec.link {
            link.latency = Seconds::new(point[0]);
            let constants = &mut link.collectives;
            constants.launch = Seconds::new(point[1]);
            constants.bulk_latency = Seconds::new(point[2]);
            constants.efficiency = point[3];
            constants.low_latency_efficiency = point[4];
            constants.own_part_cost = point[5];
        }
        spec
    };
    let pairs = |spec: &DeviceSpec| -> Vec<(Seconds, Seconds)> {
        let model = CollectiveModel::new(&cluster, spec);
        rows.iter().map(|row| (row.predicted(&model), row.time)).collect()
    };
    let bounds = [(1e-6, 1e-3), (1e-6, 1e-3), (1e-6, 5e-3), (0.01, 2.0), (0.005, 2.0), (0.01, 4.0)];
    let start = [5e-5, 5e-5, 1e-4, 0.5, 0.2, 0.4];
    let (point, _) = coordinate_descent(&start, &bounds, |point| {
        let all = pairs(&with(spec, point));
        let count = all.len().max(1) as f64;
        all.iter().map(|(p, m)| (*p / *m).ln().abs()).sum::<f64>() / count
    });
    *spec = with(spec, &point);
    match FitError::over(pairs(spec).into_iter()) {
        Some(error) => format!(
            "collectives of two ranks median {:.0} %, p90 {:.0} % ({} rows)",
            100.0 * error.median,
            100.0 * error.p90,
            error.count
        ),
        None => "collectives not measured".to_owned(),
    }
}
