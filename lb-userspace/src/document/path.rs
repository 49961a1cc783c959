//! Whether packets for a VIP can be forwarded to a backend.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::addresses::{Complaint, family};
use super::{Forward, Vip};

/// How a service's packets reach its backends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    pub(super) forward: Forward,
    /// The outer sources of tunnels; `None` while they are not known.
    pub(super) tunnels: Option<&'a [IpNet]>,
}

impl Path<'_> {
    /// What keeps packets for the VIP from reaching the backend.
    pub(super) fn leads(&self, vip: Vip, backend: SocketAddr) -> Result<(), Complaint> {
        leaves_the_vip(vip, backend)?;
        self.crosses_families(vip, backend)?;
        self.finds_the_port(vip, backend)?;
        self.has_a_source(backend)
    }

    fn crosses_families(&self, vip: Vip, backend: SocketAddr) -> Result<(), Complaint> {
        if backend.is_ipv4() == vip.address.is_ipv4() {
            return Ok(());
        }
        let forward = self.forward;
        let why = match forward {
            Forward::FullNat | Forward::Ipip | Forward::Gue => return Ok(()),
            Forward::Nat => "keeps the client's address",
            Forward::Dsr => "leaves the packet as it is",
        };
        let (theirs, ours) = (family(backend.ip()), family(vip.address));
        Err(Complaint::new(
            format!(
                "the backend {backend} is {theirs} and the VIP {vip} is {ours}; `{forward}` {why}"
            ),
            format!(
                "use the backend's {ours} address, or set forward = \"full-nat\", which translates"
            ),
        ))
    }

    fn finds_the_port(&self, vip: Vip, backend: SocketAddr) -> Result<(), Complaint> {
        let port = backend.port();
        if port == 0 || port == vip.port {
            return Ok(());
        }
        if self.forward.keeps_packet() {
            let (forward, vip) = (self.forward, vip.port);
            return Err(Complaint::new(
                format!(
                    "the backend's port {port} is not the VIP's port {vip}, and `{forward}` leaves \
                     ports alone"
                ),
                format!("write port {vip}, or set forward = \"full-nat\" or \"nat\""),
            ));
        }
        if vip.port != 0 {
            return Ok(());
        }
        Err(Complaint::new(
            format!(
                "the VIP {vip} takes any port, and all of them would end at port {port} of this backend"
            ),
            "write port 0 here, which keeps the packet's port, or name the port in the VIP",
        ))
    }

    fn has_a_source(&self, backend: SocketAddr) -> Result<(), Complaint> {
        let Some(tunnels) = self.tunnels.filter(|_| self.forward.is_tunnel()) else {
            return Ok(());
        };
        let is_v4 = backend.is_ipv4();
        if tunnels
            .iter()
            .any(|source| source.addr().is_ipv4() == is_v4)
        {
            return Ok(());
        }
        let (forward, family) = (self.forward, family(backend.ip()));
        let example = if is_v4 { "172.16.0.0/16" } else { "100::/64" };
        Err(Complaint::new(
            format!(
                "`{forward}` packets to {backend} need an {family} source, and the document names \
                 none"
            ),
            format!(
                "add tunnel_source = [\"{example}\"] at the top: an address of this host, or a \
                 prefix routed to it whose last bits then vary with the flow"
            ),
        ))
    }
}

fn leaves_the_vip(vip: Vip, backend: SocketAddr) -> Result<(), Complaint> {
    if backend.ip() != vip.address {
        return Ok(());
    }
    let address = vip.address;
    Err(Complaint::new(
        format!("`{address}` is the VIP itself; its packets would go in circles"),
        "write the backend's own address",
    ))
}
