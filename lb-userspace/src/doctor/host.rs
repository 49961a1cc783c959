//! What this host has and how it is set.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::Finding;
use super::exits::{Exit, Far, Port, Runs};
use super::offloads::Offloads;
use crate::api::types::Status;
use crate::dataplane;
use crate::document;
use crate::route::{Link, Routes, XdpMode};

/// The host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    /// What `uname -r` prints.
    pub kernel: String,
    /// Whether the kernel describes its types, which the program is loaded with.
    pub btf: bool,
    /// The features that are off because the kernel lacks what they need.
    pub off: Vec<&'static str>,
    /// `net.ipv4.ip_forward`. The program forwards by itself and does not need it.
    pub ipv4_forward: Option<bool>,
    /// `net.ipv6.conf.all.forwarding`, likewise.
    pub ipv6_forward: Option<bool>,
}

/// One of the document's interfaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Where an XDP program runs on it: `native`, `generic`, `offloaded`; `None` without one.
    pub xdp: Option<&'static str>,
    /// Why there, as the daemon says that runs.
    pub xdp_why: Option<String>,
    /// Whether what the program sends back arrives.
    pub tx: Exit,
    /// Whether what it redirects here from other interfaces does.
    pub redirect: Exit,
    /// Its driver.
    pub driver: Option<String>,
    /// Receive queues, over which packets spread to CPUs.
    pub queues: Option<usize>,
    /// Longest packet in bytes.
    pub mtu: u32,
    /// The stricter of `net.ipv4.conf.all.rp_filter` and its own: 0, 1 (strict), 2 (loose). The
    /// program sees packets before it.
    pub rp_filter: Option<u8>,
    /// Whether the card merges packets.
    pub lro: Option<bool>,
    /// Whether the kernel does.
    pub gro: Option<bool>,
    /// Whether the card takes VLAN tags off.
    pub rx_vlan: Option<bool>,
    /// The VLAN devices above it.
    pub vlans: Vec<String>,
    /// What is amiss.
    pub findings: Vec<Finding>,
}

/// Looks at the host.
pub(super) fn host() -> Host {
    let is_on = |path: &str| read(path).map(|value| value != "0");
    Host {
        kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        off: dataplane::Host::probe().map_or_else(|_| Vec::new(), |host| host.off()),
        ipv4_forward: is_on("/proc/sys/net/ipv4/ip_forward"),
        ipv6_forward: is_on("/proc/sys/net/ipv6/conf/all/forwarding"),
    }
}

/// Looks at an interface of the document. What leaves it is found out later.
pub(super) async fn interface(
    routes: &Routes,
    name: &str,
    wanted: document::XdpMode,
    daemon: Option<&Status>,
) -> (Interface, Option<Port>) {
    let offloads = Offloads::read(name);
    let vlans = vlans(name, &read("/proc/net/vlan/config").unwrap_or_default());
    let (link, findings) = match routes.interface(name).await {
        Ok(link) => {
            let mut findings = judge(&link);
            let runs = runs(&link, wanted);
            findings.extend(judge_offloads(name, &offloads, runs, &vlans));
            (Some(link), findings)
        }
        Err(error) => {
            let remedy = vec!["ip -brief link".to_owned()];
            let missing = Finding::new("interface", error.to_string(), remedy);
            (None, vec![missing])
        }
    };
    let strictness = |scope: &str| -> Option<u8> {
        let path = format!("/proc/sys/net/ipv4/conf/{scope}/rp_filter");
        read(&path)?.parse().ok()
    };
    let untried = Exit::untried("there is no such interface");
    let port = match &link {
        Some(link) => Some(port(routes, link, wanted, true).await),
        None => None,
    };
    let interface = Interface {
        name: name.to_owned(),
        xdp: link.as_ref().and_then(mode),
        xdp_why: link.as_ref().and_then(|link| why(link, daemon?)),
        tx: untried.clone(),
        redirect: untried,
        driver: offloads.driver,
        queues: offloads.queues.or_else(|| queues(link.as_ref()?)),
        mtu: link.as_ref().map_or(0, |link| link.mtu),
        rp_filter: strictness("all").max(strictness(name)),
        lro: offloads.lro,
        gro: offloads.gro,
        rx_vlan: offloads.rx_vlan,
        vlans,
        findings,
    };
    (interface, port)
}

/// What matters of an interface when packets leave by it.
pub(super) async fn port(
    routes: &Routes,
    link: &Link,
    wanted: document::XdpMode,
    listed: bool,
) -> Port {
    let far = match link.other {
        Some(other) => routes.other_end(other).await.ok().flatten(),
        None => None,
    };
    Port {
        index: link.index,
        name: link.name.clone(),
        driver: Offloads::read(&link.name).driver,
        runs: runs(link, wanted),
        attached: link.xdp.is_some(),
        listed,
        far: far.map(|far| Far {
            attached: far
                .xdp
                .is_some_and(|program| program.mode != XdpMode::Generic),
            name: far.name,
        }),
    }
}

fn judge(link: &Link) -> Vec<Finding> {
    let name = &link.name;
    let mut findings = Vec::new();
    if !link.up {
        let remedy = vec![format!("ip link set {name} up")];
        findings.push(Finding::new(
            "down",
            format!("{name} is switched off"),
            remedy,
        ));
    }
    if link.mac.is_none() {
        let problem = format!("{name} has no Ethernet address, and the program sees only Ethernet");
        let remedy = vec!["in the document: another of `ip -brief link` in interfaces".to_owned()];
        findings.push(Finding::new("no-ethernet", problem, remedy));
    }
    findings
}

