//! Devices.

use super::Findings;
use crate::spec::DeviceSpec;
use crate::spec::catalog::Kind;
use crate::spec::diagnostic::Finding;
use crate::spec::load::Document;

impl Document for DeviceSpec {
    const KIND: Kind = Kind::Device;

    fn findings(&self) -> Vec<Finding> {
        const SIZE: &str = "device::size";
        let mut found = Findings::default();
        found.name("device::name", &self.name);
        if self.peak.is_empty() {
            let help = "add at least one, such as `bf16-mixed: 312 TFLOP/s`";
            found.add(Finding::new("device::peak", "peak", "`peak` names no precision").help(help));
        }
        for (precision, peak) in &self.peak {
            let path = format!("peak/{}", precision.name());
            found.positive(SIZE, path, peak.get(), 1e18, &peak.to_string());
        }
        let memory = self.memory;
        found.positive(SIZE, "memory", memory.as_f64(), 1e15, &memory.to_string());
        let bandwidth = self.memory_bandwidth;
        found.positive(SIZE, "memory_bandwidth", bandwidth.get(), 1e15, &bandwidth.to_string());
        found.count(SIZE, "sm_count", self.sm_count, 1, 1_000_000);
        found.positive(SIZE, "power", self.power.get(), 1e6, &self.power.to_string());
        if let Some(link) = &self.link {
            let (bandwidth, latency) = (link.bandwidth, link.latency);
            found.positive(SIZE, "link/bandwidth", bandwidth.get(), 1e15, &bandwidth.to_string());
            found.positive(SIZE, "link/latency", latency.get(), 1.0, &latency.to_string());
        }
        let kernels = &self.kernels;
        let depth = kernels.matmul_prologue_k;
        if !(0.0..=1e6).contains(&depth) {
            let message = format!("`matmul_prologue_k` is {depth}, not between 0 and 1 000 000");
            found.add(Finding::new(SIZE, "kernels/matmul_prologue_k", message));
        }
        for (pass, share) in &kernels.pass_efficiency {
            if !(*share > 0.0 && *share < 1e3) {
                let message = format!("`pass_efficiency` of `{pass}` is {share}");
                let path = format!("kernels/pass_efficiency/{pass}");
                found.add(Finding::new(SIZE, path, message));
            }
        }
        let shared = self.measured.as_ref().and_then(|table| table.contention.as_ref());
        let paces = [
            ("measured/pace", self.measured.as_ref().and_then(|table| table.pace)),
            ("measured/contention/pace", shared.and_then(|shared| shared.pace)),
        ];
        for (path, pace) in paces.into_iter().filter_map(|(path, pace)| Some((path, pace?))) {
            for (what, time) in [("product", pace.product), ("copy", pace.copy)] {
                found.positive(SIZE, format!("{path}/{what}"), time.get(), 1e3, &time.to_string());
            }
        }
        if let Some(shared) = shared {
            let path = "measured/contention";
            found.count(SIZE, format!("{path}/ranks"), shared.ranks, 2, 1_000_000);
            let bandwidth = shared.memory_bandwidth;
            let at = format!("{path}/memory_bandwidth");
            found.positive(SIZE, at, bandwidth.get(), 1e15, &bandwidth.to_string());
            if !(shared.matmul_rate > 0.0 && shared.matmul_rate <= 1.0) {
                let rate = shared.matmul_rate;
                let message = format!("`matmul_rate` is {rate}, not above 0 and at most 1");
                found.add(Finding::new(SIZE, format!("{path}/matmul_rate"), message));
            }
        }
        let latency = kernels.kernel_latency;
        if latency.get() > 1.0 {
            let message = format!("`kernel_latency` is {latency}, more than a second");
            let finding = Finding::new(SIZE, "kernels/kernel_latency", message);
            found.add(finding.help("is it a slip of the unit?"));
        }
        found.into_vec()
    }
}
