//! Ctrl-C: the first asks the search to end with what it has, the second ends the process.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Listens for Ctrl-C from now on.
pub fn install() {
    // Without a handler Ctrl-C ends the process at once, which is all that is lost.
    let _ = ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(super::ExitCode::Interrupted as i32);
        }
    });
}

/// Whether the user has asked to end.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
