//! Times of kernels on one device.

use super::attention::{AttentionModel, AttentionShape};
use super::matmul::{MatmulModel, Product};
use super::table::KernelTable;
use crate::graph::{Kernel, PassKind};
use crate::spec::{DeviceSpec, Precision, StackSpec};
use crate::units::{Bytes, Flops, FlopsPerSecond, Seconds, SimTime};

/// What one device needs for each kernel, at one numeric recipe.
///
/// Built once from a data sheet and its calibrated constants; evaluations are pure, allocate
/// nothing, and take some tens of nanoseconds. The host's launch floor is not in them.
///
/// Against 30,080 measured products and 7,200 measured attentions of serving frameworks, with sides
/// of at least 256 and on A100, H100, H200, B200, GB200 and L40S: median error of products at
/// most 7.5 % (L40S 12 %), nine tenths within 21 % (L40S 25 %); median error of attention forward at
/// most 4.5 % on A100, 8 % on Hopper, 11.5 % on Blackwell, 12.5 % on L40S. `tests/it/cost_calibration.rs`
/// asserts these. Measured in short loops; `power_limited_rate` stands between them and training.
#[derive(Debug, Clone)]
pub struct DeviceModel {
    /// Products of 4-, 2- and 1-byte operands.
    matmul: [MatmulModel; 3],
    attention: AttentionModel,
    /// By kind of pass, in the order of [`PassKind::ALL`].
    seconds_per_byte: [f64; PassKind::ALL.len()],
    kernel_latency: f64,
    peak: FlopsPerSecond,
    table: KernelTable,
}

/// Speed of a generation of fused attention against the next: the second does the same in half the
/// time (Dao 2023, figures 4 to 6), the third in half to two thirds of that on the devices that it
/// was written for (Shah et al. 2024, figures 5 and 6).
const ATTENTION_GENERATION: f64 = 0.55;

/// The recipe's own peak, or that of the nearest recipe the device has: FP8 falls back to 16 bits,
/// 16 bits to the other 16 bits, then to 32.
fn peak_of(device: &DeviceSpec, precision: Precision) -> FlopsPerSecond {
    use Precision::{Bf16Mixed, Fp8, Fp16Mixed, Fp32, Tf32};
    let order: &[Precision] = match precision {
        Fp8 => &[Fp8, Bf16Mixed, Fp16Mixed, Fp32],
        Bf16Mixed => &[Bf16Mixed, Fp32],
        Fp16Mixed => &[Fp16Mixed, Bf16Mixed, Fp32],
        Tf32 => &[Tf32, Fp32],
        Fp32 => &[Fp32],
    };
    let known = order.iter().find_map(|precision| device.peak.get(precision));
    known.or(device.peak.values().next()).copied().unwrap_or(FlopsPerSecond::ZERO)
}

impl DeviceModel {
    /// The model of a device at a recipe.
    pub fn new(device: &DeviceSpec, precision: Precision) -> Self {
        let constants = &device.kernels;
        let bandwidth = device.memory_bandwidth.get();
        let wide = if precision == Precision::Fp32 { Precision::Fp32 } else { Precision::Tf32 };
        let half = match precision {
            Precision::Fp16Mixed => Precision::Fp16Mixed,
            _ => Precision::Bf16Mixed,
        };
        let matmul = [(wide, 4.0), (half, 2.0), (Precision::Fp8, 1.0)].map(|(recipe, width)| {
            let peak = peak_of(device, recipe).get();
            MatmulModel::new(peak, bandwidth, device.sm_count, constants, width)
        });
        let attention_peak = match precision {
            Precision::Fp32 | Precision::Tf32 => peak_of(device, precision).get(),
            _ => peak_of(device, half).get(),
        };
        DeviceModel {
            matmul,
            attention: AttentionModel::new(attention_peak, bandwidth, device.sm_count, constants),
            seconds_per_byte: PassKind::ALL.map(|kind| {
                let measured = constants.pass_efficiency.get(kind.name()).copied();
                1.0 / (bandwidth * measured.unwrap_or(constants.memory_efficiency))
            }),
            kernel_latency: constants.kernel_latency.get(),
            peak: peak_of(device, precision),
            table: KernelTable::new(device),
        }
    }

    /// The model of a device as a software stack uses it: its generation of fused attention, and
    /// what its passes over activations reach.
    pub fn with_stack(device: &DeviceSpec, precision: Precision, stack: &StackSpec) -> Self {
        let mut device = device.clone();
        let kernels = &mut device.kernels;
        let behind = kernels.attention_generation.saturating_sub(stack.flash_attention_version);
        let slower = ATTENTION_GENERATION.powi(behind.min(2) as i32);
        let (forward, backward) = kernels.attention_efficiency;
        let slower = slower * stack.library_efficiency;
        kernels.attention_efficiency = (forward * slower, backward * slower);
        kernels.matmul_efficiency *= stack.library_efficiency;
        let mut model = Self::new(&device, precision);
        for (kind, rate) in PassKind::ALL.iter().zip(&mut model.seconds_per_byte) {
            // What only streams reaches what a copy does, and a measured rate is already that of
            // the software's own kernels.
            let streams =
                matches!(kind, PassKind::Optimizer | PassKind::GradientAccumulate | PassKind::Copy);
            if !streams && !device.kernels.pass_efficiency.contains_key(kind.name()) {
                *rate /= stack.pass_efficiency;
            }
        }
        model
    }

    /// Dense peak of the recipe, by the data sheet; what MFU and HFU divide by.
    pub fn peak(&self) -> FlopsPerSecond {
        self.peak
    }

    /// The least time that `flops` can take at the data sheet's peak.
    pub fn peak_time(&self, flops: Flops) -> Seconds {
        flops / self.peak
    }

    /// Time of a kernel, without the host's launch floor.
    pub fn kernel_time(&self, kernel: &Kernel) -> SimTime {
        SimTime::from_seconds(Seconds::new(self.kernel_seconds(kernel)))
    }

    fn kernel_seconds(&self, kernel: &Kernel) -> f64 {
        if let Some(seconds) = self.table.seconds(kernel) {
            return seconds;
        }
        match *kernel {
            Kernel::Gemm { batch, m, n, k, operand_bytes, result_bytes, accumulate, pass: _ } => {
                let width = match operand_bytes {
                    0 | 1 => 2,
                    2 | 3 => 1,
                    _ => 0,
                };
                let product = Product { batch, m, n, k, operand_bytes, result_bytes, accumulate };
                self.matmul[width].seconds(&product)
            }
            Kernel::FlashAttention {
                backward,
                batch,
                heads,
                kv_heads,
                query_length,
                key_length,
                head_dim,
                causal,
                element_bytes,
            } => self.attention.seconds(&AttentionShape {
                backward,
                batch,
                heads,
                kv_heads,
                query_length,
                key_length,
                head_dim,
                causal,
                element_bytes,
            }),
            Kernel::Memory { read, written, launches, pass } => {
                self.pass_seconds(pass, read + written, launches)
            }
        }
    }

    /// Seconds of passes over `bytes` in all: the latency of each launch is also the ramp, since
    /// a pass of that length reaches half of the bandwidth.
    fn pass_seconds(&self, pass: PassKind, bytes: Bytes, launches: u64) -> f64 {
        let seconds_per_byte = self.seconds_per_byte[pass as usize];
        launches as f64 * self.kernel_latency + bytes.as_f64() * seconds_per_byte
    }
}
