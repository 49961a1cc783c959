//! Host and kernel side by side: what keeps them in step.
//!
//! Time and chance differ by nature. The kernel goes first; the host's clock is set to the
//! kernel's, and its random source answers with what makes it take the kernel's port.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::kernel::{self, Kernel};
use crate::ring::Tuple;
use crate::world::Oracle;

/// No frame starts this close to a tick, so that it is over before.
const MARGIN: Duration = Duration::from_millis(30);

/// The source ports of `full-nat`, the first and how many; a new generation may have others.
pub type Ports = Rc<Cell<(u16, u16)>>;

/// Answers the host's question for chance with what makes it take the kernel's port.
pub fn follow(kernel: &Rc<RefCell<Kernel>>, ports: &Ports) -> Oracle {
    let (kernel, ports) = (Rc::clone(kernel), Rc::clone(ports));
    Box::new(move |flow: Option<Tuple>| {
        let port = flow.and_then(|flow| kernel.borrow().pending_port(&flow));
        let (first, count) = ports.get();
        let index = u64::from(port.unwrap_or(first).wrapping_sub(first));
        let count = u64::from(count);
        // The smallest word that the engine scales to this index.
        ((index << 32).div_ceil(count)) as u32
    })
}

/// Waits until the next tick is far enough away.
pub fn avoid_tick() {
    let left = Duration::from_nanos(kernel::until_next_tick());
    if left < MARGIN {
        std::thread::sleep(left + Duration::from_millis(5));
    }
}
