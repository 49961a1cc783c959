//! The lab's addressing plan: every address, port and name in one place.
//!
//! All labs share one plan, because each has namespaces of its own; only the namespaces' names
//! differ. Nothing here touches the machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The constants of the lab's network.
#[derive(Debug)]
pub struct Plan;

/// A host's place in the plan: its addresses in both families and its Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Last decimal number of the IPv4 address; the IPv6 address ends in the same digits.
    id: u8,
}

impl Plan {
    /// Sends requests to the virtual addresses: 10.77.0.10, `fd77::10`.
    pub const CLIENT: Host = Host { id: 10 };
    /// Tries the same and must never get an answer: 10.77.0.66, `fd77::66`.
    pub const ATTACKER: Host = Host { id: 66 };
    /// Runs the daemon; its only interface receives and sends (one-armed): 10.77.0.2, `fd77::2`.
    pub const BALANCER: Host = Host { id: 2 };
    /// The virtual addresses, held by no host (`dsr` labs: by every backend's loopback):
    /// 10.77.0.100, `fd77::100`. Client and attacker have routes to them through the balancer.
    pub const VIP: Host = Host { id: 100 };
    /// Length of the IPv4 network's prefix, in bits.
    pub const PREFIX_V4: u8 = 24;
    /// Length of the IPv6 network's prefix, in bits.
    pub const PREFIX_V6: u8 = 64;
    /// Most backends; above come the attacker's and the virtual addresses.
    pub const BACKENDS_MAX: u8 = 40;
    /// The interface of every namespace but the switch.
    pub const INTERFACE: &'static str = "eth0";
    /// Backends serve HTTP over TCP here, and answer datagrams of the same UDP port.
    pub const HTTP_PORT: u16 = 8080;
    /// Backends greet with their name and echo what comes, for as long as the client stays.
    pub const ECHO_PORT: u16 = 8081;
    /// The port of the example document's virtual TCP services.
    pub const VIP_PORT: u16 = 80;
    /// The port of the example document's virtual UDP service.
    pub const VIP_UDP_PORT: u16 = 7000;
    /// The daemon of the example document serves its metrics here, on the balancer's address.
    pub const METRICS_PORT: u16 = 9465;

    /// Backend `number` (1 to [`Self::BACKENDS_MAX`]): 10.77.0.11, `fd77::11` for the first.
    pub fn backend(number: u8) -> Host {
        debug_assert!(
            (1..=Self::BACKENDS_MAX).contains(&number),
            "backend {number}"
        );
        Host { id: 10 + number }
    }

    /// The name of backend `number`: of its namespace, and what its server answers with.
    pub fn backend_name(number: u8) -> String {
        format!("b{number}")
    }

    /// The name of the backend that holds `address`, if it is one.
    pub fn backend_name_of(address: IpAddr) -> Option<String> {
        (1..=Self::BACKENDS_MAX)
            .find(|&number| Self::backend(number).has(address))
            .map(Self::backend_name)
    }
}

impl Host {
    /// Its IPv4 address.
    pub fn v4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, self.id)
    }

    /// Its IPv6 address: the same decimal digits, read as hexadecimal, so that both look alike.
    pub fn v6(self) -> Ipv6Addr {
        let digits = u16::from(self.id);
        let alike = digits / 100 * 0x100 + digits / 10 % 10 * 0x10 + digits % 10;
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, alike)
    }

    /// Its Ethernet address, locally administered and fixed, so that captures are easy to read.
    pub fn mac(self) -> String {
        self.mac_bytes().map(|byte| format!("{byte:02x}")).join(":")
    }

    /// The same in bytes.
    pub fn mac_bytes(self) -> [u8; 6] {
        [2, 0x77, 0, 0, 0, self.id]
    }

    /// Its IPv4 address with a port.
    pub fn v4_port(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.v4().into(), port)
    }

    /// Its IPv6 address with a port.
    pub fn v6_port(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.v6().into(), port)
    }

    /// Whether `address` is one of its two.
    pub fn has(self, address: IpAddr) -> bool {
        address == self.v4() || address == self.v6()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_look_alike() {
        assert_eq!(Plan::VIP.v4().to_string(), "10.77.0.100");
        assert_eq!(Plan::VIP.v6().to_string(), "fd77::100");
        assert_eq!(Plan::backend(3).v4().to_string(), "10.77.0.13");
        assert_eq!(Plan::backend(3).v6().to_string(), "fd77::13");
        assert_eq!(Plan::backend(3).mac(), "02:77:00:00:00:0d");
    }

    #[test]
    fn no_backend_takes_a_named_host() {
        for number in 1..=Plan::BACKENDS_MAX {
            let backend = Plan::backend(number);
            for named in [Plan::CLIENT, Plan::ATTACKER, Plan::BALANCER, Plan::VIP] {
                assert_ne!(backend, named, "backend {number}");
            }
            assert_eq!(
                Plan::backend_name_of(backend.v6().into()),
                Some(Plan::backend_name(number))
            );
        }
        assert_eq!(Plan::backend_name_of(Plan::CLIENT.v4().into()), None);
    }
}
