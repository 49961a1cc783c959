//! `lb doctor`: what keeps packets from arriving, and what mends it.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Context as _;

use super::output::{self, Output};
use super::table::{Column, Table, cell, heading};
use crate::api::client::{Client, ClientError};
use crate::api::types::Status;
use crate::doctor::{self, Diagnosis, Examined, Finding, Host, Options, Proof};
use crate::document::{self, Document};

const EXAMPLES: &str = "\
Examples:
  sudo lb doctor
  sudo lb doctor --config lb.toml --client 203.0.113.7
  lb doctor --backend-setup web
  sudo lb doctor --json | jq -r '(.interfaces, .backends)[].findings[].code'

Every backend gets a few packets: an ARP request, pings, and first packets of connections, as the
program makes them for its mode. One backend behind each interface gets another as XDP sends it (TX:
back out of the interface that it came in by; REDIRECT: from another one); `-` says that this could not
be tried. Nothing is attached or changed. It exits with 1 if anything is amiss.";

/// Examines this host and every backend with real packets, and says what mends what is amiss.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The document; without it, the running one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A client's address, to which backends of `nat` must send answers through this host; one of
    /// each family may be given.
    #[arg(long = "client", value_name = "ADDRESS")]
    clients: Vec<IpAddr>,
    /// Print the commands that a backend of this service needs, and do nothing.
    #[arg(long, value_name = "SERVICE")]
    backend_setup: Option<String>,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Examines and prints; whether nothing is amiss.
pub(super) async fn run(
    client: impl FnOnce() -> Result<Client, ClientError>,
    args: Args,
    output: Output,
) -> anyhow::Result<()> {
    let (document, daemon) = read(client, args.config).await?;
    if let Some(name) = &args.backend_setup {
        let service = document
            .services
            .iter()
            .find(|service| service.name == *name);
        let service = service.with_context(|| unknown(&document, name))?;
        let commands = doctor::backend_setup(&document, service);
        return output::print(&(commands.join("\n") + "\n"));
    }
    let clients = args.clients;
    let diagnosis = doctor::examine(&document, &Options { clients, daemon }).await?;
    if args.json {
        output::json(&diagnosis)?;
    } else {
        output::print(&render(&diagnosis, output))?;
    }
    match diagnosis.count() {
        0 => Ok(()),
        1 => anyhow::bail!("one thing is amiss"),
        count => anyhow::bail!("{count} things are amiss"),
    }
}

/// The document, and what the daemon says that runs; with a file there need be none.
async fn read(
    client: impl FnOnce() -> Result<Client, ClientError>,
    config: Option<PathBuf>,
) -> anyhow::Result<(Document, Option<Status>)> {
    let Some(path) = config else {
        let client = client()?;
        let text = client.document().await?.text;
        let document = document::parse(&text, "the running document")?;
        return Ok((document, client.status().await.ok()));
    };
    let text = std::fs::read_to_string(&path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let document = document::parse(&text, &path.to_string_lossy())?;
    let status = match client() {
        Ok(client) => client.status().await.ok(),
        Err(_) => None,
    };
    Ok((document, status))
}

fn unknown(document: &Document, name: &str) -> String {
    let names: Vec<&str> = document
        .services
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    format!(
        "no service is called `{name}`; there are {}",
        names.join(", ")
    )
}

fn render(diagnosis: &Diagnosis, output: Output) -> String {
    let mut text = host(&diagnosis.host);
    text.push('\n');
    text += &interfaces(diagnosis, output);
    text.push('\n');
    let columns = ["SERVICE", "BACKEND", "FORWARD", "ANSWERS", "AMISS"].map(Column::Left);
    let mut table = Table::new(columns, output);
    for backend in &diagnosis.backends {
        table.row([
            cell(&backend.service),
            cell(backend.backend),
            cell(&backend.forward),
            cell(if backend.answered { "yes" } else { "no" }),
            cell(codes(backend)),
        ]);
    }
    text += &table.render();
    let interfaces = diagnosis
        .interfaces
        .iter()
        .map(|one| (one.name.clone(), &one.findings));
    let backends = diagnosis.backends.iter();
    let backends = backends.map(|one| (format!("{} {}", one.service, one.backend), &one.findings));
    let all: Vec<_> = interfaces
        .chain(backends)
        .filter(|(_, found)| !found.is_empty())
        .collect();
    if !all.is_empty() {
        text.push('\n');
        text += &heading("What is amiss", output);
    }
    for (name, findings) in all {
        for finding in findings {
            text += &show(&name, finding);
        }
    }
    text
}

fn host(host: &Host) -> String {
    let btf = if host.btf { "" } else { "no " };
    let mut text = format!("kernel      {}, {btf}BTF\n", host.kernel);
    if !host.off.is_empty() {
        // Writing to a string cannot fail.
        _ = writeln!(text, "off         {}", host.off.join(", "));
    }
    let (v4, v6) = (on(host.ipv4_forward), on(host.ipv6_forward));
    text + &format!("forwarding  IPv4 {v4}, IPv6 {v6}\n")
}

/// The table of interfaces, and below it why each is as it is.
fn interfaces(diagnosis: &Diagnosis, output: Output) -> String {
    use Column::{Left, Right};
    let columns = [
        Left("INTERFACE"),
        Left("XDP"),
        Left("TX"),
        Left("REDIRECT"),
        Left("DRIVER"),
        Right("QUEUES"),
        Right("MTU"),
        Right("RP_FILTER"),
        Left("LRO"),
        Left("GRO"),
        Left("RXVLAN"),
    ];
    let (mut table, mut reasons) = (Table::new(columns, output), String::new());
    for interface in &diagnosis.interfaces {
        let name = &interface.name;
        table.row([
            cell(name),
            cell(interface.xdp.unwrap_or("-")),
            cell(works(interface.tx.works)),
            cell(works(interface.redirect.works)),
            cell(interface.driver.as_deref().unwrap_or("-")),
            cell(number(interface.queues)),
            cell(interface.mtu),
            cell(number(interface.rp_filter)),
            cell(on(interface.lro)),
            cell(on(interface.gro)),
            cell(on(interface.rx_vlan)),
        ]);
        let said = [
            ("XDP", &interface.xdp_why, ""),
            ("TX", &interface.tx.why, "not tried: "),
            ("REDIRECT", &interface.redirect.why, "not tried: "),
        ];
        for (column, why, word) in said {
            if let Some(why) = why {
                _ = writeln!(reasons, "  {name} {column}: {word}{why}");
            }
        }
    }
    table.render() + &reasons
}

fn works(proof: Proof) -> &'static str {
    match proof {
        Proof::Yes => "yes",
        Proof::No => "no",
        Proof::Generic => "generic",
        Proof::NotTried => "-",
    }
}

fn on(set: Option<bool>) -> &'static str {
    match set {
        Some(true) => "on",
        Some(false) => "off",
        None => "-",
    }
}

fn number(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn codes(backend: &Examined) -> String {
    let codes: Vec<&str> = backend
        .findings
        .iter()
        .map(|finding| finding.code)
        .collect();
    if codes.is_empty() {
        "-".to_owned()
    } else {
        codes.join(", ")
    }
}

fn show(name: &str, finding: &Finding) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    _ = writeln!(text, "- {name}: {}", finding.problem);
    for command in &finding.remedy {
        _ = writeln!(text, "    {command}");
    }
    text
}
