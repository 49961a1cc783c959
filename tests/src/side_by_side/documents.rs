//! The same task, told to each contender in its own language. Only text.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::BACKENDS;
use crate::lab::Plan;

/// The port of the virtual service and of the backends: nobody has to change it.
pub(crate) const PORT: u16 = Plan::HTTP_PORT;
/// Blocked prefixes of 24 bits.
pub(crate) const BLOCKED: u32 = 1000;
/// How far apart they are: every other one, so that nobody can merge neighbours.
pub(crate) const BLOCKED_STRIDE: u32 = 512;
/// The rule that blocks, in our document.
pub(crate) const RULE: &str = "no blocked sources";

/// An address of blocked prefix `number`, below [`BLOCKED`].
pub(crate) fn blocked(number: u32) -> Ipv4Addr {
    let first = Ipv4Addr::new(10, 128, 0, 7).to_bits();
    Ipv4Addr::from_bits(first + number * BLOCKED_STRIDE)
}

/// An address that nothing blocks.
pub(crate) fn innocent(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 160, 0, 1).to_bits() + number)
}

/// Our document of the firewall.
pub(crate) fn lb_firewall() -> String {
    let entries = prefixes(|prefix| format!("\"{prefix}\""));
    format!(
        "interfaces = [\"{}\"]\n[[firewall.set]]\nname = \"blocked\"\nentries = [{entries}]\n\
         [[firewall.rule]]\nname = \"{RULE}\"\nsource = \"@blocked\"\naction = \"drop\"\n",
        Plan::INTERFACE
    )
}

/// Our document of the service, over TCP and over UDP.
pub(crate) fn lb_balancer(forward: &str) -> String {
    let mut text = format!("interfaces = [\"{}\"]\n", Plan::INTERFACE);
    for protocol in ["tcp", "udp"] {
        let vip = Plan::VIP.v4_port(PORT);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "[[service]]\nname = \"{protocol}\"\nvip = \"{vip}/{protocol}\"\n\
             scheduler = \"round-robin\"\nforward = \"{forward}\"\nbackend = [{}]\n",
            each_backend(", ", |_, address| format!(
                "{{ address = \"{address}:{PORT}\" }}"
            ))
        );
    }
    text
}

/// Drops the blocked sources at the device, before anything else.
pub(crate) fn nft_ingress() -> String {
    let hook = format!("filter hook ingress device {} priority 0", Plan::INTERFACE);
    nft_filter("netdev", &hook)
}

/// Drops the blocked sources where most do it, in IP's prerouting, before connection tracking.
pub(crate) fn nft_prerouting() -> String {
    nft_filter("ip", "filter hook prerouting priority raw")
}

fn nft_filter(family: &str, hook: &str) -> String {
    format!(
        "table {family} bench {{\n set blocked {{\n  type ipv4_addr\n  flags interval\n  \
         elements = {{ {} }}\n }}\n chain first {{\n  type {hook}; policy accept;\n  \
         ip saddr @blocked counter drop\n }}\n}}\n",
        prefixes(ToString::to_string)
    )
}

/// Gives every new connection to the next backend.
pub(crate) fn nft_dnat() -> String {
    let map = each_backend(", ", |number, address| {
        format!("{} : {address}", number - 1)
    });
    format!(
        "table ip bench {{\n chain first {{\n  \
         type nat hook prerouting priority dstnat; policy accept;\n  \
         ip daddr {} meta l4proto {{ tcp, udp }} th dport {PORT} \
         dnat to numgen inc mod {BACKENDS} map {{ {map} }}\n }}\n}}\n",
        Plan::VIP.v4()
    )
}

/// Passes every connection on to the next backend.
pub(crate) fn haproxy() -> String {
    format!(
        "global\n  maxconn 4000\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
         timeout client 30s\n  timeout server 30s\nfrontend vip\n  bind {}\n  \
         default_backend backends\nbackend backends\n  balance roundrobin\n{}\n",
        Plan::VIP.v4_port(PORT),
        each_backend("\n", |number, address| {
            format!("  server {} {address}:{PORT}", Plan::backend_name(number))
        })
    )
}

/// Commands of ipvsadm, without its name: the service over TCP and over UDP, with its backends.
pub(crate) fn ipvsadm() -> Vec<String> {
    let vip = Plan::VIP.v4_port(PORT);
    let mut lines = Vec::new();
    for protocol in ["-t", "-u"] {
        lines.push(format!("-A {protocol} {vip} -s rr"));
        for number in 1..=BACKENDS {
            let backend = Plan::backend(number).v4_port(PORT);
            lines.push(format!("-a {protocol} {vip} -r {backend} -m"));
        }
    }
    lines
}

fn prefixes(shown: impl Fn(&String) -> String) -> String {
    let all = (0..BLOCKED).map(|number| {
        let [a, b, c, _] = blocked(number).octets();
        shown(&format!("{a}.{b}.{c}.0/24"))
    });
    all.collect::<Vec<_>>().join(", ")
}

fn each_backend(between: &str, shown: impl Fn(u8, Ipv4Addr) -> String) -> String {
    let all = (1..=BACKENDS).map(|number| shown(number, Plan::backend(number).v4()));
    all.collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use lb_userspace::document::parse;

    #[test]
    fn our_documents_are_accepted_and_say_the_same_as_the_peers() {
        let firewall = parse(&lb_firewall(), "firewall").unwrap();
        assert_eq!(firewall.firewall.sets.len(), 1);
        let service = parse(&lb_balancer("dsr"), "service").unwrap();
        assert_eq!(service.services.len(), 2);
        for text in [nft_ingress(), nft_prerouting(), lb_firewall()] {
            assert_eq!(text.matches("/24").count(), BLOCKED as usize);
            assert!(text.contains("10.128.0.0/24") && text.contains("10.135.206.0/24"));
        }
        for text in [
            nft_dnat(),
            haproxy(),
            ipvsadm().join("\n"),
            lb_balancer("dsr"),
        ] {
            for number in 1..=BACKENDS {
                let address = Plan::backend(number).v4().to_string();
                assert!(text.contains(&address), "{address} in {text}");
            }
        }
    }

    #[test]
    fn the_innocent_are_not_blocked() {
        let last = blocked(BLOCKED - 1).to_bits() | 0xff;
        assert!(innocent(0).to_bits() > last);
    }
}
