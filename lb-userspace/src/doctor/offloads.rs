//! What a card does of its own, and what drives it: asked by ioctl.
//!
//! The netlink interface of ethtool says nothing of drivers, and knows features by their names only;
//! these requests are older than any kernel that runs the program.
#![expect(unsafe_code, reason = "nix has no wrapper for the requests of ethtool")]

use std::ffi::CStr;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// `linux/sockios.h`.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
/// `linux/ethtool.h`: the driver.
const ETHTOOL_GDRVINFO: u32 = 0x03;
/// Offloads by flag.
const ETHTOOL_GFLAGS: u32 = 0x25;
/// How many queues.
const ETHTOOL_GCHANNELS: u32 = 0x3c;
/// Generic receive offload.
const ETHTOOL_GGRO: u32 = 0x2b;
/// The card takes VLAN tags off what arrives.
const ETH_FLAG_RXVLAN: u32 = 1 << 8;
/// The card merges what arrives.
const ETH_FLAG_LRO: u32 = 1 << 15;

/// What an interface's device does with packets before the program sees them. `None` for what it
/// does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Offloads {
    /// The driver's name.
    pub(super) driver: Option<String>,
    /// Receive queues.
    pub(super) queues: Option<usize>,
    /// Merges packets in the card (large receive offload).
    pub(super) lro: Option<bool>,
    /// Merges packets in the kernel (generic receive offload).
    pub(super) gro: Option<bool>,
    /// Takes VLAN tags off.
    pub(super) rx_vlan: Option<bool>,
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    cmd: u32,
    data: u32,
}

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct Driver {
    cmd: u32,
    name: [u8; 32],
    versions_and_place: [u8; 32 * 4],
    reserved: [u8; 12],
    counts: [u32; 5],
}

/// `struct ethtool_channels`: how many there may be, and how many there are.
#[repr(C)]
struct Channels {
    cmd: u32,
    most: [u32; 4],
    receiving: u32,
    sending: u32,
    other: u32,
    combined: u32,
}

/// A structure that begins with its command, and that the kernel fills as that command says.
///
/// # Safety
/// It is as long as the kernel's own for the command, and every pattern of bits is a value of it.
unsafe trait Request {}

// SAFETY: both requests made with it, `ETHTOOL_GFLAGS` and `ETHTOOL_GGRO`, fill these two numbers.
unsafe impl Request for Value {}
// SAFETY: `ETHTOOL_GDRVINFO` fills these 196 bytes, which are characters and numbers.
unsafe impl Request for Driver {}

// SAFETY: `ETHTOOL_GCHANNELS` fills these nine numbers.
unsafe impl Request for Channels {}

const _: () = assert!(size_of::<Driver>() == 196);

impl Offloads {
    /// What an interface of this network namespace says.
    pub(super) fn read(interface: &str) -> Self {
        let mut driver = Driver {
            cmd: ETHTOOL_GDRVINFO,
            name: [0; 32],
            versions_and_place: [0; 32 * 4],
            reserved: [0; 12],
            counts: [0; 5],
        };
        let name = ask(interface, &mut driver).and_then(|()| {
            let name = CStr::from_bytes_until_nul(&driver.name).ok()?;
            Some(name.to_string_lossy().into_owned())
        });
        let flags = value(interface, ETHTOOL_GFLAGS);
        Self {
            driver: name.filter(|name| !name.is_empty()),
            queues: queues(interface),
            lro: flags.map(|flags| flags & ETH_FLAG_LRO != 0),
            gro: value(interface, ETHTOOL_GGRO).map(|value| value != 0),
            rx_vlan: flags.map(|flags| flags & ETH_FLAG_RXVLAN != 0),
        }
    }
}

fn queues(interface: &str) -> Option<usize> {
    let mut channels = Channels {
        cmd: ETHTOOL_GCHANNELS,
        most: [0; 4],
        receiving: 0,
        sending: 0,
        other: 0,
        combined: 0,
    };
    ask(interface, &mut channels)?;
    let queues = channels.receiving + channels.combined;
    (queues > 0).then_some(queues as usize)
}

fn value(interface: &str, cmd: u32) -> Option<u32> {
    let mut value = Value { cmd, data: 0 };
    ask(interface, &mut value)?;
    Some(value.data)
}

/// Makes a request; `None` where the device does not answer it.
fn ask<R: Request>(interface: &str, request: &mut R) -> Option<()> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Inet, SockType::Datagram, flags, None).ok()?;
    let mut letters = [0; libc::IFNAMSIZ];
    let last = letters.len() - 1;
    for (to, from) in letters.iter_mut().take(last).zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let mut carrier = libc::ifreq {
        ifr_name: letters,
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_data: (&raw mut *request).cast(),
        },
    };
    // SAFETY: `carrier` is a whole `ifreq` that names a request which outlives the call, and which is
    // as long as the kernel's for its command, as `Request` demands.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut carrier) };
    (answer == 0).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_there_says_nothing() {
        assert_eq!(Offloads::read("no-such-device"), Offloads::default());
        // Loopback has no driver that could be asked, but its offloads are known.
        assert!(Offloads::read("lo").gro.is_some());
    }
}
