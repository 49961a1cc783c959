//! The kernel's maps as the view that all rings share.

use std::collections::BTreeMap;
use std::net::IpAddr;

use aya::Pod;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use lb_common::abi::address::narrow;
use lb_common::abi::{
    Backend, Datagram, DatagramKey, Flow, FlowKey, PathMtu, Reverse, Tally, Ticks, Traffic, V4, V6,
};
use lb_userspace::dataplane::Generation;

use crate::ring::{FlowView, State, Table, Tuple};
use crate::world::{Member, reverse_view, tuple};

const FLOWS_V4: [(&str, Table); 2] = [
    ("PENDING_V4", Table::Pending),
    ("FLOWS_V4", Table::Established),
];
const FLOWS_V6: [(&str, Table); 2] = [
    ("PENDING_V6", Table::Pending),
    ("FLOWS_V6", Table::Established),
];
const REVERSES_V4: [(&str, Table); 2] = [
    ("PENDING_REVERSE_V4", Table::Pending),
    ("REVERSE_V4", Table::Established),
];
const REVERSES_V6: [(&str, Table); 2] = [
    ("PENDING_REVERSE_V6", Table::Pending),
    ("REVERSE_V6", Table::Established),
];

/// Services, backends and rules that a test may number; ids beyond are not looked at.
const IDS: u32 = 256;

/// Everything that the maps remember and count.
pub(super) fn state(generation: &Generation, now: Ticks) -> State {
    let mut state = State {
        cursors: cursors(generation),
        paths: entries::<[u64; 2], PathMtu>(generation, "PATH_MTUS")
            .into_iter()
            .map(|(address, path)| (narrow(address), path.mtu))
            .collect(),
        reasons: counters(generation, "REASON_TALLY", Tally::merge),
        rules: counters(generation, "RULE_TALLY", Tally::merge),
        services: counters(generation, "SERVICE_TRAFFIC", Traffic::merge),
        backends: counters(generation, "BACKEND_TRAFFIC", Traffic::merge),
        ..State::default()
    };
    flows::<V4>(generation, FLOWS_V4, now, &mut state);
    flows::<V6>(generation, FLOWS_V6, now, &mut state);
    reverses::<V4>(generation, REVERSES_V4, now, &mut state);
    reverses::<V6>(generation, REVERSES_V6, now, &mut state);
    state
}

