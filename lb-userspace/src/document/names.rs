//! How the document's words are written: `Display` of its enums, and what a rule matches.
//!
//! Everything printed here can be pasted back into a document.

use std::fmt;
use std::net::SocketAddr;

use super::{Action, Forward, Protocol, Rule, Scheduler, Vip, XdpMode};

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = SocketAddr::new(self.address, self.port);
        write!(f, "{address}/{}", self.protocol)
    }
}

/// A word of the document that stands for a value.
pub(super) trait Word: Copy + 'static {
    /// Every word with its value, in the order in which messages list them.
    const WORDS: &'static [(&'static str, Self)];
}

impl Word for XdpMode {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("native", Self::Native),
        ("generic", Self::Generic),
    ];
}

impl Word for Protocol {
    const WORDS: &'static [(&'static str, Self)] = &[("tcp", Self::Tcp), ("udp", Self::Udp)];
}

impl Word for Scheduler {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("round-robin", Self::RoundRobin),
        ("weighted-round-robin", Self::WeightedRoundRobin),
    ];
}

impl Word for Forward {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("full-nat", Self::FullNat),
        ("nat", Self::Nat),
        ("dsr", Self::Dsr),
        ("ipip", Self::Ipip),
        ("gue", Self::Gue),
    ];
}

impl Word for Action {
    const WORDS: &'static [(&'static str, Self)] =
        &[("accept", Self::Accept), ("drop", Self::Drop)];
}

/// Names of the IP protocols that rules may call by name.
pub(super) const PROTOCOLS: &[(&str, u8)] = &[("tcp", 6), ("udp", 17), ("icmp", 1), ("icmpv6", 58)];

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RoundRobin => "round-robin",
            Self::WeightedRoundRobin => "weighted-round-robin",
        })
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FullNat => "full-nat",
            Self::Nat => "nat",
            Self::Dsr => "dsr",
            Self::Ipip => "ipip",
            Self::Gue => "gue",
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Drop => "drop",
        })
    }
}

impl Rule {
    /// What the rule matches, in words of the document, such as
    /// `source @office, protocol tcp, port 22, 8000-8099`; `everything` without any condition.
    pub fn matches_text(&self) -> String {
        let mut parts = Vec::new();
        if !self.source.text.is_empty() {
            parts.push(format!("source {}", self.source.text.join(", ")));
        }
        if !self.destination.text.is_empty() {
            parts.push(format!("destination {}", self.destination.text.join(", ")));
        }
        if let Some(protocol) = self.protocol {
            parts.push(format!("protocol {}", protocol_text(protocol)));
        }
        if !self.port.is_empty() {
            parts.push(format!("port {}", ports_text(&self.port)));
        }
        if !self.source_port.is_empty() {
            parts.push(format!("source_port {}", ports_text(&self.source_port)));
        }
        if parts.is_empty() {
            return "everything".to_owned();
        }
        parts.join(", ")
    }
}

/// A protocol's name where the document has one, otherwise its number.
pub(super) fn protocol_text(protocol: u8) -> String {
    PROTOCOLS
        .iter()
        .find(|(_, number)| *number == protocol)
        .map_or_else(|| protocol.to_string(), |(name, _)| (*name).to_owned())
}

/// Inclusive ranges as the document writes them.
pub(super) fn ports_text(ports: &[(u16, u16)]) -> String {
    let words: Vec<String> = ports
        .iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::AddressMatch;

    /// Every word of a type is what its values print as, so listings can be pasted back.
    fn round_trip<W: Word + fmt::Display>() {
        for (word, value) in W::WORDS {
            assert_eq!(*word, value.to_string());
        }
    }

    #[test]
    fn words_are_what_values_print_as() {
        round_trip::<XdpMode>();
        round_trip::<Protocol>();
        round_trip::<Scheduler>();
        round_trip::<Forward>();
        round_trip::<Action>();
    }

    #[test]
    fn a_rule_says_what_it_matches() {
        let mut rule = Rule {
            name: "r".to_owned(),
            source: AddressMatch::default(),
            destination: AddressMatch::default(),
            protocol: None,
            port: Vec::new(),
            source_port: Vec::new(),
            action: Action::Drop,
        };
        assert_eq!(rule.matches_text(), "everything");
        rule.source.text = vec!["@office".to_owned(), "!192.0.2.1".to_owned()];
        rule.protocol = Some(6);
        rule.port = vec![(22, 22), (8000, 8099)];
        assert_eq!(
            rule.matches_text(),
            "source @office, !192.0.2.1, protocol tcp, port 22, 8000-8099"
        );
        rule.protocol = Some(47);
        rule.source.text.clear();
        rule.port.clear();
        assert_eq!(rule.matches_text(), "protocol 47");
    }
}
