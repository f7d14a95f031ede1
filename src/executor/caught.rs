//! Panics of tch as errors of the run: where libtorch throws, most of its methods panic.

use super::error::{ExecutorError, Result};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

/// What libtorch said; the stack that follows it is of no use here.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("an unknown error");
    let text = text.split("Torch(\"").last().unwrap_or(text);
    text.split("\\n").next().and_then(|t| t.lines().next()).unwrap_or(text).to_owned()
}

/// Runs something in this process; memory that is not there, or whatever else libtorch throws, is an
/// error.
///
/// # Errors
/// Its own, and what libtorch says.
pub fn caught<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(f));
    set_hook(hook);
    result.unwrap_or_else(|panic| {
        Err(ExecutorError::Rank(format!("libtorch: {}", panic_text(panic.as_ref()))))
    })
}

#[cfg(test)]
mod tests {
    use super::caught;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn memory_that_is_not_there_is_one_line() {
        let asked = caught(|| Ok(Tensor::empty([1 << 50], (Kind::Float, Device::Cpu))));
        let text = asked.map(|_| ()).unwrap_err().to_string();
        assert!(text.starts_with("libtorch: "), "{text}");
        assert!(text.contains("memory") && !text.contains('\n') && text.len() < 400, "{text}");
    }
}
