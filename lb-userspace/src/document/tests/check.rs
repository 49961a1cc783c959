//! Health checks.

use std::time::Duration;

use super::{WEB, good, refuses};
use crate::document::{Check, CheckKind, HttpCheck};

/// [`WEB`] with a check.
fn checked(check: &str) -> String {
    format!("{WEB}check = {{ {check} }}\n")
}

#[test]
fn a_check_is_read_in_full() {
    let document = good(&checked(
        "kind = \"https\", path = \"/x\", host = \"h.example\", status = 200, verify = true, \
         port = 8443, interval = \"500ms\", timeout = \"250ms\", rise = 1, fall = 5",
    ));
    let service = document.services.first().unwrap();
    assert_eq!(
        service.check,
        Some(Check {
            kind: CheckKind::Https {
                http: HttpCheck {
                    path: "/x".to_owned(),
                    host: Some("h.example".to_owned()),
                    status: (200, 200),
                },
                verify: true,
            },
            port: Some(8443),
            interval: Duration::from_millis(500),
            timeout: Duration::from_millis(250),
            rise: 1,
            fall: 5,
        })
    );
}

#[test]
fn a_quick_interval_brings_a_quick_timeout() {
    let document = good(&checked("kind = \"tcp\", interval = \"300ms\""));
    let check = document.services.first().unwrap().check.clone().unwrap();
    assert_eq!(check.timeout, Duration::from_millis(300));
}

/// What is wrong: the check's keys, where it goes wrong, the rest of the key's path, words of the
/// message and of the remedy.
const WRONG: &str = r#"
path = '/' | { path | | `kind` is missing | `http`
kind = 'htp' | 'htp' | .kind | not a kind | did you mean `http`?
kind = 'ping' | 'ping' | .kind | not a kind | `tcp`, `http` or `https`
kind = 'tcp', path = '/' | '/' | .path | `tcp` check | "http"
kind = 'http', verify = true | true | .verify | `http` check | "https"
kind = 'http', path = 'x' | 'x' | .path | not a path | /healthz
kind = 'http', path = '/a b' | '/a b' | .path | not a path | %20
kind = 'http', host = 'a b' | 'a b' | .host | not a host | www.example.com
kind = 'http', status = 99 | 99 | .status | out of range | 100 to 599
kind = 'http', status = '1-2' | '1-2' | .status | no such status | 200-399
kind = 'http', status = '300-200' | '300- | .status | before it begins | 200-300
kind = 'http', status = 'ok' | 'ok' | .status | `ok` is not a status | 200-399
kind = 'tcp', port = 0 | 0 } | .port | out of range | from 1 to 65535
kind = 'tcp', interval = '0s' | '0s' | .interval | zero | 1ms
kind = 'tcp', timeout = '0s' | '0s' | .timeout | zero | 1ms
kind = 'tcp', interval = '-1s' | '-1s' | .interval | out of range | 24h
kind = 'tcp', interval = '2' | '2' | .interval | not a duration | "2s"
kind = 'tcp', interval = 2 | 2 } | .interval | a string is wanted | "2s"
kind = 'tcp', timeout = '3s' | '3s' | .timeout | longer than the interval | shorten
kind = 'tcp', rise = 0 | 0 } | .rise | out of range | from 1
kind = 'tcp', fall = 0 | 0 } | .fall | out of range | from 1
kind = 'tcp', fal = 1 | fal  | .fal | not known | did you mean `fall`?
"#;

#[test]
fn checks_that_are_not() {
    let rows = WRONG.lines().filter(|line| !line.is_empty());
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [check, place, key, message, remedy] = cells.as_slice() else {
            unreachable!("five cells: {row}");
        };
        let key = format!("service[0].check{key}");
        refuses(&checked(check), place, &key, message, remedy);
    }
}

#[test]
fn a_check_needs_a_port() {
    let key = "service[0].check";
    for (kind, message) in [
        ("tcp", "`tcp` connection"),
        ("http", "`http` request"),
        ("https", "TLS connection"),
    ] {
        let rest = checked(&format!("kind = '{kind}'")).replace(":8080", ":0");
        refuses(&rest, "{ kind", key, message, "add port = ");
        good(&rest.replace(" }\n", ", port = 81 }\n"));
    }
}

#[test]
fn a_check_of_a_udp_service_needs_a_port() {
    for kind in ["tcp", "http", "https"] {
        let rest = checked(&format!("kind = '{kind}'")).replace("/tcp", "/udp");
        refuses(
            &rest,
            "{ kind",
            "service[0].check",
            "the service is UDP",
            "add port = 8080",
        );
        good(&rest.replace(" }\n", ", port = 81 }\n"));
    }
}
