//! Sends single frames, as no socket of the network stack would.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::net::if_::if_nametoindex;

/// Opens a packet socket on `device` of the calling thread's namespace.
///
/// # Errors
/// Not root, or no such device.
pub fn packet_socket(device: &str) -> Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let answer = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if answer < 0 {
        return Err(io::Error::last_os_error()).context("cannot open a packet socket");
    }
    // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(answer) };
    // SAFETY: all zeros is a valid `sockaddr_ll`, an aggregate of integers.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_ifindex = if_nametoindex(device)?.cast_signed();
    // SAFETY: `address` is a complete `sockaddr_ll`, and its size is given.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if bound < 0 {
        return Err(io::Error::last_os_error())
            .with_context(|| format!("cannot bind a packet socket to {device}"));
    }
    Ok(socket)
}

/// Sends one frame from `device` of the calling thread's namespace.
///
/// # Errors
/// As of [`packet_socket`], or the device does not take the frame.
pub fn send_frame(device: &str, frame: &[u8]) -> Result<()> {
    let socket = packet_socket(device)?;
    let sent = nix::unistd::write(&socket, frame).context("cannot send a frame")?;
    ensure!(sent == frame.len(), "only {sent} bytes were sent");
    Ok(())
}
