//! Edits, by the exact text that they leave.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected fails")]

use super::{EditError, apply_edit, expire_blocks};
use crate::api::types::Edit;

const DOCUMENT: &str = r#"# Ours.
interfaces = ["eth0"] # uplink

# ---- Services ----

# The web site.
[[service]]
name = "web"   # as in DNS
vip = "192.0.2.10:80/tcp"
backend = [
  # the old machine
  { address = "10.0.0.1:80" }, # loud
  { address = "10.0.0.2:80", weight = 2 }, # quiet

  # rack 2

  { address = "10.0.0.3:80", drain = true },
]

# Names.
[[service]]
name = "dns"
vip = "192.0.2.53:53/udp"
backend = [{ address = "10.0.0.1:53" }, { address = "10.0.0.2:53" }]

# ---- Firewall ----

[[firewall.rule]]
name = "r"
action = "drop"
# The end.
"#;

fn add(service: &str, address: &str, weight: Option<u16>) -> Edit {
    Edit::BackendAdd {
        service: service.to_owned(),
        address: address.parse().unwrap(),
        weight,
    }
}

fn remove(service: &str, address: &str) -> Edit {
    Edit::BackendRemove {
        service: service.to_owned(),
        address: address.parse().unwrap(),
    }
}

fn drain(service: &str, address: &str) -> Edit {
    Edit::BackendDrain {
        service: service.to_owned(),
        address: address.parse().unwrap(),
    }
}

fn enable(service: &str, address: &str) -> Edit {
    Edit::BackendEnable {
        service: service.to_owned(),
        address: address.parse().unwrap(),
    }
}

fn service_remove(name: &str) -> Edit {
    Edit::ServiceRemove {
        name: name.to_owned(),
    }
}

fn block(prefix: &str, until: Option<&str>) -> Edit {
    Edit::FirewallBlock {
        prefix: prefix.parse().unwrap(),
        until: until.map(|until| until.parse().unwrap()),
    }
}

fn unblock(prefix: &str) -> Edit {
    Edit::FirewallUnblock {
        prefix: prefix.parse().unwrap(),
    }
}

/// Asserts that the edit of `before` leaves `before` with `old` replaced by `new`.
#[track_caller]
fn leaves(before: &str, edit: &Edit, old: &str, new: &str) {
    assert_eq!(before.matches(old).count(), 1, "`{old}` occurs once");
    let after = apply_edit(before, edit).unwrap();
    assert_eq!(after, before.replace(old, new), "\n{after}");
}

/// The message of an edit that cannot be made.
fn refusal(before: &str, edit: &Edit) -> String {
    apply_edit(before, edit).unwrap_err().to_string()
}

#[test]
fn a_backend_gets_a_line_of_its_own_where_others_have_one() {
    leaves(
        DOCUMENT,
        &add("web", "10.0.0.4:80", None),
        "drain = true },\n",
        "drain = true },\n  { address = \"10.0.0.4:80\" },\n",
    );
}

#[test]
fn a_backend_stays_on_the_line_where_others_do() {
    leaves(
        DOCUMENT,
        &add("dns", "[::1]:53", Some(3)),
        "\"10.0.0.2:53\" }]",
        "\"10.0.0.2:53\" }, { address = \"[::1]:53\", weight = 3 }]",
    );
    let spaced = DOCUMENT
        .replace("[{", "[ {")
        .replace("\"10.0.0.2:53\" }]", "\"10.0.0.2:53\" } ]");
    leaves(
        &spaced,
        &add("dns", "10.0.0.4:53", None),
        "\"10.0.0.2:53\" } ]",
        "\"10.0.0.2:53\" }, { address = \"10.0.0.4:53\" } ]",
    );
}

#[test]
fn a_list_without_a_last_comma_goes_on_without() {
    let bare = DOCUMENT.replace("drain = true },\n]", "drain = true } # tired\n]");
    leaves(
        &bare,
        &add("web", "10.0.0.4:80", None),
        "drain = true } # tired\n]",
        "drain = true }, # tired\n  { address = \"10.0.0.4:80\" }\n]",
    );
}

/// A service whose backends are sections.
const SECTIONS: &str = r#"interfaces = ["eth0"]

[[service]]
name = "web"
vip = "192.0.2.10:80/tcp"

  [[service.backend]] # first
  address = "10.0.0.1:80"

  # The second.
  [[service.backend]]
  address = "10.0.0.2:80"

