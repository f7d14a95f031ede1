//! A device file from measurements.

pub mod benchmark;
pub(super) mod collectives;
mod fitting;
pub mod kernels;
mod probes;
mod request;

use crate::cost::KernelTable;
use crate::cost::fit::MeasuredKernel;
use crate::executor::error::Result;
use crate::executor::gpu::{self, Extent};
use crate::graph::Kernel;
use crate::spec::machine::LIBTORCH;
use crate::spec::{
    Calibration, CollectiveConstants, Contention, DeviceSpec, KernelConstants, LinkSpec,
    MeasuredRow, MeasuredTable, Observed, Pace, Precision,
};
use crate::units::statistics::median;
use crate::units::{Bytes, BytesPerSecond, FlopsPerSecond, Seconds, Watts};
use fitting::{fit_kernels, fit_link};
pub use request::Request;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use tch::{Device, Kind};

/// What was known of this machine, or was measured now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibrated {
    /// Where it is kept; none where it could not be.
    pub device_file: Option<String>,
    /// In this run.
    pub now: bool,
    /// On what, and when.
    #[serde(flatten)]
    pub calibration: Calibration,
}

/// Ranks at most that are busy at once while kernels are measured.
const MOST_RANKS: u64 = 8;

/// Measures a device. `program` is this program, which is started again for ranks; `say` is told
/// what is being measured.
///
/// # Errors
/// What libtorch or a rank reports.
pub fn calibrate(program: &Path, request: &Request, say: &dyn Fn(&str)) -> Result<DeviceSpec> {
    let began = Instant::now();
    let date = jiff::Timestamp::now();
    let device = if request.cuda { Device::Cuda(0) } else { Device::Cpu };
    lmplan_c10d::warm_up(device)?;
    tch::set_num_threads(1);
    lmplan_c10d::keep_host_memory();
    let _no_tape = tch::no_grad_guard();
    say("memory bandwidth and peak");
    let mut spec = draft(request, device)?;
    let precision = if request.cuda { Precision::Bf16Mixed } else { Precision::Fp32 };
    let ranks = if request.cuda { 1 } else { request.machine.cores.clamp(1, MOST_RANKS) };
    say(&match ranks {
        1 => "kernels of one rank".to_owned(),
        _ => format!("kernels of one rank alone and of {ranks} at once"),
    });
    let measured = kernels::measure(program, request, ranks)?;
    let interruptions = measured.interruptions;
    // A step has all the interruptions that the usual time of a kernel leaves out:
    // they are many kernels' together, and go to each by its time.
    let scaled = |mut kernels: Vec<MeasuredKernel>| {
        kernels.iter_mut().for_each(|kernel| kernel.time = kernel.time * interruptions);
        kernels
    };
    let (mut alone, busy) = (scaled(measured.alone), scaled(measured.busy));
    if request.cuda {
        alone.extend(of_gpu(&mut spec, device, request, say));
    }
    say("fitting kernels");
    let errors = fit_kernels(&mut spec, precision, &alone);
    let mut table = table(&alone, &busy, measured.shared, measured.pace, ranks);
    let mut of_link = None;
    if !request.cuda {
        say("collectives and messages between two ranks");
        let between = collectives::measure(program, request)?;
        of_link = Some(fit_link(&mut spec, &between.collectives));
        table.collectives = collectives::table(&between, collectives::repetitions(request));
    }
    spec.measured = Some(table);
    let calibration = Calibration {
        processor: request.machine.processor.clone(),
        cores: request.machine.cores,
        driver: request.machine.driver.clone(),
        libtorch: LIBTORCH.to_owned(),
        date: format!("{date:.0}"),
        quick: request.quick,
        duration: Seconds::new(began.elapsed().as_secs_f64()),
    };
    let kernels =
        format!("kernels with {:.1} % of interruptions; {errors}", 100.0 * (interruptions - 1.0));
    sign(&mut spec, calibration, &kernels, of_link.as_deref());
    Ok(spec)
}

/// Writes into a device file what it was measured on and how far off its constants are.
fn sign(spec: &mut DeviceSpec, calibration: Calibration, kernels: &str, link: Option<&str>) {
    let provenance = calibration.summary();
    spec.kernels.provenance = format!("{provenance}; {kernels}");
    if let (Some(own), Some(errors)) = (&mut spec.link, link) {
        own.collectives.provenance = format!("{provenance}; {errors}");
    }
    spec.source = Some(format!(
        "Peak and memory bandwidth are what was measured, not a data sheet's; power is an \
         assumption. {provenance}."
    ));
    spec.calibration = Some(calibration);
}

/// Kernels of one rank alone and of all at once, with how fast the machine was meanwhile.
fn table(
    alone: &[MeasuredKernel],
    busy: &[MeasuredKernel],
    shared: Option<[f64; 2]>,
    pace: [Option<Pace>; 2],
    ranks: u64,
) -> MeasuredTable {
    let [pace_alone, pace_shared] = pace;
    let contention = shared.map(|[memory_bandwidth, matmul_rate]| Contention {
        ranks,
        memory_bandwidth: BytesPerSecond::new(memory_bandwidth),
        matmul_rate,
        pace: pace_shared,
        kernels: rows(busy),
    });
    let bytes = |measured: &MeasuredKernel| match measured.kernel {
        Kernel::Gemm { operand_bytes, .. } => Some(operand_bytes),
        _ => None,
    };
    MeasuredTable {
        element_bytes: alone.iter().find_map(bytes).unwrap_or(4),
        kernels: rows(alone),
        collectives: BTreeMap::new(),
        pace: pace_alone,
        contention,
    }
}

/// What a GPU is measured for by itself: products and attention of 16-bit elements; what is seen
/// beside them goes into the file.
fn of_gpu(
    spec: &mut DeviceSpec,
    device: Device,
    request: &Request,
    say: &dyn Fn(&str),
) -> Vec<MeasuredKernel> {
    let extent = if request.quick { Extent::Quick } else { Extent::Full };
    let (kernels, missing) = gpu::kernels(device, extent, say);
    let seen = gpu::observe(device, extent, say);
    let not_measured = [missing, seen.not_measured.clone()].concat();
    spec.peak.extend(gpu::peaks(&seen));
    spec.observed = Some(Observed { not_measured, ..seen });
    kernels
}

/// What is measured at once, with constants to start from.
fn draft(request: &Request, device: Device) -> Result<DeviceSpec> {
    let sides: &[i64] = if request.cuda { &[8192] } else { &[256, 512, 1024] };
    let rate = |kind: Kind| FlopsPerSecond::new(benchmark::peak(device, kind, sides));
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
        calibration: None,
        source: None,
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

/// Measured kernels as rows of a table; of several times of one kernel the middle one.
fn rows(kernels: &[MeasuredKernel]) -> BTreeMap<String, Vec<MeasuredRow>> {
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
    kernels
}
