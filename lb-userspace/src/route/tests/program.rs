//! The smallest XDP program, to have one on an interface: it passes every packet.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};

use super::XdpMode;

/// From `linux/bpf.h` and `linux/if_link.h`.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TYPE_XDP: u32 = 6;
const XDP_FLAGS_SKB_MODE: u32 = 2;
const XDP_FLAGS_DRV_MODE: u32 = 4;

/// `r0 = XDP_PASS; exit`.
const INSTRUCTIONS: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// The start of `union bpf_attr` for loading a program; the kernel takes the rest as zero.
#[repr(C)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: *const [u8; 8],
    license: *const libc::c_char,
}

/// A loaded program; it is gone with its last attachment.
pub(super) struct Program(OwnedFd);

pub(super) fn load() -> Program {
    let attributes = Load {
        kind: BPF_PROG_TYPE_XDP,
        instruction_count: 2,
        instructions: INSTRUCTIONS.as_ptr(),
        license: c"GPL".as_ptr(),
    };
    // SAFETY: the pointers inside are to static memory, and the kernel reads no more than the
    // size given of `attributes`.
    let descriptor = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const attributes,
            size_of::<Load>(),
        )
    };
    let error = std::io::Error::last_os_error();
    assert!(descriptor >= 0, "cannot load an XDP program: {error}");
    // SAFETY: the kernel has just given it to us.
    Program(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(descriptor).unwrap()) })
}

impl Program {
    /// As the kernel lists it, asked by another way than netlink.
    pub(super) fn id(&self) -> u32 {
        let path = format!("/proc/thread-self/fdinfo/{}", self.0.as_raw_fd());
        let text = fs::read_to_string(path).unwrap();
        let id = text
            .lines()
            .find_map(|line| line.strip_prefix("prog_id:"))
            .unwrap();
        id.trim().parse().unwrap()
    }

    pub(super) async fn attach(&self, interface: u32, mode: XdpMode) {
        set(interface, mode, self.0.as_raw_fd()).await;
    }
}

pub(super) async fn detach(interface: u32, mode: XdpMode) {
    set(interface, mode, -1).await;
}

async fn set(interface: u32, mode: XdpMode, descriptor: RawFd) {
    let flags = match mode {
        XdpMode::Native => XDP_FLAGS_DRV_MODE,
        _ => XDP_FLAGS_SKB_MODE,
    };
    let mut message = LinkMessage::default();
    message.header.index = interface;
    let xdp = vec![LinkXdp::Fd(descriptor), LinkXdp::Flags(flags)];
    message.attributes.push(LinkAttribute::Xdp(xdp));
    let (connection, handle, _) = rtnetlink::new_connection().unwrap();
    let mover = tokio::spawn(connection);
    handle.link().set(message).execute().await.unwrap();
    mover.abort();
}
