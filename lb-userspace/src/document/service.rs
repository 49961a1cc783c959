//! Services and their backends.
//!
//! What concerns one service is checked here; the sums over all services are in `across`.

use std::collections::HashMap;

use ipnet::IpNet;

use super::addresses::{self, unusable};
use super::parse::unique;
use super::path::Path;
use super::reader::{Node, Table};
use super::report::Report;
use super::{Backend, Check, Forward, Scheduler, Service, Vip, across, check, limits, values};

const KEYS: &[&str] = &["name", "vip", "scheduler", "forward", "check", "backend"];
const BACKEND_KEYS: &[&str] = &["address", "weight", "drain"];

const BACKEND_REMEDY: &str = "list at least one: backend = [{ address = \"10.0.0.11:8080\" }]";

/// What other services have taken, with the offset of the first use.
#[derive(Debug, Default)]
struct Taken {
    names: HashMap<String, usize>,
    vips: HashMap<Vip, usize>,
}

/// Reads every `[[service]]`.
///
/// `tunnels` are the outer sources that the document has; nothing is said about missing ones while
/// they are `None`.
pub(super) fn read_all(
    root: &Table<'_>,
    tunnels: Option<&[IpNet]>,
    report: &mut Report<'_>,
) -> Option<Vec<Service>> {
    let nodes = root.tables(report, "service");
    let count = nodes.len();
    across::count_services(&nodes, report);
    let mut taken = Taken::default();
    let mut totals = across::Totals::default();
    let services: Vec<Service> = nodes
        .iter()
        .filter_map(|node| {
            let service = read(node, &mut taken, tunnels, report)?;
            totals.add(&service, node, report);
            Some(service)
        })
        .collect();
    (services.len() == count).then_some(services)
}

fn read(
    node: &Node<'_>,
    taken: &mut Taken,
    tunnels: Option<&[IpNet]>,
    report: &mut Report<'_>,
) -> Option<Service> {
    let table = node.table(report, KEYS, "begin each service with a line [[service]]")?;
    let name = name(&table, taken, report);
    let vip = vip(&table, taken, report);
    let scheduler = table
        .find("scheduler")
        .map_or(Some(Scheduler::default()), |node| node.word(report));
    let forward = table
        .find("forward")
        .map_or(Some(Forward::default()), |node| node.word(report));
    let check_node = table.find("check");
    let check = check_node.as_ref().map(|node| check::read(node, report));
    let path = forward.map(|forward| Path { forward, tunnels });
    let backends = backends(&table, vip, path.as_ref(), report);
    if let (Some(node), Some(Some(check))) = (&check_node, &check) {
        let found = backends.as_deref().unwrap_or_default();
        check_port(node, check, vip, found, report)?;
    }
    Some(Service {
        name: name?,
        vip: vip?,
        scheduler: scheduler?,
        forward: forward?,
        check: match check {
            Some(read) => Some(read?),
            None => None,
        },
        backends: backends?,
    })
}

fn name(table: &Table<'_>, taken: &mut Taken, report: &mut Report<'_>) -> Option<String> {
    let remedy = "give the service a name of its own: name = \"web\"";
    let node = table.require(report, "name", remedy)?;
    let name = values::name(&node, report)?;
    unique(&mut taken.names, name.to_owned(), &node, report, |line| {
        format!("the service in line {line} is called `{name}` as well")
    })?;
    Some(name.to_owned())
}

fn vip(table: &Table<'_>, taken: &mut Taken, report: &mut Report<'_>) -> Option<Vip> {
    let remedy = "say where clients connect to: vip = \"192.0.2.10:80/tcp\"";
    let node = table.require(report, "vip", remedy)?;
    let text = node.string(report, remedy)?;
    let vip = addresses::vip(text)
        .map_err(|complaint| node.wrong(report, complaint.message, complaint.remedy))
        .ok()?;
    let loopback = vip.address.is_loopback().then_some("a loopback address");
    if let Some(what) = unusable(vip.address).or(loopback) {
        let message = format!("`{}` is {what}; no client can connect to it", vip.address);
        node.wrong(
            report,
            message,
            "use a unicast address that is routed to this host",
        );
        return None;
    }
    unique(&mut taken.vips, vip, &node, report, |line| {
        format!("the service in line {line} has the VIP {vip} as well")
    })?;
    Some(vip)
}

