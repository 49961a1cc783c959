//! What user space fixes when it loads the program: frozen, read-only, known to the verifier,
//! which removes every branch that the settings rule out.

/// The stages that the configuration uses, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Features(pub u32);

impl Features {
    /// There are IPv4 services.
    pub const SERVICES_V4: Self = Self(1 << 0);
    /// There are IPv6 services.
    pub const SERVICES_V6: Self = Self(1 << 1);
    /// Some service has port 0, any port.
    pub const ANY_PORT: Self = Self(1 << 2);
    /// Some service forwards by `full-nat`.
    pub const FULL_NAT: Self = Self(1 << 3);
    /// Some service forwards by `dsr`.
    pub const DSR: Self = Self(1 << 4);
    /// There are firewall rules or blocks.
    pub const FIREWALL: Self = Self(1 << 5);
    /// Some rule matches source addresses.
    pub const RULE_SOURCE: Self = Self(1 << 6);
    /// Some rule matches destination addresses.
    pub const RULE_DESTINATION: Self = Self(1 << 7);
    /// Some rule matches the protocol or destination ports.
    pub const RULE_PORT: Self = Self(1 << 8);
    /// Some rule matches source ports.
    pub const RULE_SOURCE_PORT: Self = Self(1 << 9);
    /// Every decision is logged.
    pub const DEBUG: Self = Self(1 << 10);
    /// The last decision is left in the trace map.
    pub const TRACE: Self = Self(1 << 11);
    /// `bpf_ktime_get_coarse_ns` exists (kernel 5.11).
    pub const COARSE_CLOCK: Self = Self(1 << 12);
    /// Some service forwards by `ipip`.
    pub const IPIP: Self = Self(1 << 13);
    /// Some service forwards by `gue`.
    pub const GUE: Self = Self(1 << 14);
    /// Some service forwards by `nat`.
    pub const NAT: Self = Self(1 << 15);
    /// Some service forwards by `full-nat` to a backend of the other address family.
    pub const CROSSING: Self = Self(1 << 16);

    /// Names for `lb status`, in bit order.
    pub const NAMES: [&'static str; 17] = [
        "services-v4",
        "services-v6",
        "any-port",
        "full-nat",
        "dsr",
        "firewall",
        "rule-source",
        "rule-destination",
        "rule-port",
        "rule-source-port",
        "debug",
        "trace",
        "coarse-clock",
        "ipip",
        "gue",
        "nat",
        "crossing",
    ];

    /// The modes of forwarding.
    const MODES: Self =
        Self(Self::FULL_NAT.0 | Self::DSR.0 | Self::IPIP.0 | Self::GUE.0 | Self::NAT.0);

    /// Whether all bits of `other` are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether this mode of forwarding is used and no other.
    #[inline(always)]
    pub const fn has_only_mode(self, mode: Self) -> bool {
        self.0 & Self::MODES.0 == mode.0
    }

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `self` with the bits of `other` if `condition` holds.
    #[must_use]
    pub const fn with_if(self, other: Self, condition: bool) -> Self {
        if condition { self.with(other) } else { self }
    }
}

/// The frozen settings, one read-only variable of the program.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// The stages in use.
    pub features: Features,
    /// First source port that `full-nat` may use.
    pub nat_port_first: u16,
    /// How many ports from there; 0 means none.
    pub nat_port_count: u16,
    /// Words of each rule row in use, at most [`super::limits::ROW_WORDS`].
    pub rule_words: u32,
    /// Row of IPv4 sources that no prefix covers.
    pub source_row_v4: u32,
    /// Row of IPv6 sources that no prefix covers.
    pub source_row_v6: u32,
    /// Row of IPv4 destinations that no prefix covers.
    pub destination_row_v4: u32,
    /// Row of IPv6 destinations that no prefix covers.
    pub destination_row_v6: u32,
}

const _: () = assert!(size_of::<Settings>() == 28);
