//! Two settings of a network device that iproute2 cannot make: a trivial XDP program, and
//! checksum offload.
//!
//! A frame that an XDP program sends back (`XDP_TX`) on a veth arrives only if the peer runs an
//! XDP program itself, so the switch's port to the balancer gets one of two instructions that
//! passes everything. Loaded by bpf(2) directly: no object file, no compiler needed.

use std::ffi::c_long;
use std::io;
use std::mem::size_of;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;

use super::namespace::Namespace;

/// `bpf(2)` commands and constants, from linux/bpf.h.
const BPF_PROG_LOAD: c_long = 5;
const BPF_LINK_CREATE: c_long = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
/// `linux/if_link.h`: attach in the driver, or not at all.
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
/// `r0 = XDP_PASS; exit`, one 8-byte instruction each (RFC 9669).
const PASS_EVERYTHING: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];
/// `linux/ethtool.h`: switches the checksumming of sent packets.
const ETHTOOL_STXCSUM: u32 = 0x17;
/// linux/sockios.h.
const SIOCETHTOOL: libc::c_ulong = 0x8946;

/// An attached XDP program; detached when dropped.
#[derive(Debug)]
pub struct Attached {
    _link: OwnedFd,
}

/// The head of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
}

/// The head of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    prog_fd: RawFd,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    cmd: u32,
    value: u32,
}

impl Attached {
    /// Attaches a program that passes everything to `device` of `namespace`.
    ///
    /// # Errors
    /// There is a program already, or the driver has no native XDP.
    pub fn passing(namespace: &Namespace, device: &str) -> Result<Self> {
        Self::new(namespace, device, &PASS_EVERYTHING)
    }

    /// Loads `instructions` and attaches them.
    fn new(namespace: &Namespace, device: &str, instructions: &[u64]) -> Result<Self> {
        let license = c"Dual MIT/GPL";
        let load = ProgLoad {
            prog_type: BPF_PROG_TYPE_XDP,
            insn_cnt: instructions.len() as u32,
            insns: instructions.as_ptr().addr() as u64,
            license: license.as_ptr().addr() as u64,
            log_level: 0,
            log_size: 0,
            log_buf: 0,
        };
        let program = bpf(BPF_PROG_LOAD, &load).context("cannot load an XDP program")?;
        // The kernel looks the device up in the calling thread's namespace.
        let link = namespace.enter(|| {
            let create = LinkCreate {
                prog_fd: program.as_raw_fd(),
                target_ifindex: if_nametoindex(device)?,
                attach_type: BPF_XDP,
                flags: XDP_FLAGS_DRV_MODE,
            };
            bpf(BPF_LINK_CREATE, &create)
        })?;
        let link = link.with_context(|| format!("cannot attach an XDP program to {device}"))?;
        Ok(Self { _link: link })
    }
}

/// Lets the kernel compute checksums before a packet leaves `device`.
///
/// A veth otherwise leaves them unfinished, as no wire can corrupt the packet. An XDP program that
/// adjusts such a checksum and sends the packet on makes it a wrong one.
pub(crate) fn finish_checksums(namespace: &Namespace, device: &str) -> Result<()> {
    let switched = namespace.enter(|| {
        let mut value = EthtoolValue {
            cmd: ETHTOOL_STXCSUM,
            value: 0,
        };
        // SAFETY: all zeros is a valid `ifreq`: an array of characters and a union of plain values.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request
            .ifr_name
            .iter_mut()
            .take(libc::IFNAMSIZ - 1)
            .zip(device.bytes())
        {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        // SAFETY: `request` is a complete `ifreq` whose pointer names an `ethtool_value` that
        // outlives the call, as SIOCETHTOOL with ETHTOOL_STXCSUM expects.
        match unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    })?;
    switched.with_context(|| {
        format!(
            "cannot switch checksum offload off on {device} of {}",
            namespace.name()
        )
    })
}

/// Calls bpf(2) with a command that answers a new descriptor.
fn bpf<A>(command: c_long, attributes: &A) -> io::Result<OwnedFd> {
    let attributes_ptr: *const A = attributes;
    // SAFETY: the kernel reads `size_of::<A>()` bytes of a `repr(C)` head of `bpf_attr`, takes the
    // rest as zero, and follows pointers in it only to buffers that the caller keeps alive.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, attributes_ptr, size_of::<A>()) };
    match RawFd::try_from(answer) {
        // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::lab::{Lab, Plan, obstacle, wait_until};
    use std::time::Duration;

    /// Sends every frame back, addressed to everybody: after a bounds check, it overwrites the
    /// destination with the broadcast address and returns `XDP_TX`.
    const BOUNCE_TO_ALL: [u64; 11] = [
        0x0000_0000_0000_1261, // r2 = *(u32 *)(r1 + 0), the frame's start
        0x0000_0000_0004_1361, // r3 = *(u32 *)(r1 + 4), its end
        0x0000_0000_0000_24bf, // r4 = r2
        0x0000_000e_0000_0407, // r4 += 14
        0x0000_0000_0004_342d, // if r4 > r3 goto +4
        0xffff_ffff_0000_0262, // *(u32 *)(r2 + 0) = 0xffffffff
        0x0000_ffff_0004_026a, // *(u16 *)(r2 + 4) = 0xffff
        0x0000_0003_0000_00b7, // r0 = XDP_TX
        0x0000_0000_0000_0095, // exit
        0x0000_0002_0000_00b7, // r0 = XDP_PASS
        0x0000_0000_0000_0095, // exit
    ];

    fn received(namespace: &Namespace) -> u64 {
        let words = ["ip", "-s", "-j", "link", "show", "dev", Plan::INTERFACE];
        let text = namespace.run(&words).unwrap();
        let links: serde_json::Value = serde_json::from_str(&text).unwrap();
        links[0]["stats64"]["rx"]["packets"].as_u64().unwrap()
    }

    #[test]
    fn a_frame_sent_back_arrives_because_the_port_has_a_program() {
        if let Some(obstacle) = obstacle() {
            println!("skipped: {obstacle}");
            return;
        }
        let lab = Lab::builder().backends(0).build().unwrap();
        let bounce = Attached::new(lab.balancer(), Plan::INTERFACE, &BOUNCE_TO_ALL).unwrap();
        let before = received(lab.attacker());
        wait_until("a bounced frame", Duration::from_secs(5), || {
            // The discard port: nobody answers, and the bounce is what counts.
            lab.client().enter(|| -> io::Result<()> {
                let socket = UdpSocket::bind("0.0.0.0:0")?;
                socket.send_to(b"bounce", Plan::BALANCER.v4_port(9))?;
                Ok(())
            })??;
            Ok((received(lab.attacker()) >= before + 10).then_some(()))
        })
        .unwrap();
        drop(bounce);
    }
}
