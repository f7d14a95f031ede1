//! Products and attention by themselves.

use super::timing::{Extent, seconds_of, told};
use crate::cost::fit::MeasuredKernel;
use crate::executor::error::Result;
use crate::graph::{GemmPass, Kernel};
use crate::spec::MeasuredRow;
use crate::units::{Bytes, Seconds};
use tch::{Device, Kind, Tensor};

/// A type of elements, and how it is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Bf16,
    Fp16,
    Fp32,
    Tf32,
    Fp8,
}

pub(super) const TYPES: [Element; 5] =
    [Element::Bf16, Element::Fp16, Element::Fp32, Element::Tf32, Element::Fp8];

impl Element {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Element::Bf16 => "bf16",
            Element::Fp16 => "fp16",
            Element::Fp32 => "fp32",
            Element::Tf32 => "tf32",
            Element::Fp8 => "fp8",
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Element::Bf16 | Element::Fp8 => Kind::BFloat16,
            Element::Fp16 => Kind::Half,
            Element::Fp32 | Element::Tf32 => Kind::Float,
        }
    }
}

/// Seconds of a product \[m, k\] x \[k, n\] of random numbers: zeros take less power, and are quicker.
fn product(device: Device, element: Element, [m, n, k]: [i64; 3]) -> Result<f64> {
    let options = (element.kind(), device);
    let a = told(Tensor::f_randn([m, k], options))?;
    if element != Element::Fp8 {
        let b = told(Tensor::f_randn([k, n], options))?;
        return seconds_of(device, &mut || told(a.f_matmul(&b)).map(drop));
    }
    // Columns of the second factor lie one after the other, as the matrix units want it.
    let a = told(a.f_to_kind(Kind::Float8e4m3fn))?;
    let b = told(told(Tensor::f_randn([n, k], options))?.f_to_kind(Kind::Float8e4m3fn))?.tr();
    let one = told(Tensor::f_ones([] as [i64; 0], (Kind::Float, device)))?;
    let none = || None::<&Tensor>;
    seconds_of(device, &mut || {
        let result = a.f_internal_scaled_mm(&b, &one, &one, none(), none(), Kind::BFloat16, true);
        told(result).map(drop)
    })
}

/// Products of one type of elements, by m, n and k.
pub(super) fn products_of(
    device: Device,
    extent: Extent,
    element: Element,
) -> Result<Vec<MeasuredRow>> {
    let shapes: &[[i64; 3]] = match extent {
        Extent::Tiny => &[[64, 64, 64]],
        Extent::Quick => &[[2048, 2048, 2048], [8192, 8192, 8192]],
        Extent::Full => &[
            [1024, 1024, 1024],
            [2048, 2048, 2048],
            [4096, 4096, 4096],
            [8192, 8192, 8192],
            [8192, 1024, 4096],
            [2048, 16384, 4096],
            [4096, 4096, 16384],
        ],
    };
    let tf32 = element == Element::Tf32;
    lmplan_c10d::allow_tf32(tf32)?;
    let row = |shape: &[i64; 3]| {
        let time = Seconds::new(product(device, element, *shape)?);
        Ok(MeasuredRow { sizes: shape.map(|side| side as u64), time })
    };
    let rows = shapes.iter().map(row).collect();
    lmplan_c10d::allow_tf32(false)?;
    rows
}

/// Products of 16-bit elements over all combinations of sides.
pub(super) fn products(
    device: Device,
    extent: Extent,
    all: &mut Vec<MeasuredKernel>,
) -> Result<()> {
    let sides: &[i64] = match extent {
        Extent::Tiny => &[64],
        Extent::Quick => &[512, 2048, 8192],
        Extent::Full => &[256, 1024, 2048, 4096, 12288],
    };
    for &m in sides {
        for &n in sides {
            for &k in sides {
                let time = product(device, Element::Bf16, [m, n, k])?;
                let [m, n, k] = [m, n, k].map(|side| side as u64);
                let kernel = Kernel::Gemm {
                    batch: 1,
                    m,
                    n,
                    k,
                    operand_bytes: 2,
                    result_bytes: 2,
                    accumulate: false,
                    pass: GemmPass::Forward,
                };
                all.push(measured(kernel, time));
            }
        }
    }
    Ok(())
}

fn measured(kernel: Kernel, seconds: f64) -> MeasuredKernel {
    let time = Seconds::new(seconds);
    MeasuredKernel { device: String::new(), kernel, beside: Bytes::ZERO, time }
}

/// Fused attention forward and backward, by width of a head and rows: as many tokens in each.
pub(super) fn attention(
    device: Device,
    extent: Extent,
    all: &mut Vec<MeasuredKernel>,
) -> Result<()> {
    let (tokens, hidden, lengths): (i64, i64, &[i64]) = match extent {
        Extent::Tiny => (64, 128, &[64]),
        Extent::Quick => (16_384, 2048, &[1024, 4096]),
        Extent::Full => (16_384, 2048, &[512, 1024, 2048, 4096, 8192, 16_384]),
    };
    for width in [64, 128] {
        for &rows in lengths {
            for causal in [false, true] {
                let shape = [tokens / rows, hidden / width, rows, width];
                let times = attention_of(device, shape, causal)?;
                let [batch, heads, rows, head_dim] = shape.map(|side| side as u64);
                for (backward, seconds) in [false, true].into_iter().zip(times) {
                    let kernel = Kernel::FlashAttention {
                        backward,
                        batch,
                        heads,
                        kv_heads: heads,
                        query_length: rows,
                        key_length: rows,
                        head_dim,
                        causal,
                        element_bytes: 2,
                    };
                    all.push(measured(kernel, seconds));
                }
            }
        }
    }
    Ok(())
}

/// Seconds forward and backward, of \[sequences, heads, rows, width\].
fn attention_of(device: Device, shape: [i64; 4], causal: bool) -> Result<[f64; 2]> {
    let random = || told(Tensor::f_randn(shape, (Kind::BFloat16, device)));
    let (query, key, value, gradient) = (random()?, random()?, random()?, random()?);
    let parts = [&query, &key, &value];
    let forward = seconds_of(device, &mut || {
        lmplan_c10d::attention(parts, None, 0.0, causal)?;
        Ok(())
    })?;
    let kept = lmplan_c10d::attention(parts, None, 0.0, causal)?;
    let backward = seconds_of(device, &mut || {
        drop(lmplan_c10d::attention_backward(&gradient, parts, None, &kept, 0.0, causal)?);
        Ok(())
    })?;
    Ok([forward, backward])
}