fn backends(
    table: &Table<'_>,
    vip: Option<Vip>,
    path: Option<&Path<'_>>,
    report: &mut Report<'_>,
) -> Option<Vec<Backend>> {
    let node = table.require(report, "backend", BACKEND_REMEDY)?;
    let items = node.list(report, BACKEND_REMEDY)?;
    if items.is_empty() {
        node.wrong(report, "the service has no backend", BACKEND_REMEDY);
        return None;
    }
    let count = items.len();
    let mut seen = HashMap::new();
    let backends: Vec<Backend> = items
        .iter()
        .filter_map(|item| {
            let (backend, address) = backend(item, report)?;
            if let (Some(vip), Some(path)) = (vip, path)
                && let Err(complaint) = path.leads(vip, backend.address)
            {
                address.wrong(report, complaint.message, complaint.remedy);
                return None;
            }
            // Port 0 keeps the packet's port, so it is the same backend as the VIP's port.
            let mut reached = backend.address;
            if reached.port() == 0 {
                reached.set_port(vip.map_or(0, |vip| vip.port));
            }
            unique(&mut seen, reached, &address, report, |line| {
                format!("line {line} lists the backend {reached} already")
            })?;
            Some(backend)
        })
        .collect();
    (backends.len() == count).then_some(backends)
}

/// One backend, and the node of its address.
fn backend<'a>(node: &Node<'a>, report: &mut Report<'_>) -> Option<(Backend, Node<'a>)> {
    let remedy = "write { address = \"10.0.0.11:8080\" }, port 0 to keep the packet's port";
    let table = node.table(report, BACKEND_KEYS, remedy)?;
    let weight = table
        .find("weight")
        .map_or(Some(1), |node| node.number(report, limits::WEIGHT));
    let drain = table
        .find("drain")
        .map_or(Some(false), |node| node.boolean(report));
    let address_node = table.require(report, "address", remedy)?;
    let text = address_node.string(report, remedy)?;
    let address = addresses::socket(text)
        .map_err(|complaint| address_node.wrong(report, complaint.message, complaint.remedy))
        .ok()?;
    if let Some(what) = unusable(address.ip()) {
        let message = format!("`{}` is {what}; a backend is one host", address.ip());
        address_node.wrong(report, message, "write the backend's own address");
        return None;
    }
    let backend = Backend {
        address,
        weight: weight?,
        drain: drain?,
    };
    Some((backend, address_node))
}

/// Whether the check knows which port to probe.
fn check_port(
    node: &Node<'_>,
    check: &Check,
    vip: Option<Vip>,
    backends: &[Backend],
    report: &mut Report<'_>,
) -> Option<()> {
    if check.port.is_some() {
        return Some(());
    }
    let kind = check.kind.name();
    if vip.is_some_and(|vip| vip.protocol == super::Protocol::Udp) {
        let message = format!("the `{kind}` check speaks TCP, and the service is UDP");
        let remedy = "name a TCP port of the backends: add port = 8080 to the check";
        node.wrong(report, message, remedy);
        return None;
    }
    let Some(unnamed) = backends.iter().find(|backend| backend.address.port() == 0) else {
        return Some(());
    };
    let what = match kind {
        "https" => "a TLS connection (`https`)",
        "http" => "an `http` request",
        _ => "a `tcp` connection",
    };
    let message = format!(
        "the check makes {what}, which needs a port, and the backend {} has port 0",
        unnamed.address
    );
    let example = if kind == "https" { 443 } else { 80 };
    let remedy = format!("name the port to probe: add port = {example} to the check");
    node.wrong(report, message, remedy);
    None
}
