//! ATen operators that tch leaves out, because some of their results may be undefined.

use crate::{Error, ffi};
use std::ffi::c_void;
use std::ptr::null_mut;
use tch::Tensor;

/// What fused attention leaves for its backward pass.
#[derive(Debug)]
pub struct Attended {
    /// The output \[sequences, heads, rows, width\].
    pub output: Tensor,
    /// Logarithms of the softmax's denominators.
    pub denominators: Tensor,
    /// State of the random numbers of its dropout, where the device has one.
    pub random: [Option<Tensor>; 2],
}

fn raw(tensor: &Tensor) -> *mut c_void {
    tensor.as_ptr().cast_mut().cast::<c_void>()
}

fn raw_or_null(tensor: Option<&Tensor>) -> *mut c_void {
    tensor.map_or(null_mut(), raw)
}

/// A tensor that the shim has made, which owns it from here on.
fn owned(pointer: *mut c_void) -> Option<Tensor> {
    // SAFETY: the shim has just made this `at::Tensor` with `new` and handed it over.
    (!pointer.is_null()).then(|| unsafe { Tensor::from_ptr(pointer.cast()) })
}

fn present(pointer: *mut c_void) -> Result<Tensor, Error> {
    owned(pointer).ok_or_else(|| Error::new("libtorch gave no result"))
}

/// Gradients of a layer norm over the last dimension: input, scale and, where there is one, shift.
///
/// # Errors
/// Shapes that do not match.
pub fn layer_norm_backward(
    gradient: &Tensor,
    input: &Tensor,
    statistics: [&Tensor; 2],
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<(Tensor, Tensor, Option<Tensor>), Error> {
    let mut results = [null_mut(); 3];
    let [mean, rstd] = statistics.map(raw);
    // SAFETY: all tensors are alive during the call, and there is room for three results.
    let code = unsafe {
        ffi::lmplan_layer_norm_backward(
            raw(gradient),
            raw(input),
            mean,
            rstd,
            raw(weight),
            raw_or_null(bias),
            results.as_mut_ptr(),
        )
    };
    Error::check(code)?;
    Ok((present(results[0])?, present(results[1])?, owned(results[2])))
}

/// Fused attention of query, key and value \[sequences, heads, rows, width\], as many heads each.
/// `bias`, added to the scores, is of the shape \[sequences, heads, rows, rows\]; it may be expanded.
///
/// # Errors
/// Shapes or types that the device has no kernel for.
pub fn attention(
    [query, key, value]: [&Tensor; 3],
    bias: Option<&Tensor>,
    dropout: f64,
    causal: bool,
) -> Result<Attended, Error> {
    let mut results = [null_mut(); 4];
    // SAFETY: all tensors are alive during the call, and there is room for four results.
    let code = unsafe {
        ffi::lmplan_attention(
            raw(query),
            raw(key),
            raw(value),
            raw_or_null(bias),
            dropout,
            i32::from(causal),
            results.as_mut_ptr(),
        )
    };
    Error::check(code)?;
    let [output, denominators, seed, offset] = results;
    Ok(Attended {
        output: present(output)?,
        denominators: present(denominators)?,
        random: [owned(seed), owned(offset)],
    })
}

/// Gradients of query, key and value.
///
/// # Errors
/// As [`attention`].
pub fn attention_backward(
    gradient: &Tensor,
    [query, key, value]: [&Tensor; 3],
    bias: Option<&Tensor>,
    attended: &Attended,
    dropout: f64,
    causal: bool,
) -> Result<[Tensor; 3], Error> {
    let mut results = [null_mut(); 3];
    let [seed, offset] = attended.random.each_ref().map(|tensor| raw_or_null(tensor.as_ref()));
    // SAFETY: all tensors are alive during the call, and there is room for three results.
    let code = unsafe {
        ffi::lmplan_attention_backward(
            raw(gradient),
            raw(query),
            raw(key),
            raw(value),
            raw_or_null(bias),
            raw(&attended.output),
            raw(&attended.denominators),
            seed,
            offset,
            dropout,
            i32::from(causal),
            results.as_mut_ptr(),
        )
    };
    Error::check(code)?;
    let [dq, dk, dv] = results;
    Ok([present(dq)?, present(dk)?, present(dv)?])
}

/// Constants of Adam (Kingma and Ba 2015), with decoupled weight decay (Loshchilov and Hutter
/// 2019).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the first and of the second moment.
    pub betas: (f64, f64),
    /// Decay of the weights.
    pub decay: f64,
    /// Added to the denominator.
    pub epsilon: f64,
}

/// One step of Adam in one pass, in place; `step` counts from 1. Gradients are divided by `scale`.
///
/// # Errors
/// Shapes or types that do not match.
pub fn adam(
    parameters: &Tensor,
    gradients: &Tensor,
    moments: &[Tensor; 2],
    step: u64,
    scale: f64,
    constants: &Adam,
) -> Result<(), Error> {
    let [first, second] = moments.each_ref().map(raw);
    // SAFETY: all tensors are alive during the call, which writes their elements only.
    Error::check(unsafe {
        ffi::lmplan_adam(
            raw(parameters),
            raw(gradients),
            first,
            second,
            step as f64,
            constants.rate,
            constants.betas.0,
            constants.betas.1,
            constants.decay,
            constants.epsilon,
            scale,
        )
    })
}

/// The first stage of LAMB (You et al. 2020, algorithm 2): moments updated in place, and the update
/// of each element before it is scaled, \[elements\], in 32 bits. `step` counts from 1; gradients
/// are divided by `scale`.
///
/// # Errors
/// Shapes or types that do not match.
pub fn lamb_update(
    gradients: &Tensor,
    moments: &[Tensor; 2],
    step: u64,
    scale: f64,
    betas: (f64, f64),
    epsilon: f64,
) -> Result<Tensor, Error> {
    let [first, second] = moments.each_ref().map(raw);
    let update = moments[0].empty_like();
    // SAFETY: all tensors are alive during the call, which writes elements of three of them only.
    Error::check(unsafe {
        ffi::lmplan_lamb_update(
            raw(gradients),
            first,
            second,
            raw(&update),
            step as f64,
            betas.0,
            betas.1,
            epsilon,
            scale,
        )
    })?;
    Ok(update)
}
