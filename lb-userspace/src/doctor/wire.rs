//! A packet socket: frames as they are, out of any interface and in from all.
#![expect(
    unsafe_code,
    reason = "nix has no constructor for the address of a packet socket"
)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike as _,
    recvfrom, sendto, setsockopt, socket, sockopt,
};

use super::DoctorError;

/// Bytes of frames that may wait to be read.
const BUFFER: usize = 4 << 20;
/// The longest frame read.
const FRAME_MAX: usize = 65_535;

/// The socket.
#[derive(Debug)]
pub(super) struct Wire {
    socket: OwnedFd,
    frame: Vec<u8>,
}

impl Wire {
    /// Opens it in the calling thread's network namespace.
    pub(super) fn open() -> Result<Self, DoctorError> {
        let failed = |errno: Errno| DoctorError::Socket {
            what: "open",
            source: errno.into(),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let family = AddressFamily::Packet;
        let socket = socket(family, SockType::Raw, flags, SockProtocol::EthAll).map_err(failed)?;
        // A smaller one will do as well.
        _ = setsockopt(&socket, sockopt::RcvBuf, &BUFFER);
        let frame = vec![0; FRAME_MAX];
        Ok(Self { socket, frame })
    }

    /// Sends a frame out of the interface of this index.
    pub(super) fn send(&self, interface: u32, frame: &[u8]) -> io::Result<()> {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as libc::sa_family_t,
            sll_protocol: 0,
            sll_ifindex: interface.cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: [0; 8],
        };
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: it is a whole `sockaddr_ll` of that length.
        let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(length)) };
        let address = address.ok_or(io::ErrorKind::InvalidInput)?;
        let none = MsgFlags::empty();
        sendto(self.socket.as_raw_fd(), frame, &address, none)?;
        Ok(())
    }

    /// The next frame that arrives before the deadline; `None` behind it.
    pub(super) fn receive(&mut self, until: Instant) -> io::Result<Option<&[u8]>> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut waiting = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waiting, timeout) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let received = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut self.frame);
            match received {
                Ok((length, from)) => {
                    let sent = libc::PACKET_OUTGOING;
                    // Our own frames are shown as well.
                    if from.is_none_or(|from| from.pkttype() != sent) {
                        return Ok(self.frame.get(..length));
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) if !left.is_zero() => {}
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
