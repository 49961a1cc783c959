//! The counters and states as Prometheus reads them.
//!
//! Each scrape renders what it is given; nothing is kept here between two scrapes, so a backend
//! or rule that is gone from the document is gone from the metrics. The names are part of the
//! product's interface: dashboards and alerts go by them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::api::types::{BackendState, BackendStats, ServiceStats, Stats, Status, Traffic};

/// Renders everything in the `OpenMetrics` text format. See [`Format::of_rendered`] for the older.
pub fn render(stats: &Stats, daemon: &Status) -> Result<String, fmt::Error> {
    let mut families = of_services(stats);
    families.extend(of_backends(stats));
    families.extend(of_firewall(stats));
    families.extend(of_daemon(daemon));
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(families)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// The two text formats that scrapers ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// What Prometheus itself asks for.
    OpenMetrics,
    /// Its predecessor, for everything else.
    Text,
}

impl Format {
    /// The format for a request with this `Accept` header.
    pub fn accepted_by(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The answer's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Brings the outcome of [`render`] into this format.
    ///
    /// `OpenMetrics` calls a counter's family by its name without `_total`; the older format
    /// wants the whole name there, or takes the samples for untyped ones. It knows no `UNIT`, and
    /// no `EOF`.
    pub fn of_rendered(self, text: String) -> String {
        if self == Self::OpenMetrics {
            return text;
        }
        let counters: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
            .collect();
        let mut older = String::with_capacity(text.len());
        for line in text.lines() {
            let mut words = line.splitn(4, ' ');
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some("#"), Some("UNIT" | "EOF"), ..) => continue,
                (Some("#"), Some(kind), Some(name), Some(rest)) if counters.contains(&name) => {
                    older.extend(["# ", kind, " ", name, "_total ", rest]);
                }
                _ => older.push_str(line),
            }
            older.push('\n');
        }
        older
    }
}

