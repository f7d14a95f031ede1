//! Processes that must not outlive each other.

/// Has the kernel end this process when its parent dies. Answers whether the parent is still there.
pub fn die_with_parent() -> bool {
    // SAFETY: sets an attribute of this process; no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 && libc::getppid() != 1 }
}

/// The signal that stops a process until it is told to go on.
pub const STOP: i32 = libc::SIGSTOP;

/// Sends a signal to a process; answers whether it could be sent.
pub fn send_signal(process: u32, signal: i32) -> bool {
    let Ok(process) = i32::try_from(process) else { return false };
    // SAFETY: no memory is involved; a positive number names one process.
    process > 0 && unsafe { libc::kill(process, signal) == 0 }
}
