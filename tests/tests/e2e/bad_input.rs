//! Bad input: each kind has a message of its own that says what to do, and changes nothing.

use std::fmt::Write as _;
use std::process::Output;

use lb_tests::lab::client::http_get;
use lb_tests::lab::{Daemon, Lab};

use crate::scene::{BOUND, Service, document, lb, skips, vip};

/// A document that is wrong in one way, and what the message must name.
type Wrong = (String, &'static str);

/// Documents that are wrong in what they say.
fn bad_words() -> Vec<Wrong> {
    let good = document(&[Service::web()], "");
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let beside_web = |other| document(&[Service::web(), other], "");
    let same_name = Service {
        port: 81,
        ..Service::web()
    };
    let same_vip = Service {
        name: "other",
        ..Service::web()
    };
    let empty = Service {
        backends: Vec::new(),
        ..Service::web()
    };
    let tls = with("10.77.0.11:8080\"", "10.77.0.11:0\"")
        .replace("/tcp\"\n", "/tcp\"\ncheck = { kind = \"https\" }\n");
    vec![
        (
            with("backend = [", "bakend = ["),
            "the key `bakend` is not known",
        ),
        (beside_web(same_name), "is called `web` as well"),
        (
            with("10.77.0.11:8080", "10.77.0.300:8080"),
            "`10.77.0.300` is not an address",
        ),
        (
            beside_web(same_vip),
            "has the VIP 10.77.0.100:80/tcp as well",
        ),
        (document(&[empty], ""), "the service has no backend"),
        (tls, "makes a TLS connection (`https`), which needs a port"),
    ]
}

/// Documents that ask for more than the tables hold.
fn too_much() -> Vec<Wrong> {
    let mut services = "interfaces = [\"eth0\"]\n".to_owned();
    for index in 0..1025_u32 {
        let [_, _, high, low] = index.to_be_bytes();
        let _ = write!(
            services,
            "[[service]]\nname = \"s{index}\"\nvip = \"192.0.{high}.{low}:80/tcp\"\n\
             backend = [{{ address = \"10.0.0.1:80\" }}]\n"
        );
    }
    let backends = (1..=4097_u32).fold(String::new(), |list, index| {
        let [_, _, high, low] = index.to_be_bytes();
        list + &format!("{{ address = \"10.1.{high}.{low}:80\" }},")
    });
    let crowd = format!(
        "interfaces = [\"eth0\"]\n[[service]]\nname = \"s\"\n\
         vip = \"192.0.2.1:80/tcp\"\nbackend = [{backends}]\n"
    );
    vec![
        (services, "1025 services; the table holds 1024"),
        (crowd, "4097 backends; the table holds 4096"),
    ]
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The service works and the document is what it was.
pub(crate) fn assert_unharmed(lab: &Lab, daemon: &Daemon, revision: &str) {
    let ask = || http_get(vip(false, 80), "/", BOUND).is_ok();
    assert!(lab.client().enter(ask).unwrap());
    assert_eq!(daemon.status().unwrap().revision, revision);
}

#[test]
fn bad_documents_are_refused_and_the_running_one_stays() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let daemon = lab
        .start_daemon(&lb(), &document(&[Service::web()], ""))
        .unwrap();
    let revision = daemon.status().unwrap().revision;
    let file = lab.footprint().directory().join("bad.toml");
    let path = file.to_string_lossy().into_owned();
    for (text, expected) in bad_words().into_iter().chain(too_much()) {
        std::fs::write(&file, text).unwrap();
        for command in ["check", "apply"] {
            let output = daemon.lb_output(&[command, &path]).unwrap();
            let errors = errors(&output);
            assert_eq!(code(&output), Some(3), "{command}: {errors}");
            assert!(
                errors.contains(expected) && errors.contains("= "),
                "{command}: {expected} not in {errors}"
            );
        }
        assert_unharmed(&lab, &daemon, &revision);
    }
    std::fs::write(
        &file,
        document(&[Service::web()], "").replace("eth0", "nosuch0"),
    )
    .unwrap();
    let output = daemon.lb_output(&["apply", &path]).unwrap();
    assert_eq!(code(&output), Some(1));
    assert!(
        errors(&output).contains("there is no interface nosuch0"),
        "{}",
        errors(&output)
    );
    assert_unharmed(&lab, &daemon, &revision);
}

#[test]
fn edits_that_cannot_be_made_say_why() {
    if skips() {
        return;
    }
    let lab = Lab::builder().build().unwrap();
    let daemon = lab
        .start_daemon(&lb(), &document(&[Service::web()], ""))
        .unwrap();
    let revision = daemon.status().unwrap().revision;
    let first = "10.77.0.11:8080";
    for (words, expected) in [
        (vec!["backend", "add", "web", first], "already"),
        (
            vec!["backend", "drain", "nope", first],
            "there is no service `nope`",
        ),
        (
            vec!["backend", "remove", "web", "10.77.0.99:8080"],
            "has no backend",
        ),
        (vec!["firewall", "unblock", "10.0.0.0/8"], "10.0.0.0/8"),
        (
            vec!["service", "remove", "nope"],
            "there is no service `nope`",
        ),
    ] {
        let output = daemon.lb_output(&words).unwrap();
        assert!(
            !output.status.success() && errors(&output).contains(expected),
            "{output:?}"
        );
        assert_unharmed(&lab, &daemon, &revision);
    }
    let path = daemon.document().to_string_lossy().into_owned();
    let stale = daemon
        .lb_output(&["apply", "--base", "0123456789abcdef", &path])
        .unwrap();
    assert_eq!(code(&stale), Some(5), "{}", errors(&stale));
    let mut text = std::fs::read_to_string(daemon.document()).unwrap();
    text += "# a note by hand\n";
    std::fs::write(daemon.document(), &text).unwrap();
    let output = daemon
        .lb_output(&["backend", "drain", "web", first])
        .unwrap();
    assert_eq!(code(&output), Some(5), "{}", errors(&output));
    assert!(
        errors(&output).contains("changed by hand"),
        "{}",
        errors(&output)
    );
    assert_eq!(
        std::fs::read_to_string(daemon.document()).unwrap(),
        text,
        "nothing is lost"
    );
}
