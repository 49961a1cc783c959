//! `aya::Pod` for the map types: user space may read and write them as plain bytes.
#![expect(unsafe_code, reason = "`aya::Pod` is an unsafe trait")]

use super::{
    Backend, Datagram, DatagramKey, Flow, FlowKey, PathMtu, Reverse, Row, Rule, Service,
    ServiceKey, Settings, Tally, Trace, Traffic, V4, V6,
};

macro_rules! pod {
    ($($type:ty),* $(,)?) => {
        $(
            // SAFETY: `repr(C)` over integers, without implicit padding (each size is asserted
            // beside its type), and valid for any bytes.
            unsafe impl aya::Pod for $type {}
        )*
    };
}

pod!(
    Backend,
    Datagram,
    DatagramKey,
    Flow,
    FlowKey<V4>,
    FlowKey<V6>,
    Reverse,
    PathMtu,
    Row,
    Rule,
    Service,
    ServiceKey<V4>,
    ServiceKey<V6>,
    Settings,
    Tally,
    Trace,
    Traffic,
    V4,
    V6,
);
