//! The constants of a device that come nearest to what was measured on it.

use crate::cost::fit::{
    FitError, MeasuredCollective, MeasuredKernel, benchmark_model, coordinate_descent, one_node,
};
use crate::cost::{CollectiveModel, DeviceModel};
use crate::graph::{Kernel, PassKind};
use crate::spec::{DeviceSpec, KernelConstants, Precision};
use crate::units::{BytesPerSecond, Seconds};

fn mean_log_error<'a>(rows: impl Iterator<Item = &'a MeasuredKernel>, model: &DeviceModel) -> f64 {
    let (sum, count) = rows.fold((0.0, 0.0), |(sum, count), row| {
        (sum + (row.predicted(model) / row.time).ln().abs(), count + 1.0)
    });
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Fits products first, then attention, then each kind of pass, and says how far off they are.
pub(super) fn fit_kernels(
    spec: &mut DeviceSpec,
    precision: Precision,
    rows: &[MeasuredKernel],
) -> String {
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
            (0.2, 1.0),
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
        &[(0.02, 1.0), (0.02, 1.0), (1.0, 4000.0), (1.0, 1000.0), (1e-6, 5e-4)],
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
    errors.extend(fit_passes(spec, precision, rows));
    format!("errors of the fit: {}", errors.join(", "))
}

/// Fits the bandwidth of each kind of pass by itself; their errors.
fn fit_passes(spec: &mut DeviceSpec, precision: Precision, rows: &[MeasuredKernel]) -> Vec<String> {
    let mut errors = Vec::new();
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
    errors
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

/// Fits the link on collectives of two ranks, and says how far off it is.
pub(super) fn fit_link(spec: &mut DeviceSpec, rows: &[MeasuredCollective]) -> String {
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
    let bounds = [(1e-6, 1e-3), (1e-6, 1e-3), (1e-6, 5e-3), (0.01, 1.0), (0.005, 1.0), (0.01, 4.0)];
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