/// What a card does to packets before the program sees them.
fn judge_offloads(name: &str, set: &Offloads, runs: Runs, vlans: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if runs == Runs::Generic && set.gro == Some(true) {
        let problem = format!(
            "{name} merges segments before generic XDP sees them, and what is sent then is longer than the link takes: long transfers break"
        );
        let remedy = vec![format!("ethtool -K {name} gro off")];
        findings.push(Finding::new("gro", problem, remedy));
    }
    if runs == Runs::Native && set.lro == Some(true) {
        let problem = format!(
            "{name} merges segments in the card, of which the program sees the beginning only"
        );
        let remedy = vec![format!("ethtool -K {name} lro off")];
        findings.push(Finding::new("lro", problem, remedy));
    }
    // On a veth it is the sender who leaves the tag out of the packet.
    let is_card = set.driver.as_deref() != Some("veth");
    if runs == Runs::Native && set.rx_vlan == Some(true) && !vlans.is_empty() && is_card {
        let vlans = vlans.join(", ");
        let problem = format!(
            "{name} takes VLAN tags off before the program sees a packet, which takes those of {vlans} for untagged ones"
        );
        let remedy = vec![format!("ethtool -K {name} rxvlan off")];
        findings.push(Finding::new("rx-vlan", problem, remedy));
    }
    findings
}

fn mode(link: &Link) -> Option<&'static str> {
    Some(match link.xdp?.mode {
        XdpMode::Native => "native",
        XdpMode::Generic => "generic",
        XdpMode::Offloaded => "offloaded",
        XdpMode::Multiple => "multiple",
    })
}

/// Where the program runs, or would if the document's word alone decides.
fn runs(link: &Link, wanted: document::XdpMode) -> Runs {
    match (link.xdp.map(|xdp| xdp.mode), wanted) {
        (Some(XdpMode::Native), _) | (None, document::XdpMode::Native) => Runs::Native,
        (Some(XdpMode::Generic), _) | (None, document::XdpMode::Generic) => Runs::Generic,
        _ => Runs::Unknown,
    }
}

/// What the daemon says of its own program on the interface.
fn why(link: &Link, daemon: &Status) -> Option<String> {
    let mut ours = daemon.interfaces.iter();
    let ours = ours.find(|one| one.name == link.name && one.index == link.index)?;
    (mode(link)? == ours.mode).then(|| ours.why.clone())
}

/// For drivers that do not tell: from sysfs, which shows the interfaces of the network namespace that it was mounted in: another one
/// of the same name and number has another address.
fn queues(link: &Link) -> Option<usize> {
    let says = |what: &str| read(&format!("/sys/class/net/{}/{what}", link.name));
    let mac = link
        .mac
        .map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":"));
    let is_it = says("ifindex") == Some(link.index.to_string()) && says("address") == mac;
    if !is_it {
        return None;
    }
    let entries = fs::read_dir(format!("/sys/class/net/{}/queues", link.name)).ok()?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let queues = names.filter(|name| name.to_string_lossy().starts_with("rx-"));
    Some(queues.count())
}

/// The VLAN devices above an interface, of `/proc/net/vlan/config`: name, number and device between
/// bars, below two lines of headings. There is no such file without the kernel's module.
fn vlans(interface: &str, config: &str) -> Vec<String> {
    let devices = config.lines().filter_map(|line| {
        let mut columns = line.split('|').map(str::trim);
        let (name, _, below) = (columns.next()?, columns.next()?, columns.next()?);
        (below == interface).then(|| name.to_owned())
    });
    devices.collect()
}

fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offloads_matter_where_they_break_something() {
        let all = Offloads {
            driver: Some("ixgbe".to_owned()),
            queues: Some(4),
            lro: Some(true),
            gro: Some(true),
            rx_vlan: Some(true),
        };
        let vlans = ["eth0.7".to_owned()];
        let codes = |set: &Offloads, runs, vlans: &[String]| -> Vec<&str> {
            let findings = judge_offloads("eth0", set, runs, vlans);
            findings.iter().map(|finding| finding.code).collect()
        };
        assert_eq!(codes(&all, Runs::Native, &vlans), ["lro", "rx-vlan"]);
        assert_eq!(codes(&all, Runs::Native, &[]), ["lro"]);
        assert_eq!(codes(&all, Runs::Generic, &vlans), ["gro"]);
        assert!(codes(&all, Runs::Unknown, &vlans).is_empty());
        let veth = Offloads {
            driver: Some("veth".to_owned()),
            lro: None,
            ..all
        };
        assert!(codes(&veth, Runs::Native, &vlans).is_empty());
        assert!(codes(&Offloads::default(), Runs::Generic, &vlans).is_empty());
    }

    #[test]
    fn the_kernel_lists_vlan_devices() {
        let config = "VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\n\
                      eth0.7         | 7  | eth0\neth1.9         | 9  | eth1\nsales          | 12  | eth0\n";
        assert_eq!(vlans("eth0", config), ["eth0.7", "sales"]);
        assert!(vlans("eth2", config).is_empty() && vlans("eth0", "").is_empty());
    }
}