# Other things.
[[service]]
name = "dns"
vip = "192.0.2.53:53/udp"
backend = [{ address = "10.0.0.1:53" }]
"#;

#[test]
fn a_backend_becomes_a_section_where_others_are() {
    leaves(
        SECTIONS,
        &add("web", "10.0.0.4:80", Some(2)),
        "\"10.0.0.2:80\"\n",
        "\"10.0.0.2:80\"\n\n  [[service.backend]]\n  address = \"10.0.0.4:80\"\n  weight = 2\n",
    );
    leaves(
        SECTIONS,
        &remove("web", "10.0.0.2:80"),
        "  # The second.\n  [[service.backend]]\n  address = \"10.0.0.2:80\"\n\n",
        "",
    );
    leaves(
        SECTIONS,
        &drain("web", "10.0.0.1:80"),
        "\"10.0.0.1:80\"\n",
        "\"10.0.0.1:80\"\n  drain = true\n",
    );
}

#[test]
fn a_backend_leaves_with_its_own_comments_only() {
    leaves(
        DOCUMENT,
        &remove("web", "10.0.0.1:80"),
        "  # the old machine\n  { address = \"10.0.0.1:80\" }, # loud\n",
        "",
    );
    leaves(
        DOCUMENT,
        &remove("web", "10.0.0.2:80"),
        "  { address = \"10.0.0.2:80\", weight = 2 }, # quiet\n",
        "",
    );
    leaves(
        DOCUMENT,
        &remove("web", "10.0.0.3:80"),
        "  { address = \"10.0.0.3:80\", drain = true },\n",
        "",
    );
    leaves(
        DOCUMENT,
        &remove("dns", "10.0.0.1:53"),
        "{ address = \"10.0.0.1:53\" }, ",
        "",
    );
    leaves(
        DOCUMENT,
        &remove("dns", "10.0.0.2:53"),
        ", { address = \"10.0.0.2:53\" }",
        "",
    );
}

#[test]
fn a_drain_comes_and_goes_without_a_trace() {
    leaves(
        DOCUMENT,
        &drain("web", "10.0.0.2:80"),
        "weight = 2 }",
        "weight = 2, drain = true }",
    );
    leaves(
        DOCUMENT,
        &enable("web", "10.0.0.3:80"),
        "\"10.0.0.3:80\", drain = true }",
        "\"10.0.0.3:80\" }",
    );
    let tight = DOCUMENT.replace(", drain = true }", ",drain=false}");
    leaves(
        &tight,
        &drain("web", "10.0.0.3:80"),
        "drain=false}",
        "drain=true}",
    );
    let drained = apply_edit(DOCUMENT, &drain("web", "10.0.0.1:80")).unwrap();
    let enabled = apply_edit(&drained, &enable("web", "10.0.0.1:80")).unwrap();
    assert_eq!(enabled, DOCUMENT);
}

#[test]
fn draining_twice_or_enabling_what_is_enabled_changes_nothing() {
    for edit in [drain("web", "10.0.0.3:80"), enable("web", "10.0.0.1:80")] {
        assert_eq!(apply_edit(DOCUMENT, &edit).unwrap(), DOCUMENT);
    }
}

#[test]
fn a_service_is_written_as_a_section_after_the_others() {
    let edit = Edit::ServiceAdd {
        name: "mail".to_owned(),
        vip: "192.0.2.25:25/tcp".to_owned(),
        scheduler: Some("round-robin".to_owned()),
        forward: Some("dsr".to_owned()),
        check: Some("https:/x".to_owned()),
        backends: vec![
            "10.0.0.1:25".parse().unwrap(),
            "10.0.0.2:25".parse().unwrap(),
        ],
    };
    leaves(
        DOCUMENT,
        &edit,
        "\"10.0.0.2:53\" }]\n",
        "\"10.0.0.2:53\" }]\n\n\
         [[service]]\n\
         name = \"mail\"\n\
         vip = \"192.0.2.25:25/tcp\"\n\
         scheduler = \"round-robin\"\n\
         forward = \"dsr\"\n\
         check = { kind = \"https\", path = \"/x\" }\n\
         backend = [\n  { address = \"10.0.0.1:25\" },\n  { address = \"10.0.0.2:25\" },\n]\n",
    );
    let after = apply_edit("interfaces = [\"eth0\"]\n", &edit).unwrap();
    assert!(
        after.starts_with("interfaces = [\"eth0\"]\n\n[[service]]\nname = \"mail\"\n"),
        "{after}"
    );
}