fn flows<A: Member>(
    generation: &Generation,
    maps: [(&'static str, Table); 2],
    now: Ticks,
    state: &mut State,
) where
    FlowKey<A>: Pod,
{
    for (name, table) in maps {
        for (key, flow) in entries::<FlowKey<A>, Flow>(generation, name) {
            let view = FlowView {
                backend: flow.backend.into(),
                incarnation: flow.incarnation,
                age: now.since(flow.seen),
                source_port: flow.source_port,
                state: flow.state,
            };
            state.flows.insert((table, tuple(&key)), view);
        }
    }
}

fn reverses<A: Member>(
    generation: &Generation,
    maps: [(&'static str, Table); 2],
    now: Ticks,
    state: &mut State,
) where
    FlowKey<A>: Pod,
    Reverse: Pod,
{
    for (name, table) in maps {
        for (key, reverse) in entries::<FlowKey<A>, Reverse>(generation, name) {
            let view = reverse_view(&reverse, now);
            state.reverses.insert((table, tuple(&key)), view);
        }
    }
}

/// Makes every entry older, or younger by a negative number; false if one would have been made before
/// the machine started.
pub(super) fn make_older(generation: &mut Generation, ticks: i32) -> bool {
    make_flows_older::<V4>(generation, FLOWS_V4, ticks)
        && make_flows_older::<V6>(generation, FLOWS_V6, ticks)
        && make_reverses_older::<V4>(generation, REVERSES_V4, ticks)
        && make_reverses_older::<V6>(generation, REVERSES_V6, ticks)
        && rewrite(
            generation,
            "DATAGRAMS",
            |datagram: &mut Datagram, _: &DatagramKey| older(&mut datagram.seen, ticks),
        )
}

fn make_flows_older<A: Member>(
    generation: &mut Generation,
    maps: [(&'static str, Table); 2],
    ticks: i32,
) -> bool
where
    FlowKey<A>: Pod,
{
    maps.iter().all(|(name, _)| {
        rewrite(generation, name, |flow: &mut Flow, _: &FlowKey<A>| {
            older(&mut flow.seen, ticks)
        })
    })
}

fn make_reverses_older<A: Member>(
    generation: &mut Generation,
    maps: [(&'static str, Table); 2],
    ticks: i32,
) -> bool
where
    FlowKey<A>: Pod,
    Reverse: Pod,
{
    maps.iter().all(|(name, _)| {
        rewrite(generation, name, |way: &mut Reverse, _: &FlowKey<A>| {
            older(&mut way.seen, ticks)
        })
    })
}

fn older(seen: &mut Ticks, ticks: i32) -> bool {
    let earlier = seen.0.checked_add_signed(-ticks);
    *seen = Ticks(earlier.unwrap_or_default());
    earlier.is_some()
}

fn rewrite<K: Pod, V: Pod>(
    generation: &mut Generation,
    name: &'static str,
    change: impl Fn(&mut V, &K) -> bool,
) -> bool {
    let all = entries::<K, V>(generation, name);
    let map = generation.map_mut(name).expect("a map");
    let mut map: HashMap<&mut MapData, K, V> = map.try_into().expect("a hash map");
    all.into_iter().all(|(key, mut value)| {
        let possible = change(&mut value, &key);
        map.insert(key, value, 0).expect("the entry can be written");
        possible
    })
}

/// Empties every table of flows, every counter, and every backend's entry.
pub(super) fn clear(generation: &mut Generation) {
    for (name, _) in FLOWS_V4 {
        remove_all::<FlowKey<V4>, Flow>(generation, name);
    }
    for (name, _) in FLOWS_V6 {
        remove_all::<FlowKey<V6>, Flow>(generation, name);
    }
    remove_all::<DatagramKey, Datagram>(generation, "DATAGRAMS");
    forget_ways_back(generation);
    let used = state(generation, Ticks(0));
    zero::<Tally>(generation, "REASON_TALLY", used.reasons.into_keys());
    zero::<Tally>(generation, "RULE_TALLY", used.rules.into_keys());
    zero::<Traffic>(generation, "SERVICE_TRAFFIC", used.services.into_keys());
    zero::<Traffic>(generation, "BACKEND_TRAFFIC", used.backends.into_keys());
    let map = generation.map_mut("CURSORS").expect("a map");
    let mut cursors: Array<_, [u64; 8]> = map.try_into().expect("an array");
    for id in used.cursors.into_keys() {
        cursors.set(id, [0; 8], 0).expect("within the array");
    }
    for id in 0..IDS {
        generation
            .write_backend(id, &Backend::default())
            .expect("within the array");
    }
}

/// Empties every table of ways back.
pub(super) fn forget_ways_back(generation: &mut Generation) {
    for (name, _) in REVERSES_V4 {
        remove_all::<FlowKey<V4>, Reverse>(generation, name);
    }
    for (name, _) in REVERSES_V6 {
        remove_all::<FlowKey<V6>, Reverse>(generation, name);
    }
}

fn zero<V: Pod + Default>(
    generation: &mut Generation,
    name: &'static str,
    ids: impl Iterator<Item = u32>,
) {
    for id in ids {
        generation
            .set_on_each_cpu(name, id, V::default())
            .expect("within the array");
    }
}

fn remove_all<K: Pod, V: Pod>(generation: &mut Generation, name: &'static str) {
    let all = entries::<K, V>(generation, name);
    let map = generation.map_mut(name).expect("a map");
    let mut map: HashMap<&mut MapData, K, V> = map.try_into().expect("a hash map");
    for (key, _) in all {
        map.remove(&key).expect("the entry is there");
    }
}

/// The port that a pending flow has towards its backend.
pub(super) fn pending_port(generation: &Generation, flow: &Tuple) -> Option<u16> {
    match (flow.remote.ip(), flow.local.ip()) {
        (IpAddr::V4(remote), IpAddr::V4(local)) => port(
            generation,
            "PENDING_V4",
            flow,
            V4::from(remote),
            V4::from(local),
        ),
        (IpAddr::V6(remote), IpAddr::V6(local)) => port(
            generation,
            "PENDING_V6",
            flow,
            V6::from(remote),
            V6::from(local),
        ),
        _ => None,
    }
}

fn port<A: Member>(
    generation: &Generation,
    name: &'static str,
    flow: &Tuple,
    remote: A,
    local: A,
) -> Option<u16>
where
    FlowKey<A>: Pod,
{
    let key = FlowKey::new(
        (remote, flow.remote.port()),
        (local, flow.local.port()),
        flow.protocol,
    );
    let map = hash_map::<FlowKey<A>, Flow>(generation, name);
    map.get(&key, 0).ok().map(|flow| flow.source_port)
}

fn entries<K: Pod, V: Pod>(generation: &Generation, name: &'static str) -> Vec<(K, V)> {
    hash_map::<K, V>(generation, name)
        .iter()
        .map(|entry| entry.expect("nobody else changes the map"))
        .collect()
}

fn hash_map<'a, K: Pod, V: Pod>(
    generation: &'a Generation,
    name: &'static str,
) -> HashMap<&'a MapData, K, V> {
    map(generation, name).try_into().expect("a hash map")
}

fn map<'a>(generation: &'a Generation, name: &'static str) -> &'a Map {
    generation.map(name).expect("a map")
}

fn cursors(generation: &Generation) -> BTreeMap<u32, u64> {
    let map: Array<_, [u64; 8]> = map(generation, "CURSORS").try_into().expect("an array");
    (0..IDS.min(map.len()))
        .map(|id| (id, map.get(&id, 0).expect("within the array")[0]))
        .filter(|(_, cursor)| *cursor != 0)
        .collect()
}

/// The sums over all CPUs that are not zero.
fn counters<V: Pod + Default + PartialEq>(
    generation: &Generation,
    name: &'static str,
    merge: fn(&mut V, V),
) -> BTreeMap<u32, V> {
    let map: PerCpuArray<_, V> = map(generation, name).try_into().expect("a per-CPU array");
    (0..IDS.min(map.len()))
        .map(|id| {
            let mut sum = V::default();
            for value in map.get(&id, 0).expect("within the array").iter() {
                merge(&mut sum, *value);
            }
            (id, sum)
        })
        .filter(|(_, sum)| *sum != V::default())
        .collect()
}
