//! What a GPU is measured for beside what every device is: products of all types of elements, fused
//! attention by itself, launches, copies from and to the host, and what it does under load.
//!
//! All of it runs on the host as well, where sizes are small, so that tests see it.

mod host;
mod kernels;
mod load;
mod timing;

use super::error::Result;
use crate::cost::fit::MeasuredKernel;
use crate::spec::{MeasuredRow, Observed, Precision};
use crate::units::FlopsPerSecond;
use std::collections::BTreeMap;
use tch::Device;

pub use load::power_limit;
pub use timing::Extent;

/// Models for the layers of a GPU: hidden size, rows, micro-batch.
pub const LAYERS: [(u64, u64, u64); 8] = [
    (768, 1024, 8),
    (1024, 512, 16),
    (1024, 1024, 8),
    (1600, 1024, 4),
    (2048, 2048, 4),
    (4096, 2048, 2),
    (5120, 4096, 1),
    (8192, 2048, 1),
];

/// Products and attention of 16-bit elements, and what could not be measured of them.
pub fn kernels(
    device: Device,
    extent: Extent,
    say: &dyn Fn(&str),
) -> (Vec<MeasuredKernel>, Vec<String>) {
    let (mut all, mut missing) = (Vec::new(), Vec::new());
    say("matrix products of 16 bits");
    note(&mut missing, "products", kernels::products(device, extent, &mut all));
    say("fused attention");
    note(&mut missing, "attention", kernels::attention(device, extent, &mut all));
    (all, missing)
}

/// What is seen of a device beside its kernels. What fails is left out, and said.
pub fn observe(device: Device, extent: Extent, say: &dyn Fn(&str)) -> Observed {
    let mut seen = Observed::default();
    let mut missing = Vec::new();
    say("matrix products by type of element");
    for kind in kernels::TYPES {
        let found = kernels::products_of(device, extent, kind);
        if let Some(rows) = note(&mut missing, kind.name(), found) {
            seen.products.insert(kind.name().to_owned(), rows);
        }
    }
    say("launches and copies");
    (seen.launch, seen.round_trip) =
        note(&mut missing, "launches", host::launches(device)).unwrap_or_default();
    seen.graph_launch = note(&mut missing, "launches from a graph", host::graph(device));
    seen.transfers =
        note(&mut missing, "copies", host::transfers(device, extent)).unwrap_or_default();
    seen.nccl = note(&mut missing, "NCCL", host::nccl(device));
    say("products without a pause");
    seen.load = note(&mut missing, "load", load::load(device, extent, &mut seen.not_measured));
    seen.not_measured.extend(missing);
    seen
}

/// Best rates of the products of each type of elements beside those that are measured anyway.
pub fn peaks(seen: &Observed) -> BTreeMap<Precision, FlopsPerSecond> {
    let types =
        [("fp16", Precision::Fp16Mixed), ("tf32", Precision::Tf32), ("fp8", Precision::Fp8)];
    let best = |name: &str| {
        let rate = |row: &MeasuredRow| {
            let [m, n, k] = row.sizes.map(|side| side as f64);
            2.0 * m * n * k / row.time.get()
        };
        seen.products.get(name)?.iter().map(rate).reduce(f64::max)
    };
    let rates = types.into_iter().filter_map(|(name, precision)| Some((precision, best(name)?)));
    rates.map(|(precision, rate)| (precision, FlopsPerSecond::new(rate))).collect()
}

/// What a GPU's allocator holds, for readers: tensors are compared with their prediction, this is not.
///
/// # Errors
/// A GPU that can not be used.
pub fn allocator(device: Device) -> Result<String> {
    let memory = lmplan_c10d::memory(device)?;
    Ok(reserved(memory.reserved, memory.libraries))
}

/// As [`allocator`], of what a rank has told.
pub fn reserved(bytes: u64, libraries: u64) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1u32 << 20);
    format!(
        "the allocator held {:.0} MiB of the GPU at most, {:.0} MiB of it workspaces of libraries; \
         what is compared is what tensors took",
        mib(bytes),
        mib(libraries)
    )
}

/// What was found, or a note why not.
fn note<T>(missing: &mut Vec<String>, what: &str, found: Result<T>) -> Option<T> {
    found.map_err(|why| missing.push(format!("{what}: {why}"))).ok()
}
