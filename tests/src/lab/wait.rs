//! Waiting for a condition with a bound, instead of sleeping and hoping.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Pause between two looks at the condition.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Asks `look` until it answers `Some`, at most for `bound`.
///
/// # Errors
/// `what` did not come true in time, or `look` failed, which ends the wait at once.
pub fn wait_until<T>(
    what: &str,
    bound: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {} ms", bound.as_millis());
        }
        thread::sleep(LOOK_EVERY);
    }
}
