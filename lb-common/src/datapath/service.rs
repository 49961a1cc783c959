//! Service lookup: whose packet is it?

use super::{Env, Tables, has_services};
use crate::abi::{Features, FlowKey, ServiceKey};
use crate::wire::Family;

/// The service of an exact port, or else the one for any port.
#[inline(always)]
pub(super) fn lookup<A: Family, E: Env + Tables<A>>(
    env: &E,
    flow: &FlowKey<A>,
) -> Option<<E as Tables<A>>::ServiceCell> {
    if !has_services::<A, E>(env) {
        return None;
    }
    let mut key = ServiceKey::new(flow.local, flow.local_port, flow.protocol);
    let exact = env.service(&key);
    if exact.is_some() || !env.features().has(Features::ANY_PORT) {
        return exact;
    }
    key.port = 0;
    env.service(&key)
}

/// Whether any service has this address.
#[inline(always)]
pub(super) fn is_vip<A: Family, E: Env + Tables<A>>(env: &E, address: A) -> bool {
    let key = ServiceKey::new(address, 0, 0);
    has_services::<A, E>(env) && env.service(&key).is_some()
}
