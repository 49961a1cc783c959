//! What a backend needs for a mode, as commands.

use std::net::IpAddr;

use crate::document::{Document, Forward, Service};

/// The commands that make a Linux host a backend of the service: for each backend the same, but for
/// the names in capitals.
pub fn backend_setup(document: &Document, service: &Service) -> Vec<String> {
    let vip = service.vip.address;
    let mut commands = Vec::new();
    match service.forward {
        Forward::FullNat => {
            commands
                .push("# full-nat needs nothing: the service listens on its address".to_owned());
        }
        Forward::Nat => {
            commands.push(
                "# the clients' packets come as they are; answers go back through the balancer"
                    .to_owned(),
            );
            commands.push(route_back(vip.is_ipv4(), None));
        }
        Forward::Dsr => {
            commands.push("# the virtual address, about which it stays silent".to_owned());
            commands.extend(silence(vip));
            commands.push(hold(vip));
        }
        Forward::Ipip | Forward::Gue => {
            commands.push("# the virtual address, and what unpacks the tunnels".to_owned());
            commands.push(hold(vip));
            commands.push(decapsulate(document));
            commands
                .push("# or, in place of the last one, a tunnel device of the kernel".to_owned());
            commands.extend(tunnel_devices(service));
        }
    }
    commands
}

/// Gives it the VIP.
pub(super) fn hold(vip: IpAddr) -> String {
    match vip {
        IpAddr::V4(vip) => format!("ip address add {vip}/32 dev lo"),
        IpAddr::V6(vip) => format!("ip address add {vip}/128 dev lo nodad"),
    }
}

/// Keeps it from answering for the VIP on the link; IPv6 hosts do not answer for addresses of others of
/// their interfaces.
fn silence(vip: IpAddr) -> Vec<String> {
    if vip.is_ipv4() {
        vec![arp_ignore(), arp_announce()]
    } else {
        Vec::new()
    }
}

/// Answers ARP only for addresses of the interface that was asked.
pub(super) fn arp_ignore() -> String {
    "sysctl -w net.ipv4.conf.all.arp_ignore=1".to_owned()
}

/// Asks by ARP only in the name of addresses of the interface that it asks on.
pub(super) fn arp_announce() -> String {
    "sysctl -w net.ipv4.conf.all.arp_announce=2".to_owned()
}

/// Sends answers back this way.
pub(super) fn route_back(v4: bool, via: Option<IpAddr>) -> String {
    let family = if v4 { "" } else { "-6 " };
    let via = via.map_or("BALANCER".to_owned(), |via| via.to_string());
    format!("ip {family}route replace default via {via}")
}

/// Unpacks without a device.
pub(super) fn decapsulate(document: &Document) -> String {
    let sources = document.tunnel_source.iter();
    let mut words = vec!["lb decap INTERFACE".to_owned()];
    words.extend(sources.map(|source| format!("--from {source}")));
    words.join(" ")
}

/// Unpacks with one. Packets in IPv4 take the devices that the modules bring, which accept any sender.
fn tunnel_devices(service: &Service) -> Vec<String> {
    let mut commands = Vec::new();
    for v4 in [true, false] {
        if !service
            .backends
            .iter()
            .any(|one| one.address.is_ipv4() == v4)
        {
            continue;
        }
        if service.forward == Forward::Gue {
            let family = if v4 { "" } else { " -6" };
            commands.push("modprobe fou".to_owned());
            commands.push(format!("ip fou add port 6080 gue{family}"));
        }
        let device = match (v4, service.vip.address) {
            (true, IpAddr::V4(_)) => {
                commands.push("modprobe ipip".to_owned());
                "tunl0"
            }
            (true, IpAddr::V6(_)) => {
                commands.push("modprobe sit".to_owned());
                "sit0"
            }
            (false, _) => {
                commands.push("ip link add lb0 type ip6tnl external mode any".to_owned());
                "lb0"
            }
        };
        commands.push(format!("ip link set {device} up"));
        if service.vip.address.is_ipv4() {
            commands.push(rp_filter(device));
        }
    }
    commands
}

/// Lets packets in whose answers leave elsewhere.
pub(super) fn rp_filter(device: &str) -> String {
    format!("sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.{device}.rp_filter=0")
}
