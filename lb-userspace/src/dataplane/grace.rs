//! Waits until every packet has left that was under way when it was asked.
//!
//! The kernel's hash maps keep a spare element: a replaced entry becomes the spare, and the next
//! one replaced takes its memory, also while a program that looked it up still reads it.

use std::thread;
use std::time::Duration;

/// `MEMBARRIER_CMD_GLOBAL`: returns when every CPU has passed through a state in which it holds
/// nothing, which the kernel waits for by `synchronize_rcu`. XDP programs run in one RCU section
/// each.
const GLOBAL: libc::c_long = 1;
/// A packet takes microseconds. This is for kernels that refuse the call (`nohz_full`, or a
/// filter of system calls), and long enough for a CPU that is taken away from a guest for a while.
const INSTEAD: Duration = Duration::from_millis(20);

/// Blocks for about ten milliseconds.
pub(super) fn wait() {
    const NOTHING: libc::c_long = 0;
    // SAFETY: takes three numbers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, NOTHING, NOTHING) };
    if result != 0 {
        thread::sleep(INSTEAD);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_wait_ends() {
        let began = Instant::now();
        wait();
        assert!(began.elapsed() < Duration::from_secs(5), "{began:?}");
    }
}
