//! Sends the same frames through a packet socket, for kernels without live frames.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context as _, Result};

use super::template::{Flood, LENGTH};
use crate::lab::packet_socket;

/// Frames in one system call. The sources of a flood take turns over this many frames at most.
const FRAMES_PER_CALL: usize = 1024;

/// A socket and the frames that it sends over and over.
#[derive(Debug)]
pub(crate) struct PacketSocket {
    socket: OwnedFd,
    frames: Vec<[u8; LENGTH]>,
}

impl PacketSocket {
    /// Opens a socket on `device` of the calling thread's namespace.
    pub(crate) fn new(device: &str, flood: &Flood) -> Result<Self> {
        let socket = packet_socket(device)?;
        let frames = (0..FRAMES_PER_CALL as u32).map(|number| flood.frame(number));
        Ok(Self {
            socket,
            frames: frames.collect(),
        })
    }

    /// Sends so many frames, but at most one call's, and returns how many.
    pub(crate) fn send(&self, frames: u32) -> Result<u32> {
        let count = self.frames.len().min(frames as usize);
        let mut parts: Vec<libc::iovec> = self.frames[..count]
            .iter()
            .map(|frame| libc::iovec {
                iov_base: frame.as_ptr().cast_mut().cast(),
                iov_len: LENGTH,
            })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = parts
            .iter_mut()
            .map(|part| {
                // SAFETY: all zeros is a valid `mmsghdr`: integers and null pointers.
                let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                message.msg_hdr.msg_iov = part;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        // SAFETY: `messages` are `count` complete headers, whose parts and frames outlive the call.
        let sent = unsafe {
            libc::sendmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                count as libc::c_uint,
                0,
            )
        };
        if let Ok(sent) = u32::try_from(sent) {
            return Ok(sent.max(1));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // A full queue loses frames; whoever counts them does so behind the queue.
            Some(libc::ENOBUFS | libc::EINTR | libc::EAGAIN) => Ok(1),
            _ => Err(error).context("cannot send frames"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::lab::{Cable, Plan, obstacle, wait_until};
    use crate::side_by_side::link::received;

    #[test]
    fn frames_reach_the_other_end_of_a_cable() {
        if let Some(obstacle) = obstacle() {
            assert!(std::env::var_os("CI").is_none(), "{obstacle}");
            println!("skipped: {obstacle}");
            return;
        }
        let cable = Cable::lay(0).unwrap();
        let flood = Flood {
            to: (Plan::VIP.v4(), 9),
            first: Ipv4Addr::new(10, 160, 0, 1),
            stride: 1,
            count: 10,
        };
        let socket = cable
            .outside()
            .enter(|| PacketSocket::new(Cable::WIRE, &flood));
        let socket = socket.unwrap().unwrap();
        let before = received(cable.balancer(), Plan::INTERFACE).unwrap();
        let sent = socket.send(50).unwrap();
        assert!((1..=50).contains(&sent), "{sent}");
        wait_until("the frames", Duration::from_secs(5), || {
            let now = received(cable.balancer(), Plan::INTERFACE)?;
            Ok((now >= before + u64::from(sent)).then_some(()))
        })
        .unwrap();
    }
}
