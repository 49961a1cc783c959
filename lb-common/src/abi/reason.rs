//! Why a packet left the program: one counter, one metric label and one test for each.

/// Where a packet goes for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlet {
    /// To the host's network stack, untouched.
    Pass,
    /// Nowhere.
    Drop,
    /// Out of an interface, rewritten.
    Forward,
}

macro_rules! reasons {
    ($($(#[doc = $doc:expr])* $name:ident = $number:literal, $text:literal, $outlet:ident;)*) => {
        /// Why a packet left the program.
        #[repr(u32)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])* $name = $number,)*
        }

        impl Reason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in listings and metric labels.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Where packets go for this reason.
            pub const fn outlet(self) -> Outlet {
                match self { $(Self::$name => Outlet::$outlet,)* }
            }

            /// What it means, for `lb stats` and metric help.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*),)* }
            }
        }
    };
}

reasons! {
    /// Neither IPv4 nor IPv6, such as ARP.
    NotIp = 0, "not_ip", Pass;
    /// An address or port that no service has.
    NotOurs = 1, "not_ours", Pass;
    /// Ethernet broadcast or multicast.
    Multicast = 2, "multicast", Pass;
    /// A transport protocol that services do not balance.
    OtherProtocol = 3, "other_protocol", Pass;
    /// A header is cut off or contradicts itself.
    Malformed = 4, "malformed", Drop;
    /// More VLAN tags than can be looked behind.
    TooManyTags = 5, "too_many_tags", Drop;
    /// More IPv6 extension headers than can be looked behind.
    TooManyExtensions = 6, "too_many_extensions", Drop;
    /// A first fragment too short for its transport header, or a fragment that would overwrite
    /// one (RFC 1858).
    TinyFragment = 7, "tiny_fragment", Drop;
    /// A fragment to a VIP whose datagram's first was not seen, or that is not of TCP or UDP; or one of a
    /// flow between two address families.
    Fragment = 8, "fragment", Drop;
    /// A firewall rule or block said so.
    FirewallDrop = 9, "firewall_drop", Drop;
    /// The service has no healthy backend.
    NoBackend = 10, "no_backend", Drop;
    /// The way to the backend is not known yet.
    NoNextHop = 11, "no_next_hop", Drop;
    /// Every source port towards the backend is taken.
    NoPort = 12, "no_port", Drop;
    /// The flow table refused the entry.
    FlowTableFull = 13, "flow_table_full", Drop;
    /// The packet's hop limit is used up.
    HopLimit = 14, "hop_limit", Drop;
    /// A TCP reset of a connection that is not known.
    StrayReset = 15, "stray_reset", Drop;
    /// Sent to a backend.
    ToBackend = 16, "to_backend", Forward;
    /// A TCP packet in mid-connection of a flow that is not known, sent to a backend by hash.
    Stray = 17, "stray", Forward;
    /// A backend's reply, sent to the client.
    ToClient = 18, "to_client", Forward;
    /// What the rewrite rests on changed under it: a flow's entry went to another flow.
    RewriteFailed = 19, "rewrite_failed", Drop;
    /// With the tunnel's headers the packet is too long for the way to its backend.
    TooBig = 20, "too_big", Drop;
    /// The driver leaves no room for the tunnel's headers before the packet.
    NoHeadroom = 21, "no_headroom", Drop;
    /// An echo request to a VIP, answered.
    EchoReply = 22, "echo_reply", Forward;
    /// A packet too long for the way to its backend, whose sender was told so.
    TooBigTold = 23, "too_big_told", Forward;
    /// A UDP packet without a checksum, which IPv6 asks for, between two address families.
    NoChecksum = 24, "no_checksum", Drop;
    /// An ICMP error about a flow, sent to whoever sent the packet that it quotes.
    IcmpError = 25, "icmp_error", Forward;
    /// An ICMP error that a tunnel's packet was too long for the way to its backend, which the daemon
    /// heeds; the host gets it too.
    PathMtu = 26, "path_mtu", Pass;
    /// A fragment of which some was there already, which receivers may put together in another way than
    /// a firewall (RFC 5722).
    OverlappingFragment = 27, "overlapping_fragment", Drop;
    /// A packet whose hop limit is used up, whose sender was told so.
    HopLimitTold = 28, "hop_limit_told", Forward;
}

impl Reason {
    /// How many reasons there are.
    pub const COUNT: u32 = Self::ALL.len() as u32;

    /// The reason of a number.
    #[inline(always)]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_names_unique() {
        for (number, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number);
            assert_eq!(Reason::from_number(number as u32), Some(*reason));
            assert!(
                Reason::ALL
                    .iter()
                    .filter(|r| r.name() == reason.name())
                    .count()
                    == 1
            );
            assert!(!reason.meaning().trim().is_empty());
        }
        assert_eq!(Reason::from_number(Reason::COUNT), None);
    }
}
