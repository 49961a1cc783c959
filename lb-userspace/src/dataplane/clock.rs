//! The clock that the program stamps its entries with.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, coarse and without time asleep (`CLOCK_MONOTONIC_COARSE`). A clock that
/// cannot be read says 0, by which nothing is ever too old.
pub fn coarse_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE);
    time.map_or(0, |time| {
        time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs()
    })
}
