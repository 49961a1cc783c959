//! Questions to a real kernel, in network namespaces made for each test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lab;
mod program;

use std::time::Duration;

use tokio::time::timeout;

use self::lab::{FAR_MAC, Lab, NEAR_MAC};
use super::*;

/// How long anything that must happen may take. The kernel repeats a lost solicitation after a
/// second, and gives up after three.
const PATIENCE: Duration = Duration::from_secs(10);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

async fn hop(routes: &Routes, to: &str) -> NextHop {
    routes.next_hop(address(to)).await.unwrap()
}

async fn failure(routes: &Routes, to: &str) -> RouteError {
    routes.next_hop(address(to)).await.unwrap_err()
}

/// Asks after each change until the next hop is as wanted.
async fn until(
    changes: &mut Changes,
    routes: &Routes,
    to: &str,
    wanted: impl Fn(&NextHop) -> bool,
) -> NextHop {
    let wait = async {
        loop {
            changes.changed().await.unwrap();
            let hop = hop(routes, to).await;
            if wanted(&hop) {
                return hop;
            }
        }
    };
    timeout(PATIENCE, wait).await.unwrap()
}

#[test]
fn neighbour_on_the_link() {
    Lab::run(async |lab| {
        lab.near("neighbour add 10.0.0.2 lladdr 02:00:00:00:00:0b dev veth0");
        lab.near("neighbour add 2001:db8::2 lladdr 02:00:00:00:00:0b dev veth0");
        let routes = Routes::open().await.unwrap();
        let veth0 = routes.interface("veth0").await.unwrap().index;
        for (own, to) in [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")] {
            let expected = NextHop {
                interface: veth0,
                interface_name: "veth0".to_owned(),
                source_mac: NEAR_MAC,
                destination_mac: Some(FAR_MAC),
                via: address(to),
                source: address(own),
                mtu: 1400,
            };
            assert_eq!(hop(&routes, to).await, expected);
        }
        let mapped = hop(&routes, "::ffff:10.0.0.2").await;
        assert_eq!(mapped.via, address("10.0.0.2"));
    });
}

#[test]
fn gateway() {
    Lab::run(async |lab| {
        lab.near("neighbour add 10.0.0.2 lladdr 02:00:00:00:00:0b dev veth0");
        lab.near("neighbour add fe80::2 lladdr 02:00:00:00:00:0b dev veth0");
        lab.near("address add 10.0.0.7/24 dev veth0");
        lab.near("route add 192.0.2.0/24 via 10.0.0.2 src 10.0.0.7 mtu 1300");
        lab.near("route add 198.51.100.0/24 via inet6 fe80::2 dev veth0");
        lab.near("route add 2001:db8:1::/64 via fe80::2 dev veth0");
        let routes = Routes::open().await.unwrap();

        let v4 = hop(&routes, "192.0.2.9").await;
        assert_eq!(
            (v4.via, v4.source),
            (address("10.0.0.2"), address("10.0.0.7"))
        );
        assert_eq!((v4.destination_mac, v4.mtu), (Some(FAR_MAC), 1300));

        let v6 = hop(&routes, "2001:db8:1::9").await;
        assert_eq!(
            (v6.via, v6.source),
            (address("fe80::2"), address("2001:db8::1"))
        );
        assert_eq!((v6.destination_mac, v6.mtu), (Some(FAR_MAC), 1400));

        let v4_over_v6 = hop(&routes, "198.51.100.9").await;
        assert_eq!(
            (v4_over_v6.via, v4_over_v6.destination_mac),
            (address("fe80::2"), Some(FAR_MAC))
        );
    });
}

#[test]
fn host_without_an_address_has_no_source() {
    Lab::run(async |lab| {
        lab.near("address flush dev veth0");
        lab.near("address flush dev lo");
        lab.near("route add 10.0.0.0/24 dev veth0");
        let routes = Routes::open().await.unwrap();
        assert_eq!(hop(&routes, "10.0.0.2").await.source, address("0.0.0.0"));
    });
}

#[test]
fn unresolved_neighbours_are_resolved_when_solicited() {
    Lab::run(async |_lab| {
        let mut changes = watch().await.unwrap();
        let routes = Routes::open().await.unwrap();
        for to in ["10.0.0.2", "2001:db8::2"] {
            let unresolved = hop(&routes, to).await;
            assert_eq!(unresolved.destination_mac, None);
            routes.solicit(&unresolved).await.unwrap();
            let resolved = until(&mut changes, &routes, to, |hop| {
                hop.destination_mac.is_some()
            })
            .await;
            let expected = NextHop {
                destination_mac: Some(FAR_MAC),
                ..unresolved
            };
            assert_eq!(resolved, expected);
            // One that is known already takes no harm.
            routes.solicit(&resolved).await.unwrap();
        }
    });
}

#[test]
fn neighbour_that_does_not_answer_stays_unresolved() {
    Lab::run(async |lab| {
        lab.near("neighbour add 10.0.0.3 dev veth0 nud failed");
        let routes = Routes::open().await.unwrap();
        assert_eq!(hop(&routes, "10.0.0.3").await.destination_mac, None);
    });
}

