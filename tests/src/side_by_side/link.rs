//! What a network device has received, by its kernel's count.

use std::fs;

use anyhow::{Context, Result};

use crate::lab::Namespace;

/// Packets that `device` of `namespace` has taken since it exists, those that an XDP program
/// dropped included.
pub(crate) fn received(namespace: &Namespace, device: &str) -> Result<u64> {
    // `/proc/net` is the main thread's; sysfs is that of the namespace it was mounted in.
    let text = namespace.enter(|| fs::read_to_string("/proc/thread-self/net/dev"))?;
    let text = text.context("cannot read the devices' counters")?;
    packets_received(&text, device)
        .with_context(|| format!("the kernel counts nothing for {device}"))
}

/// Reads the second column behind the device's name; `proc_pid_net(5)`.
fn packets_received(text: &str, device: &str) -> Option<u64> {
    let columns = text.lines().find_map(|line| {
        let (name, columns) = line.split_once(':')?;
        (name.trim() == device).then_some(columns)
    })?;
    columns.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_device_and_column() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n\
            \u{20}   lo:       1       2    0    0    0     0          0         0        3       4\n\
            \u{20} eth0:  123456    7890    1    2    0     0          0         0      555      66\n";
        assert_eq!(packets_received(text, "eth0"), Some(7890));
        assert_eq!(packets_received(text, "lo"), Some(2));
        assert_eq!(packets_received(text, "eth"), None);
    }
}
