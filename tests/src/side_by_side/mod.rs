//! This balancer side by side with what a user would pick instead, at the same work on the same
//! machine: nftables, haproxy and IPVS.
//!
//! Contenders are measured in turns, round by round, and only ratios within a round are compared:
//! how fast the machine is at the moment cancels out. Each contender first proves that it does the
//! work. Nothing here judges the figures.

mod balancer;
mod connections;
mod contender;
mod cpu_time;
mod documents;
mod generator;
mod http;
mod link;
mod packet_socket;
mod packets;
mod row;
mod sink;
mod template;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use balancer::Kind;
use connections::Connecting;
use contender::{Contender, Schedule, compare};
use packets::{Balancing, Dropping};

pub use http::serve;
pub use row::Row;

/// How many backends every service has.
const BACKENDS: u8 = 3;

/// What to compare, and how thoroughly.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `lb` binary; figures make sense only for a release build.
    pub lb: PathBuf,
    /// The program whose `serve` is the backends' server, as [`serve`] implements it.
    pub server: PathBuf,
    /// The comparisons to make; none stands for all.
    pub scenarios: Vec<Scenario>,
    /// Compare only with this peer.
    pub peer: Option<Peer>,
    /// How often each contender is measured, at least once.
    pub rounds: usize,
    /// How long a measurement takes.
    pub window: Duration,
}

/// The work to compare at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Drop packets of a thousand blocked prefixes.
    Drop,
    /// Spread the datagrams of a thousand flows.
    Packets,
    /// Spread new HTTP connections.
    Connections,
}

/// Whom to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// The kernel's packet filter.
    Nftables,
    /// A proxy of connections.
    Haproxy,
    /// The kernel's balancer; needs the modules `ip_vs` and `ip_vs_rr`.
    Ipvs,
}

impl Options {
    /// The usual thoroughness, or that of a quick look.
    pub fn new(lb: PathBuf, server: PathBuf, quick: bool) -> Self {
        let (rounds, window) = if quick { (3, 350) } else { (7, 1000) };
        Self {
            lb,
            server,
            scenarios: Vec::new(),
            peer: None,
            rounds,
            window: Duration::from_millis(window),
        }
    }
}

impl Scenario {
    const ALL: [Self; 3] = [Self::Drop, Self::Packets, Self::Connections];

    /// What it is called in a row.
    fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop from 1000 blocked prefixes",
            Self::Packets => "balance UDP",
            Self::Connections => "new HTTP connections",
        }
    }

    /// What is counted.
    fn unit(self) -> &'static str {
        match self {
            Self::Drop | Self::Packets => "packets/s",
            Self::Connections => "connections/s",
        }
    }

    /// Who takes part.
    fn contenders(self) -> &'static [Kind] {
        match self {
            Self::Drop => &[Kind::LbFirewall, Kind::NftIngress, Kind::NftPrerouting],
            Self::Packets => &[Kind::LbFullNat, Kind::LbDsr, Kind::NftDnat, Kind::Ipvs],
            Self::Connections => &[
                Kind::LbFullNat,
                Kind::LbDsr,
                Kind::NftDnat,
                Kind::Haproxy,
                Kind::Ipvs,
            ],
        }
    }

    fn build(self, kind: Kind, options: &Options) -> Result<Box<dyn Contender>> {
        Ok(match self {
            Self::Drop => Box::new(Dropping::new(kind, options)?),
            Self::Packets => Box::new(Balancing::new(kind, options)?),
            Self::Connections => Box::new(Connecting::new(kind, options)?),
        })
    }
}

impl Peer {
    fn is(self, kind: Kind) -> bool {
        match self {
            Self::Nftables => {
                matches!(kind, Kind::NftIngress | Kind::NftPrerouting | Kind::NftDnat)
            }
            Self::Haproxy => kind == Kind::Haproxy,
            Self::Ipvs => kind == Kind::Ipvs,
        }
    }
}

/// Makes the comparisons and returns a row for each pair. What it does goes to standard error.
/// Once `stop` is true it ends with an error after the measurement under way.
///
/// A peer that this machine lacks is left out with a word about it, unless it was asked for.
///
/// # Errors
/// A contender cannot be set up, does not do its work, or there is nobody to compare with. Nothing
/// is left behind.
pub fn run(options: &Options, stop: &AtomicBool) -> Result<Vec<Row>> {
    let scenarios = match options.scenarios.as_slice() {
        [] => &Scenario::ALL[..],
        some => some,
    };
    let schedule = Schedule {
        rounds: options.rounds.max(1),
        window: options.window,
        stop,
    };
    let mut rows = Vec::new();
    for &scenario in scenarios {
        let name = scenario.name();
        let Some(kinds) = participants(scenario, options.peer)? else {
            eprintln!("side-by-side: {name}: nobody to compare with");
            continue;
        };
        let build = |&kind: &Kind| {
            let what = || format!("{name}: {}", kind.side().name());
            scenario.build(kind, options).with_context(what)
        };
        let mut contenders: Vec<_> = kinds.iter().map(build).collect::<Result<_>>()?;
        rows.extend(compare(name, scenario.unit(), &mut contenders, &schedule)?);
    }
    if rows.is_empty() {
        bail!("there is nobody to compare with");
    }
    Ok(rows)
}

/// Who can take part; `None` if that is nobody but ourselves.
fn participants(scenario: Scenario, peer: Option<Peer>) -> Result<Option<Vec<Kind>>> {
    let mut kinds = Vec::new();
    let mut peers = 0_usize;
    for &kind in scenario.contenders() {
        if kind.side().is_peer() {
            if peer.is_some_and(|peer| !peer.is(kind)) {
                continue;
            }
            if let Some(obstacle) = kind.obstacle() {
                let name = kind.side().name();
                if peer.is_some() {
                    bail!("cannot compare with {name}: {obstacle}");
                }
                eprintln!("side-by-side: without {name}: {obstacle}");
                continue;
            }
            peers += 1;
        }
        kinds.push(kind);
    }
    Ok((peers > 0).then_some(kinds))
}

/// Why nothing can be compared with this peer here; `None` when it can. Tests print it and skip.
pub fn obstacle(peer: Peer) -> Option<String> {
    if let Some(obstacle) = crate::lab::obstacle() {
        return Some(obstacle.to_owned());
    }
    let contenders = Scenario::ALL.iter().flat_map(|it| it.contenders());
    let mut kinds = contenders.filter(|&&kind| peer.is(kind));
    kinds.find_map(|kind| kind.obstacle())
}
