//! Errors of libtorch.

use crate::ffi;
use std::ffi::CStr;
use std::fmt;

/// An error of libtorch, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    text: String,
    /// Whether it arose among several processes.
    of_group: bool,
}

impl Error {
    /// The last error of this thread.
    pub(crate) fn last() -> Error {
        // SAFETY: the shim returns a string that ends in a zero and lives until the next call on
        // this thread; it is copied here.
        let text = unsafe { CStr::from_ptr(ffi::lmplan_error()) };
        // What follows the first line is where in libtorch it arose.
        Error::new(text.to_string_lossy().lines().next().unwrap_or("unknown error"))
    }

    /// The last error of this thread, of a store or a group.
    pub(crate) fn last_of_group() -> Error {
        Error { of_group: true, ..Error::last() }
    }

    /// An error of our own.
    pub(crate) fn new(text: impl Into<String>) -> Error {
        Error { text: text.into(), of_group: false }
    }

    /// `Ok` for zero, the last error for anything else.
    pub(crate) fn check(code: std::ffi::c_int) -> Result<(), Error> {
        if code == 0 { Ok(()) } else { Err(Error::last()) }
    }

    /// The same of a store or a group.
    pub(crate) fn check_group(code: std::ffi::c_int) -> Result<(), Error> {
        if code == 0 { Ok(()) } else { Err(Error::last_of_group()) }
    }

    /// Whether it arose where processes talk: another of them may be its cause.
    pub const fn is_of_group(&self) -> bool {
        self.of_group
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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
        Error::new(text.lines().next().unwrap_or_default())
    }
}
