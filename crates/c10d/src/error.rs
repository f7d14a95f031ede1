//! Errors of libtorch.

use crate::ffi;
use std::ffi::CStr;
use std::fmt;

/// An error of libtorch, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// The last error of this thread.
    pub(crate) fn last() -> Error {
        // SAFETY: the shim returns a string that ends in a zero and lives until the next call on
        // this thread; it is copied here.
        let text = unsafe { CStr::from_ptr(ffi::lmplan_error()) };
        // What follows the first line is where in libtorch it arose.
        Error(text.to_string_lossy().lines().next().unwrap_or("unknown error").to_owned())
    }

    /// An error of our own.
    pub(crate) fn new(text: impl Into<String>) -> Error {
        Error(text.into())
    }

    /// `Ok` for zero, the last error for anything else.
    pub(crate) fn check(code: std::ffi::c_int) -> Result<(), Error> {
        if code == 0 { Ok(()) } else { Err(Error::last()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Error {
        let text = match error {
            tch::TchError::Torch(text) => text,
            other => other.to_string(),
        };
        // As in `last`.
        Error(text.lines().next().unwrap_or_default().to_owned())
    }
}
