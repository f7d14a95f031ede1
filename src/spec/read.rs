//! Files as text.

use super::diagnostic::{Diagnostic, Mark, Source, SpecError};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest file that is read.
const MAX_FILE: u64 = 1_000_000;

/// Reads a file: at most 1 MB of UTF-8.
///
/// # Errors
/// A file that can not be read, is larger, or is not UTF-8.
pub fn read(path: &Path, shown: String) -> Result<Source, SpecError> {
    read_at_most(path, shown, MAX_FILE)
}

/// Reads a file of at most `most` bytes of UTF-8.
///
/// # Errors
/// A file that can not be read, is larger, or is not UTF-8.
pub fn read_at_most(path: &Path, shown: String, most: u64) -> Result<Source, SpecError> {
    let unreadable = |error: std::io::Error| {
        let message = format!("the file can not be read: {error}");
        SpecError::from(Diagnostic::unplaced("spec::unreadable", message, Some(&shown), None))
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    decode_at_most(bytes, shown, most)
}

/// The text of a file's bytes.
///
/// # Errors
/// More than 1 MB, or bytes that are not UTF-8 (with line and column of the first).
pub fn decode(bytes: Vec<u8>, name: String) -> Result<Source, SpecError> {
    decode_at_most(bytes, name, MAX_FILE)
}

fn decode_at_most(bytes: Vec<u8>, name: String, most: u64) -> Result<Source, SpecError> {
    if bytes.len() as u64 > most {
        let help = Some("no file needs so much; is it the right one?".into());
        let message = format!("the file is larger than {} MB", most / 1_000_000);
        return Err(Diagnostic::unplaced("spec::size", message, Some(&name), help).into());
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { name, text: text.trim_start_matches('\u{feff}').to_owned() }),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let byte = error.as_bytes().get(good).copied().unwrap_or_default();
            let text = String::from_utf8_lossy(error.as_bytes());
            let source = Source { name, text: text.into_owned() };
            let message = format!("byte 0x{byte:02x} is not UTF-8");
            let mark = Mark { span: good..good, label: "" };
            let help = Some("save the file as UTF-8 text".into());
            let diagnostic = Diagnostic::placed("yaml::utf8", message, &source, mark, None, help);
            Err(diagnostic.into())
        }
    }
}