/// What a sample is labelled with.
type Labels = Vec<(&'static str, String)>;

/// All samples of one name.
#[derive(Debug)]
struct Family {
    /// Without unit and `_total`, which the encoder appends.
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    kind: Kind,
    samples: Vec<(Labels, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

/// One scrape, in the encoder's terms.
#[derive(Debug)]
struct Scrape(Vec<Family>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let unit = family.unit.as_ref();
            let kind = match family.kind {
                Kind::Counter => ConstCounter::new(0_u64).metric_type(),
                Kind::Gauge => ConstGauge::new(0_u64).metric_type(),
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, unit, kind)?;
            for (labels, value) in &family.samples {
                let sample = metric.encode_family(labels)?;
                match family.kind {
                    Kind::Counter => ConstCounter::new(*value).encode(sample)?,
                    Kind::Gauge => ConstGauge::new(*value).encode(sample)?,
                }
            }
        }
        Ok(())
    }
}

/// A family that still has no samples.
fn family(name: &'static str, unit: Option<Unit>, kind: Kind, help: &'static str) -> Family {
    Family {
        name,
        unit,
        help,
        kind,
        samples: Vec::new(),
    }
}

/// The three families that every [`Traffic`] has.
fn traffic_families(
    [connections, packets, bytes]: [(&'static str, &'static str); 3],
    entries: &[(Labels, Traffic)],
) -> [Family; 3] {
    let mut connections = family(connections.0, None, Kind::Counter, connections.1);
    let mut packets = family(packets.0, None, Kind::Counter, packets.1);
    let mut bytes = family(bytes.0, Some(Unit::Bytes), Kind::Counter, bytes.1);
    for (labels, traffic) in entries {
        connections
            .samples
            .push((labels.clone(), traffic.connections));
        for (direction, packet_count, byte_count) in [
            ("in", traffic.packets_in, traffic.bytes_in),
            ("out", traffic.packets_out, traffic.bytes_out),
        ] {
            let labels = with(labels, "direction", direction);
            packets.samples.push((labels.clone(), packet_count));
            bytes.samples.push((labels, byte_count));
        }
    }
    [connections, packets, bytes]
}

/// The labels and one more.
fn with(labels: &Labels, name: &'static str, value: &str) -> Labels {
    let mut labels = labels.clone();
    labels.push((name, value.to_owned()));
    labels
}

fn of_services(stats: &Stats) -> Vec<Family> {
    let entries: Vec<(Labels, Traffic)> = stats
        .services
        .iter()
        .map(|service| (vec![("service", service.name.clone())], service.traffic))
        .collect();
    traffic_families(
        [
            (
                "lb_service_connections",
                "Connections scheduled, gone backends included.",
            ),
            (
                "lb_service_packets",
                "Packets forwarded from (in) and to (out) clients.",
            ),
            (
                "lb_service",
                "Bytes of whole frames forwarded from (in) and to (out) clients.",
            ),
        ],
        &entries,
    )
    .into()
}

fn of_backends(stats: &Stats) -> Vec<Family> {
    let entries: Vec<_> = stats
        .services
        .iter()
        .flat_map(|service| {
            service
                .backends
                .iter()
                .map(|it| (backend_labels(service, it), it))
        })
        .collect();
    let traffic: Vec<_> = entries
        .iter()
        .map(|(labels, backend)| (labels.clone(), backend.traffic))
        .collect();
    let mut families: Vec<Family> = traffic_families(
        [
            (
                "lb_backend_connections",
                "Connections scheduled to the backend.",
            ),
            (
                "lb_backend_packets",
                "Packets forwarded to (in) and from (out) the backend.",
            ),
            (
                "lb_backend",
                "Bytes of whole frames forwarded to (in) and from (out) the backend.",
            ),
        ],
        &traffic,
    )
    .into();
    let mut up = family(
        "lb_backend_up",
        None,
        Kind::Gauge,
        "Whether the backend gets new connections.",
    );
    let mut state_flags = family(
        "lb_backend_state",
        None,
        Kind::Gauge,
        "1 for the state the backend is in, else 0.",
    );
    let mut weights = family(
        "lb_backend_weight",
        None,
        Kind::Gauge,
        "Share of new connections, as configured.",
    );
    for (labels, backend) in entries {
        up.samples
            .push((labels.clone(), u64::from(backend.state == BackendState::Up)));
        for (state, name) in [
            (BackendState::Up, "up"),
            (BackendState::Draining, "draining"),
            (BackendState::Down, "down"),
        ] {
            let is = u64::from(backend.state == state);
            state_flags.samples.push((with(&labels, "state", name), is));
        }
        weights.samples.push((labels, u64::from(backend.weight)));
    }
    families.extend([up, state_flags, weights]);
    families
}

fn backend_labels(service: &ServiceStats, backend: &BackendStats) -> Labels {
    vec![
        ("service", service.name.clone()),
        ("backend", backend.address.to_string()),
    ]
}

/// What was dropped, and why every other packet left.
fn of_firewall(stats: &Stats) -> [Family; 4] {
    let mut rule_packets = family(
        "lb_rule_packets",
        None,
        Kind::Counter,
        "Packets that the firewall rule decided.",
    );
    let mut rule_bytes = family(
        "lb_rule",
        Some(Unit::Bytes),
        Kind::Counter,
        "Bytes of whole frames that the firewall rule decided.",
    );
    for rule in &stats.rules {
        let labels = vec![("rule", rule.name.clone()), ("action", rule.action.clone())];
        rule_packets.samples.push((labels.clone(), rule.packets));
        rule_bytes.samples.push((labels, rule.bytes));
    }
    let mut packets = family(
        "lb_packets",
        None,
        Kind::Counter,
        "Packets seen, by why they left the program and what became of them.",
    );
    let mut bytes = family(
        "lb",
        Some(Unit::Bytes),
        Kind::Counter,
        "Bytes of whole frames seen, by why they left the program and what became of them.",
    );
    for reason in &stats.reasons {
        let labels = vec![
            ("reason", reason.name.clone()),
            ("verdict", reason.verdict.clone()),
        ];
        packets.samples.push((labels.clone(), reason.packets));
        bytes.samples.push((labels, reason.bytes));
    }
    [rule_packets, rule_bytes, packets, bytes]
}

fn of_daemon(daemon: &Status) -> [Family; 5] {
    let mut build = family(
        "lb_build_info",
        None,
        Kind::Gauge,
        "Always 1; versions are labels.",
    );
    let labels = vec![
        ("version", daemon.version.clone()),
        ("kernel", daemon.kernel.clone()),
    ];
    build.samples.push((labels, 1));
    let help = "When the daemon started, since the Unix epoch.";
    let mut started = family("lb_start_time", Some(Unit::Seconds), Kind::Gauge, help);
    let seconds = u64::try_from(daemon.started.as_second()).unwrap_or_default();
    started.samples.push((Vec::new(), seconds));
    let help = "Programs installed since the daemon started.";
    let mut generations = family("lb_generations", None, Kind::Counter, help);
    generations.samples.push((Vec::new(), daemon.generation));
    let mut entries = family(
        "lb_table_entries",
        None,
        Kind::Gauge,
        "Entries of the kernel table in use.",
    );
    let mut limits = family(
        "lb_table_limit",
        None,
        Kind::Gauge,
        "Most entries that the kernel table holds.",
    );
    for table in &daemon.usage {
        let labels = vec![("table", table.name.clone())];
        entries.samples.push((labels.clone(), table.used));
        limits.samples.push((labels, table.limit));
    }
    [build, started, generations, entries, limits]
}

#[cfg(test)]
mod tests;
