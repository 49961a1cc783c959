//! How many of everything: each limit is a map's size or a loop's bound.

/// Most services.
pub const SERVICES: u32 = 1024;
/// Most backends over all services, and so the first id that is never given out.
pub const BACKENDS: u32 = 4096;
/// Slots over all services; a change needs room for the old and the new range.
pub const SLOTS: u32 = 262_144;
/// 64-bit words of one rule row.
pub const ROW_WORDS: u32 = 16;
/// Most rules, the block rule included.
pub const RULES: u32 = ROW_WORDS * 64;
/// Most distinct rule rows.
pub const ROWS: u32 = 65_536;
/// Most prefixes over all rules and sets, per family and direction.
pub const PREFIXES: u32 = 1_048_576;
/// Fewest entries of a flow table.
pub const FLOWS_MIN: u32 = 1024;
/// Most entries of a flow table.
pub const FLOWS_MAX: u32 = 8_388_608;
/// Entries of a pending table.
pub const PENDING: u32 = 65_536;
/// Most VLAN tags on a frame (IEEE 802.1ad: an S-tag and a C-tag).
pub const VLAN_TAGS: usize = 2;
/// Most IPv6 extension headers on a packet.
pub const EXTENSION_HEADERS: usize = 8;
/// Source ports tried for a new `full-nat` flow before it is dropped.
pub const PORT_TRIES: u32 = 12;
/// How many of these tries respect the full time that a port rests after its flow.
pub const PORT_TRIES_CALM: u32 = 8;

/// Backend addresses whose path MTU is remembered.
pub const PATHS: u32 = 1024;
/// Datagrams whose later fragments are waited for.
pub const DATAGRAMS: u32 = 16_384;
/// ICMP errors that a CPU sends in a tick, about a second.
pub const ERRORS: u32 = 100;

const _: () = assert!(
    SERVICES <= u16::MAX as u32,
    "`Reverse::service` has 16 bits"
);
const _: () = assert!(
    BACKENDS <= u16::MAX as u32,
    "`Flow::backend` and `Reverse::backend` have 16 bits"
);
