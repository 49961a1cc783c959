//! Makes the namespaces and wires them: links, addresses, routes and kernel settings.

use anyhow::Result;

use super::Backends;
use super::device::finish_checksums;
use super::footprint::Footprint;
use super::namespace::Namespace;
use super::plan::{Host, Plan};

/// The switch's port to the namespace of this role.
pub(crate) fn port(role: &str) -> String {
    format!("p-{role}")
}

/// A namespace with a bridge.
pub(crate) fn switch(footprint: &Footprint) -> Result<Namespace> {
    let namespace = Namespace::create(footprint, "switch")?;
    // The switch has no addresses and speaks no protocol. Without snooping it floods multicast,
    // so that neighbour discovery never waits for a membership report.
    namespace.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
    namespace.ip(&[
        "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        "link set br0 up",
    ])?;
    Ok(namespace)
}

/// The balancer: forwards, as `bpf_fib_lookup` demands.
pub(crate) fn balancer(footprint: &Footprint, switch: &Namespace) -> Result<Namespace> {
    let namespace = leaf(footprint, switch, "balancer", Plan::BALANCER)?;
    namespace.sysctl("net/ipv4/ip_forward", "1")?;
    namespace.sysctl("net/ipv6/conf/all/forwarding", "1")?;
    // Everybody is on one link: the kernel would tell clients to go around the balancer.
    namespace.sysctl("net/ipv4/conf/all/send_redirects", "0")?;
    namespace.sysctl(
        &format!("net/ipv4/conf/{}/send_redirects", Plan::INTERFACE),
        "0",
    )?;
    Ok(namespace)
}

/// A host that reaches the virtual addresses through the balancer.
///
/// It knows the balancer's Ethernet address from the start: a firewall that drops everything from
/// a host also drops its neighbour solicitations, and then the host could not even try.
pub(crate) fn visitor(
    footprint: &Footprint,
    switch: &Namespace,
    role: &str,
    host: Host,
) -> Result<Namespace> {
    let namespace = leaf(footprint, switch, role, host)?;
    let (device, balancer) = (Plan::INTERFACE, Plan::BALANCER);
    namespace.ip(&[
        &format!(
            "neigh add {} lladdr {} dev {device}",
            balancer.v4(),
            balancer.mac()
        ),
        &format!(
            "neigh add {} lladdr {} dev {device}",
            balancer.v6(),
            balancer.mac()
        ),
    ])?;
    route_through_balancer(&namespace, Plan::VIP)?;
    Ok(namespace)
}

/// Routes a host's addresses through the balancer.
fn route_through_balancer(namespace: &Namespace, to: Host) -> Result<()> {
    let (device, balancer) = (Plan::INTERFACE, Plan::BALANCER);
    namespace.ip(&[
        &format!(
            "route add {}/32 via {} dev {device}",
            to.v4(),
            balancer.v4()
        ),
        &format!(
            "route add {}/128 via {} dev {device}",
            to.v6(),
            balancer.v6()
        ),
    ])
}

/// A backend.
pub(crate) fn backend(
    footprint: &Footprint,
    switch: &Namespace,
    number: u8,
    kind: Backends,
) -> Result<Namespace> {
    let role = Plan::backend_name(number);
    let namespace = leaf(footprint, switch, &role, Plan::backend(number))?;
    if kind == Backends::Direct {
        // Answer ARP only for addresses of the asked interface, and never announce the others.
        // Neighbour discovery does that of its own: RFC 4861, section 7.2.3, lets a node answer
        // for addresses assigned to the receiving interface, and loopback is another.
        namespace.sysctl("net/ipv4/conf/all/arp_ignore", "1")?;
        namespace.sysctl("net/ipv4/conf/all/arp_announce", "2")?;
        namespace.ip(&[
            &format!("addr add {}/32 dev lo", Plan::VIP.v4()),
            &format!("addr add {}/128 dev lo nodad", Plan::VIP.v6()),
        ])?;
    }
    if kind == Backends::Routed {
        for visitor in [Plan::CLIENT, Plan::ATTACKER] {
            route_through_balancer(&namespace, visitor)?;
        }
    }
    Ok(namespace)
}

/// A namespace plugged into the switch, with its addresses.
fn leaf(footprint: &Footprint, switch: &Namespace, role: &str, host: Host) -> Result<Namespace> {
    let namespace = Namespace::create(footprint, role)?;
    let (device, port) = (Plan::INTERFACE, port(role));
    switch.ip(&[
        &format!(
            "link add {port} type veth peer name {device} address {} netns {}",
            host.mac(),
            namespace.name()
        ),
        &format!("link set {port} master br0 up"),
    ])?;
    namespace.sysctl(&format!("net/ipv4/conf/{device}/rp_filter"), "0")?;
    namespace.sysctl("net/ipv4/conf/all/rp_filter", "0")?;
    namespace.sysctl(&format!("net/ipv4/conf/{device}/accept_redirects"), "0")?;
    namespace.sysctl(&format!("net/ipv6/conf/{device}/accept_redirects"), "0")?;
    finish_checksums(&namespace, device)?;
    namespace.ip(&[
        &format!("link set {device} up"),
        &format!("addr add {}/{} dev {device}", host.v4(), Plan::PREFIX_V4),
        &format!(
            "addr add {}/{} dev {device} nodad",
            host.v6(),
            Plan::PREFIX_V6
        ),
    ])?;
    Ok(namespace)
}
