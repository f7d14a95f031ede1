//! Matrix products: tiles, waves, split k, memory.

use crate::spec::KernelConstants;

/// Tile shapes (rows, columns) of a result that the libraries' kernels compute on one
/// multiprocessor at a time; the shapes that cuBLAS and CUTLASS build for Ampere to Blackwell
/// (NVIDIA/cutlass, `python/cutlass_library/generator.py`), transposed ones included.
const TILES: [(Side, Side); 10] = [
    (Side::S256, Side::S128),
    (Side::S128, Side::S256),
    (Side::S128, Side::S128),
    (Side::S256, Side::S64),
    (Side::S64, Side::S256),
    (Side::S128, Side::S64),
    (Side::S64, Side::S128),
    (Side::S64, Side::S64),
    (Side::S128, Side::S32),
    (Side::S32, Side::S64),
];

/// Side of a tile, as an index of [`pieces`].
#[derive(Clone, Copy)]
enum Side {
    S32,
    S64,
    S128,
    S256,
}

impl Side {
    const fn elements(self) -> f64 {
        (32u64 << self as u32) as f64
    }
}

/// How many tiles of each side a length takes.
fn pieces(length: u64) -> [f64; 4] {
    [32, 64, 128, 256].map(|side| length.div_ceil(side) as f64)
}

/// The next whole number, for values that are not negative; `f64::ceil` is a call on targets
/// without the instruction.
fn ceil(value: f64) -> f64 {
    let whole = value as u64 as f64;
    if whole < value { whole + 1.0 } else { whole }
}

/// Shallowest part of the k loop that is worth giving to a tile of its own.
const SPLIT_K_DEPTH: f64 = 512.0;

/// Slowdown of products by the alignment of their rows: below 16 bytes vector loads and tensor
/// cores are not used in full, and 128 bytes are what they are used best with (NVIDIA, "Matrix
/// Multiplication Background User's Guide", section 3, "Requirements to Use Tensor Cores").
const MISALIGNED: [(u64, f64); 3] = [(16, 4.0), (32, 1.3), (64, 1.1)];

/// The same of batched products whose rows are misaligned below 16 bytes, as those of attention
/// heads of 108 or 150 elements are: they run without tensor cores, at a sixteenth of their rate
/// with sums in 32 bits (NVIDIA A100 whitepaper, table 3: 312 against 19.5 TFLOP/s).
const WITHOUT_TENSOR_CORES: f64 = 16.0;

/// Time of matrix products on one device at one operand width.
///
/// With P the matrix peak, e the share that is reached, S the multiprocessors, B₂ the bandwidth of
/// the second-level cache: a tile (a, b) takes max(2ab·S/(e·P), (a+b)·w·S/B₂) a step of k, for
/// k + k₀ steps; tiles run in waves of S, a last wave partly filled costs `wave_quantisation` of
/// what it leaves idle. The best tile counts. The product takes no less than its bytes over the
/// memory bandwidth; near the balance of the two they add as (x⁴ + y⁴)^¼.
/// Above the power limit's rate the clock falls by the cube root. Ignored: re-reading of operands
/// that fall out of the cache.
#[derive(Debug, Clone)]
pub(crate) struct MatmulModel {
    /// Seconds of one step of k, tile by tile.
    step: [f64; TILES.len()],
    /// Multiprocessors, inverted.
    wave_per_tile: f64,
    prologue_k: f64,
    wave_quantisation: f64,
    seconds_per_byte: f64,
    l2_seconds_per_byte: f64,
    latency: f64,
    /// Seconds of an operation at which the power limit is met at full clock.
    limited_seconds_per_flop: f64,
}

/// The local shape of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product {
    pub(crate) batch: u64,
    pub(crate) m: u64,
    pub(crate) n: u64,
    pub(crate) k: u64,
    pub(crate) operand_bytes: u64,
    pub(crate) result_bytes: u64,
    pub(crate) accumulate: bool,
}

/// Slowdown of a product with rows of `bytes`, one of a batch or alone.
fn misalignment(bytes: u64, batched: bool) -> f64 {
    if batched && !bytes.is_multiple_of(16) {
        return WITHOUT_TENSOR_CORES;
    }
    let slower = MISALIGNED.iter().find(|(alignment, _)| !bytes.is_multiple_of(*alignment));
    slower.map_or(1.0, |(_, factor)| *factor)
}

impl MatmulModel {
    /// A model from a matrix peak in operations per second, the memory bandwidth in bytes per
    /// second, and the device's constants.
    pub(crate) fn new(
        peak: f64,
        memory_bandwidth: f64,
        sm_count: u64,
        constants: &KernelConstants,
        operand_bytes: f64,
    ) -> Self {
        let sms = sm_count.max(1) as f64;
        let rate = peak * constants.matmul_efficiency / sms;
        let feed = constants.l2_bandwidth.get() / sms;
        let step = TILES.map(|(a, b)| {
            let (a, b) = (a.elements(), b.elements());
            (2.0 * a * b / rate).max((a + b) * operand_bytes / feed)
        });
        MatmulModel {
            step,
            wave_per_tile: 1.0 / sms,
            prologue_k: constants.matmul_prologue_k,
            wave_quantisation: constants.wave_quantisation,
            seconds_per_byte: 1.0 / (memory_bandwidth * constants.memory_efficiency),
            l2_seconds_per_byte: 1.0 / constants.l2_bandwidth.get(),
            latency: constants.kernel_latency.get(),
            limited_seconds_per_flop: 1.0 / (peak * constants.power_limited_rate),
        }
    }

    /// Seconds of a product.
    pub(crate) fn seconds(&self, product: &Product) -> f64 {
        let Product { batch, m, n, k, operand_bytes, result_bytes, accumulate } = *product;
        if batch == 0 || m == 0 || n == 0 {
            return 0.0;
        }
        let (bf, mf, nf, kf) = (batch as f64, m as f64, n as f64, k as f64);
        let results = bf * mf * nf;
        let mut arithmetic = f64::INFINITY;
        let (rows, columns) = (pieces(m), pieces(n));
        let per_tile = self.wave_per_tile * bf;
        let depth = kf + self.prologue_k;
        for (&(a, b), &step) in TILES.iter().zip(&self.step) {
            let waves = rows[a as usize] * columns[b as usize] * per_tile;
            let time = if waves <= 0.5 && kf >= 2.0 * SPLIT_K_DEPTH {
                let split = ((1.0 / waves) as u64 as f64).min(kf / SPLIT_K_DEPTH);
                // Partial sums in 32 bits are written and read once through the cache.
                (kf / split + self.prologue_k) * step
                    + split * results * 8.0 * self.l2_seconds_per_byte
            } else {
                let full = ceil(waves);
                let waves = full - (full - waves) * (1.0 - self.wave_quantisation);
                waves.max(1.0) * depth * step
            };
            arithmetic = arithmetic.min(time);
        }
        let limited = 2.0 * results * kf * self.limited_seconds_per_flop;
        if arithmetic < limited {
            arithmetic *= (limited / arithmetic).cbrt();
        }
        let slower = |row: u64| misalignment(row.wrapping_mul(operand_bytes), batch > 1);
        arithmetic *= slower(n).max(slower(k));
        let operands = bf * (mf * kf + nf * kf) * operand_bytes as f64;
        let passes = if accumulate { 2.0 } else { 1.0 };
        let bytes = operands + results * result_bytes as f64 * passes;
        let memory = bytes * self.seconds_per_byte;
        let (x, y) = (arithmetic * arithmetic, memory * memory);
        self.latency + (x * x + y * y).sqrt().sqrt()
    }
}
