//! The document that `cargo xtask run` starts with.
//!
//! Only text: the daemon judges it.

use std::fmt::Write;
use std::time::Duration;

use super::plan::Plan;

/// Service names in the order of the document: HTTP over IPv4, over IPv6, and UDP.
pub const SERVICES: [&str; 3] = ["web", "web6", "echo"];
/// Drops what comes from the set `blocklist`, which holds the attacker's IPv4 address.
pub const RULE_SET: &str = "no blocklisted sources";
/// Drops what comes from the attacker's IPv6 address.
pub const RULE_ADDRESS: &str = "no attacker over IPv6";
/// Time between two probes.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// How long one probe may take.
pub const TIMEOUT: Duration = Duration::from_millis(300);
/// Failed probes in a row that take a backend out.
pub const FALL: u32 = 2;
/// Successful probes in a row that bring it back.
pub const RISE: u32 = 2;

/// The address of backend `number` in the service, as the command line takes it.
pub fn backend_of(service: &str, number: u8) -> String {
    let host = Plan::backend(number);
    match service {
        "web6" => host.v6_port(Plan::HTTP_PORT),
        _ => host.v4_port(Plan::HTTP_PORT),
    }
    .to_string()
}

/// Three services over backends 1 to `backends`, a firewall against the attacker, and metrics.
pub fn document(backends: u8) -> String {
    let vips = [
        format!("{}/tcp", Plan::VIP.v4_port(Plan::VIP_PORT)),
        format!("{}/tcp", Plan::VIP.v6_port(Plan::VIP_PORT)),
        format!("{}/udp", Plan::VIP.v4_port(Plan::VIP_UDP_PORT)),
    ];
    let mut text = format!(
        "interfaces = [\"{}\"]\nmetrics = \"{}\"\n",
        Plan::INTERFACE,
        Plan::BALANCER.v4_port(Plan::METRICS_PORT)
    );
    for (name, vip) in SERVICES.into_iter().zip(vips) {
        let members = (1..=backends).fold(String::new(), |members, number| {
            members + "  { address = \"" + &backend_of(name, number) + "\" },\n"
        });
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n[[service]]\nname = \"{name}\"\nvip = \"{vip}\"\nscheduler = \"round-robin\"\n\
             forward = \"full-nat\"\ncheck = {{ kind = \"http\", path = \"/healthz\", port = {}, \
             interval = \"{}ms\", timeout = \"{}ms\", rise = {RISE}, fall = {FALL} }}\n\
             backend = [\n{members}]\n",
            Plan::HTTP_PORT,
            INTERVAL.as_millis(),
            TIMEOUT.as_millis()
        );
    }
    let _ = write!(
        text,
        "\n[[firewall.set]]\nname = \"blocklist\"\n\
         entries = [\"{}/32\", \"203.0.113.0/24\"]\n\
         \n[[firewall.rule]]\nname = \"{RULE_SET}\"\nsource = \"@blocklist\"\naction = \"drop\"\n\
         \n[[firewall.rule]]\nname = \"{RULE_ADDRESS}\"\nsource = [\"{}/128\"]\n\
         action = \"drop\"\n",
        Plan::ATTACKER.v4(),
        Plan::ATTACKER.v6()
    );
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn is_toml_with_every_backend_in_every_service() {
        let parsed: toml::Table = document(3).parse().unwrap();
        let services = parsed["service"].as_array().unwrap();
        assert_eq!(services.len(), SERVICES.len());
        for service in services {
            assert_eq!(service["backend"].as_array().unwrap().len(), 3);
        }
        assert_eq!(
            services[1]["backend"][2]["address"].as_str(),
            Some("[fd77::13]:8080")
        );
        assert_eq!(parsed["firewall"]["rule"].as_array().unwrap().len(), 2);
    }
}