#[test]
fn a_service_leaves_with_its_own_comment_only() {
    leaves(
        DOCUMENT,
        &service_remove("dns"),
        "# Names.\n[[service]]\nname = \"dns\"\nvip = \"192.0.2.53:53/udp\"\n\
         backend = [{ address = \"10.0.0.1:53\" }, { address = \"10.0.0.2:53\" }]\n\n",
        "",
    );
    // The heading above the first service is not its own, and stays above the next.
    let after = apply_edit(DOCUMENT, &service_remove("web")).unwrap();
    assert!(
        after.starts_with(
            "# Ours.\ninterfaces = [\"eth0\"] # uplink\n\n# ---- Services ----\n\n# Names.\n\
             [[service]]\nname = \"dns\"\n"
        ),
        "{after}"
    );
}

#[test]
fn a_heading_outlives_the_last_section() {
    let text = "interfaces = [\"eth0\"]\n\n# Heading.\n\n[[service]]\nname = \"web\"\n# The end.\n";
    assert_eq!(
        apply_edit(text, &service_remove("web")).unwrap(),
        "interfaces = [\"eth0\"]\n\n# Heading.\n# The end.\n"
    );
}

#[test]
fn a_service_with_sections_of_its_own_leaves_with_them() {
    let after = apply_edit(SECTIONS, &service_remove("web")).unwrap();
    assert_eq!(
        after,
        "interfaces = [\"eth0\"]\n\n# Other things.\n[[service]]\nname = \"dns\"\n\
         vip = \"192.0.2.53:53/udp\"\nbackend = [{ address = \"10.0.0.1:53\" }]\n"
    );
}

#[test]
fn blocks_come_and_go() {
    let edit = block("203.0.113.0/24", Some("2030-01-31T18:00:00.5Z"));
    let blocked = apply_edit(DOCUMENT, &edit).unwrap();
    let section =
        "\n[[firewall.block]]\nprefix = \"203.0.113.0/24\"\nuntil = 2030-01-31T18:00:01Z\n";
    assert_eq!(
        blocked,
        DOCUMENT.replace("# The end.", &format!("{}# The end.", &section)),
        "{blocked}"
    );
    leaves(
        &blocked,
        &block("203.0.113.0/24", None),
        "until = 2030-01-31T18:00:01Z\n",
        "",
    );
    leaves(
        &blocked,
        &block("203.0.113.0/24", Some("2031-01-01T00:00:00Z")),
        "2030-01-31T18:00:01Z",
        "2031-01-01T00:00:00Z",
    );
    assert_eq!(
        apply_edit(&blocked, &unblock("203.0.113.0/24")).unwrap(),
        DOCUMENT
    );
}

#[test]
fn the_first_block_of_a_document_without_a_firewall() {
    assert_eq!(
        apply_edit("interfaces = [\"eth0\"]\n", &block("::1/128", None)).unwrap(),
        "interfaces = [\"eth0\"]\n\n[[firewall.block]]\nprefix = \"::1/128\"\n"
    );
    assert_eq!(
        apply_edit("firewall = { rule = [] }\n", &block("::1/128", None)).unwrap(),
        "firewall = { rule = [], block = [{ prefix = \"::1/128\" }] }\n"
    );
}

#[test]
fn ended_blocks_expire() {
    let text = "interfaces = [\"eth0\"]\n\
                \n[[firewall.block]]\nprefix = \"192.0.2.1\" # mine\n\
                \n[[firewall.block]]\nprefix = \"192.0.2.2\"\nuntil = 2030-01-01T00:00:00Z\n\
                \n[[firewall.block]]\nprefix = \"192.0.2.3\"\nuntil = 2031-01-01T00:00:00+01:00\n";
    let at = |now: &str| expire_blocks(text, now.parse().unwrap());
    assert_eq!(at("2029-12-31T23:59:59Z"), None);
    let second = "\n[[firewall.block]]\nprefix = \"192.0.2.2\"\nuntil = 2030-01-01T00:00:00Z\n";
    assert_eq!(at("2030-01-01T00:00:00Z"), Some(text.replace(second, "")));
    assert_eq!(
        at("2030-12-31T23:00:00Z").unwrap(),
        "interfaces = [\"eth0\"]\n\n[[firewall.block]]\nprefix = \"192.0.2.1\" # mine\n"
    );
    assert_eq!(
        expire_blocks("= 1", "2030-01-01T00:00:00Z".parse().unwrap()),
        None
    );
}

