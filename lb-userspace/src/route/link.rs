//! Interfaces, and the XDP program on them.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    LinkAttribute, LinkExtentMask, LinkFlags, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};

/// The kernel's `IFNAMSIZ` without the terminating zero, in bytes.
pub(super) const NAME_LENGTH_MAX: usize = 15;

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Unique in its network namespace.
    pub index: u32,
    /// Likewise.
    pub name: String,
    /// `None` where it is not an Ethernet device: loopback, tun, IP tunnels.
    pub mac: Option<[u8; 6]>,
    /// Longest packet in bytes, without the Ethernet header.
    pub mtu: u32,
    /// Whether it is switched on; its cable may be out all the same.
    pub up: bool,
    /// The XDP program attached to it.
    pub xdp: Option<Xdp>,
    /// The device that it belongs to: the one below it, or a veth's other end.
    pub other: Option<Other>,
}

/// A device that another one belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    /// Unique in its network namespace.
    pub index: u32,
    /// What this namespace calls the one that it is in; `None` where that is this one.
    pub namespace: Option<i32>,
}

/// An XDP program attached to an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xdp {
    /// The program's id, as `bpftool prog` lists it; 0 where several are attached.
    pub program: u32,
    /// Where it runs.
    pub mode: XdpMode,
}

/// Where an attached XDP program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
    /// On the card.
    Offloaded,
    /// Several programs in several places.
    Multiple,
}

/// Asks for the link with `index`.
pub(super) fn by_index(index: u32) -> RouteNetlinkMessage {
    let mut message = question();
    message.header.index = index;
    RouteNetlinkMessage::GetLink(message)
}

/// Asks for the link called `name`.
pub(super) fn by_name(name: &str) -> RouteNetlinkMessage {
    let mut message = question();
    message
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    RouteNetlinkMessage::GetLink(message)
}

/// Asks for a device that may be in another network namespace.
pub(super) fn elsewhere(other: Other) -> RouteNetlinkMessage {
    let mut message = question();
    message.header.index = other.index;
    if let Some(namespace) = other.namespace {
        message.attributes.push(LinkAttribute::IfNetnsId(namespace));
    }
    RouteNetlinkMessage::GetLink(message)
}

/// Without the statistics, which are most of an answer and cost the kernel a walk over all CPUs.
fn question() -> LinkMessage {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    message
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            up: message.header.flags.contains(LinkFlags::Up),
            xdp: None,
            other: None,
        };
        let (mut other, mut namespace) = (None, None);
        // Loopback has an address of six bytes as well, all zero.
        let ethernet = message.header.link_layer_type == LinkLayerType::Ether;
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Address(bytes) if ethernet => {
                    link.mac = bytes.as_slice().try_into().ok();
                }
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Xdp(attributes) => link.xdp = xdp(&attributes),
                LinkAttribute::Link(index) if index > 0 => other = Some(index),
                LinkAttribute::LinkNetNsId(id) => namespace = Some(id),
                _ => {}
            }
        }
        link.other = other.map(|index| Other { index, namespace });
        link
    }
}

fn xdp(attributes: &[LinkXdp]) -> Option<Xdp> {
    let mode = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::Attached(XdpAttached::Driver) => Some(XdpMode::Native),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(XdpMode::Generic),
        LinkXdp::Attached(XdpAttached::Hardware) => Some(XdpMode::Offloaded),
        LinkXdp::Attached(XdpAttached::Multiple) => Some(XdpMode::Multiple),
        _ => None,
    })?;
    let program = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id) => Some(*id),
        _ => None,
    });
    Some(Xdp {
        program: program.unwrap_or(0),
        mode,
    })
}