#[test]
fn changed_mac_is_noticed() {
    Lab::run(async |lab| {
        lab.near("neighbour add 10.0.0.2 lladdr 02:00:00:00:00:0b dev veth0");
        let mut changes = watch().await.unwrap();
        let routes = Routes::open().await.unwrap();
        assert_eq!(
            hop(&routes, "10.0.0.2").await.destination_mac,
            Some(FAR_MAC)
        );
        lab.near("neighbour replace 10.0.0.2 lladdr 02:00:00:00:00:99 dev veth0");
        let mac = Some([2, 0, 0, 0, 0, 0x99]);
        until(&mut changes, &routes, "10.0.0.2", |hop| {
            hop.destination_mac == mac
        })
        .await;
    });
}

#[test]
fn every_kind_of_change_is_noticed() {
    Lab::run(async |lab| {
        for words in [
            "neighbour add 10.0.0.9 lladdr 02:00:00:00:00:0b dev veth0",
            "neighbour del 10.0.0.9 dev veth0",
            "route add 192.0.2.0/24 via 10.0.0.2",
            "-6 route add 2001:db8:1::/64 via fe80::2 dev veth0",
            "rule add to 192.0.2.0/24 table 99",
            "-6 rule add to 2001:db8:1::/64 table 99",
            "address add 10.0.0.9/24 dev veth0",
            "address add 2001:db8::9/64 dev veth0 nodad",
            "link set veth0 mtu 1350",
        ] {
            // A watch of its own, so that it is this step that tells and not the last one.
            let mut changes = watch().await.unwrap();
            lab.near(words);
            let change = timeout(PATIENCE, changes.changed()).await;
            assert!(matches!(change, Ok(Ok(()))), "ip {words}: {change:?}");
        }
    });
}

#[test]
fn addresses_without_a_route() {
    Lab::run(async |lab| {
        lab.near("route add blackhole 203.0.113.0/24");
        lab.near("route add prohibit 198.51.100.0/24");
        lab.near("-6 route add unreachable 2001:db8:2::/64");
        let routes = Routes::open().await.unwrap();
        for to in [
            "192.0.2.1",
            "203.0.113.1",
            "198.51.100.1",
            "2001:db8:1::1",
            "2001:db8:2::1",
        ] {
            let error = failure(&routes, to).await;
            assert!(matches!(error, RouteError::NoRoute { .. }), "{to}: {error}");
            let remedy = format!("`ip route get {to}`");
            assert!(error.to_string().contains(&remedy), "{error}");
        }
    });
}

#[test]
fn addresses_that_are_no_other_host() {
    Lab::run(async |lab| {
        lab.near("route add 239.0.0.0/8 dev veth0");
        let routes = Routes::open().await.unwrap();
        for to in ["10.0.0.1", "2001:db8::1", "127.0.0.1", "::1"] {
            let error = failure(&routes, to).await;
            assert!(matches!(error, RouteError::Local { .. }), "{to}: {error}");
        }
        for to in ["10.0.0.255", "239.1.1.1"] {
            let error = failure(&routes, to).await;
            assert!(
                matches!(error, RouteError::NotUnicast { .. }),
                "{to}: {error}"
            );
        }
    });
}

#[test]
fn devices_without_ethernet() {
    Lab::run(async |lab| {
        lab.near("route add 192.0.2.0/24 dev lo");
        lab.near("tuntap add name tun0 mode tun");
        lab.near("link set tun0 up");
        lab.near("route add 198.51.100.0/24 dev tun0");
        let routes = Routes::open().await.unwrap();
        for (to, device) in [("192.0.2.1", "lo"), ("198.51.100.1", "tun0")] {
            let error = failure(&routes, to).await;
            assert!(
                matches!(error, RouteError::NoEthernet { .. }),
                "{to}: {error}"
            );
            assert!(error.to_string().contains(device), "{error}");
        }
        assert_eq!(routes.interface("lo").await.unwrap().mac, None);
    });
}

#[test]
fn interfaces() {
    Lab::run(async |lab| {
        let routes = Routes::open().await.unwrap();
        let link = routes.interface("veth0").await.unwrap();
        let expected = Link {
            index: link.index,
            name: "veth0".to_owned(),
            mac: Some(NEAR_MAC),
            mtu: 1400,
            up: true,
            xdp: None,
            other: link.other,
        };
        assert_eq!(link, expected);
        assert!(link.index > 0);
        lab.near("link set veth0 down");
        assert!(!routes.interface("veth0").await.unwrap().up);

        for name in ["absent0", "", "a-name-of-more-than-fifteen"] {
            let error = routes.interface(name).await.unwrap_err();
            assert!(matches!(error, RouteError::NoInterface { .. }), "{error}");
            assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
        }
    });
}

#[test]
fn attached_programs() {
    Lab::run(async |_lab| {
        let routes = Routes::open().await.unwrap();
        let index = routes.interface("veth0").await.unwrap().index;
        let program = program::load();
        for mode in [XdpMode::Generic, XdpMode::Native] {
            program.attach(index, mode).await;
            let xdp = routes.interface("veth0").await.unwrap().xdp;
            assert_eq!(
                xdp,
                Some(Xdp {
                    program: program.id(),
                    mode
                })
            );
            program::detach(index, mode).await;
            assert_eq!(routes.interface("veth0").await.unwrap().xdp, None);
        }
    });
}