#[test]
fn line_breaks_stay_what_they_are() {
    let text = DOCUMENT.replace('\n', "\r\n");
    let after = apply_edit(&text, &add("web", "10.0.0.4:80", None)).unwrap();
    let plain = apply_edit(DOCUMENT, &add("web", "10.0.0.4:80", None)).unwrap();
    assert_eq!(after, plain.replace('\n', "\r\n"));
    // One stray carriage return does not make a file of another system.
    let mixed = DOCUMENT.replacen('\n', "\r\n", 1);
    assert_eq!(
        apply_edit(&mixed, &add("web", "10.0.0.4:80", None)).unwrap(),
        plain
    );
}

#[test]
fn services_that_are_not_there() {
    assert_eq!(
        refusal(DOCUMENT, &service_remove("wbe")),
        "there is no service `wbe`; did you mean `web`? the services are web, dns"
    );
    assert_eq!(
        refusal("", &add("web", "10.0.0.1:80", None)),
        "there is no service `web`; there are no services"
    );
}

#[test]
fn backends_that_are_not_there_or_already_are() {
    for edit in [
        remove("dns", "10.0.0.9:53"),
        drain("dns", "10.0.0.9:53"),
        enable("dns", "10.0.0.9:53"),
    ] {
        assert_eq!(
            refusal(DOCUMENT, &edit),
            "service `dns` has no backend 10.0.0.9:53; the backends are 10.0.0.1:53, 10.0.0.2:53"
        );
    }
    assert_eq!(
        refusal(DOCUMENT, &add("dns", "10.0.0.1:53", None)),
        "service `dns` has the backend 10.0.0.1:53 already"
    );
}

#[test]
fn the_last_backend_stays() {
    let one = apply_edit(DOCUMENT, &remove("dns", "10.0.0.1:53")).unwrap();
    let message = refusal(&one, &remove("dns", "10.0.0.2:53"));
    assert!(message.contains("lb service remove dns"), "{message}");
}

#[test]
fn services_that_cannot_be_added() {
    let service = |name: &str, check: Option<&str>, backends: &[&str]| Edit::ServiceAdd {
        name: name.to_owned(),
        vip: "192.0.2.25:25/tcp".to_owned(),
        scheduler: None,
        forward: None,
        check: check.map(str::to_owned),
        backends: backends.iter().map(|text| text.parse().unwrap()).collect(),
    };
    let refused = |edit| apply_edit(DOCUMENT, &edit).unwrap_err();
    assert_eq!(
        refused(service("web", None, &["10.0.0.1:25"])),
        EditError::ServiceExists("web".to_owned())
    );
    assert_eq!(
        refused(service("mail", None, &[])),
        EditError::NoBackends("mail".to_owned())
    );
    for check in ["icmp", "tcp:25", "http:x", ""] {
        assert_eq!(
            refused(service("mail", Some(check), &["10.0.0.1:25"])),
            EditError::BadCheck(check.to_owned())
        );
    }
}

#[test]
fn blocks_that_cannot_be() {
    assert_eq!(
        refusal(DOCUMENT, &block("203.0.113.9/24", None)),
        "203.0.113.9/24 has bits set beyond its length; write 203.0.113.0/24"
    );
    assert_eq!(
        refusal(DOCUMENT, &unblock("203.0.113.0/24")),
        "203.0.113.0/24 is not blocked; nothing is"
    );
    let blocked = apply_edit(DOCUMENT, &block("192.0.2.1/32", None)).unwrap();
    assert_eq!(
        refusal(&blocked, &unblock("203.0.113.0/24")),
        "203.0.113.0/24 is not blocked; the blocked prefixes are 192.0.2.1/32"
    );
}

#[test]
fn text_that_cannot_be_edited() {
    let message = refusal("= 1", &service_remove("web"));
    assert!(message.contains("is not TOML"), "{message}");
    assert!(message.contains("lb check"), "{message}");
    let message = refusal("service = 1", &service_remove("web"));
    assert!(
        message.contains("`service` in the document is not a list"),
        "{message}"
    );
}
