//! `lb internal-verify`: how much of the verifier's budget the program takes, for `cargo xtask`.

use serde::Serialize;

use super::output;
use crate::compile::{BackendView, Surroundings, Way, compile};
use crate::dataplane::{Generation, Host};
use crate::document;
use crate::ids::Ids;

/// Loads the program and prints what the verifier counted.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// What the verifier counted for one set of features.
#[derive(Debug, Serialize)]
struct Figures {
    program: String,
    verified_instructions: u32,
    jited_bytes: u32,
    kernel: String,
    /// Features that are off, because this kernel lacks what they need.
    off: Vec<&'static str>,
}

const FULL_NAT_V4: &str = r#"
interfaces = ["lo"]
service = [{ name = "a", vip = "192.0.2.1:80/tcp", backend = [{ address = "10.0.0.1:80" }] }]
"#;

const DSR_FIREWALL: &str = r#"
interfaces = ["lo"]
service = [{ name = "a", vip = "192.0.2.1:80/tcp", forward = "dsr", backend = [{ address = "10.0.0.1:80" }] }]
firewall.rule = [{ name = "r", source = "203.0.113.0/24", action = "drop" }]
"#;

const EVERYTHING: &str = r#"
interfaces = ["lo"]
tunnel_source = ["172.16.0.0/16", "100::/64"]
debug = true
service = [
  { name = "a", vip = "192.0.2.1:80/tcp", backend = [{ address = "10.0.0.1:80" }] },
  { name = "b", vip = "192.0.2.2:0/udp", backend = [{ address = "10.0.0.1:0" }] },
  { name = "c", vip = "[2001:db8::1]:80/tcp", forward = "dsr", backend = [{ address = "[fd00::1]:80" }] },
  { name = "d", vip = "[2001:db8::2]:80/tcp", forward = "ipip", backend = [{ address = "[fd00::1]:80" }] },
  { name = "f", vip = "192.0.2.4:80/tcp", forward = "nat", backend = [{ address = "10.0.0.1:80" }] },
  { name = "g", vip = "192.0.2.5:80/tcp", backend = [{ address = "[fd00::1]:80" }] },
  { name = "h", vip = "[2001:db8::3]:80/tcp", backend = [{ address = "10.0.0.1:80" }] },
  { name = "e", vip = "192.0.2.3:53/udp", forward = "gue", backend = [{ address = "10.0.0.1:53" }] },
]
firewall.rule = [
  { name = "r", source = "203.0.113.0/24", destination = "192.0.2.0/24", protocol = "tcp", port = 22, source_port = 1000, action = "drop" },
]
"#;

/// Loads the program for several documents, attaches it to nothing, and prints the figures.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let host = Host::probe()?;
    for (name, text, trace) in [
        ("full-nat v4", FULL_NAT_V4, false),
        ("dsr and firewall v4", DSR_FIREWALL, false),
        ("everything", EVERYTHING, true),
    ] {
        let document = document::parse(text, name)?;
        let mut ids = Ids::default();
        ids.assign(&document);
        let view = |_: &str, _: std::net::SocketAddr| BackendView {
            healthy: true,
            way: Way::default(),
        };
        let nat_ports = host.nat_ports;
        let tables = compile(
            &document,
            &Surroundings {
                ids: &ids,
                view: &view,
                nat_ports,
                trace,
            },
        )?;
        let verified = Generation::load(&tables, host.coarse_clock, None)?.verified()?;
        let figures = Figures {
            program: format!("{} ({name})", verified.program),
            verified_instructions: verified.verified_instructions,
            jited_bytes: verified.jited_bytes,
            kernel: host.kernel.clone(),
            off: host.off(),
        };
        if args.json {
            output::json_line(&figures)?;
        } else {
            let Figures {
                program,
                verified_instructions,
                jited_bytes,
                ..
            } = figures;
            output::print(&format!(
                "{program}: {verified_instructions} instructions verified, {jited_bytes} bytes\n"
            ))?;
        }
    }
    Ok(())
}
