//! What TCP and plain HTTP probes see, and what they show the backend.

use std::time::Duration;

use super::server::Server;
use super::*;

async fn http_report(address: SocketAddr, http: HttpCheck) -> Report {
    first_report(address, check(CheckKind::Http(http), ONCE), Trust::system()).await
}

#[tokio::test]
async fn tcp_connects() {
    let server = Server::tcp().await;
    let check = check(CheckKind::Tcp, ONCE);
    let answer = first_report(server.address, check, Trust::system()).await;
    assert_eq!(answer, report(9, true, "connected"));
}

#[tokio::test]
async fn tcp_is_refused() {
    let check = check(CheckKind::Tcp, ONCE);
    let answer = first_report(closed_address().await, check, Trust::system()).await;
    assert_eq!(answer, report(9, false, "connection refused"));
}

#[tokio::test]
async fn port_of_the_check_replaces_the_backends() {
    let server = Server::tcp().await;
    let mut check = check(CheckKind::Tcp, ONCE);
    check.port = Some(server.address.port());
    let backend = closed_address().await;
    let answer = first_report(backend, check, Trust::system()).await;
    assert_eq!(answer, report(9, true, "connected"));
}

#[tokio::test]
async fn port_zero_cannot_be_probed() {
    let check = check(CheckKind::Tcp, ONCE);
    let answer = first_report("127.0.0.1:0".parse().unwrap(), check, Trust::system()).await;
    assert_eq!(
        answer,
        report(9, false, "no port to probe: give the check a `port`")
    );
}

#[tokio::test]
async fn http_asks_for_the_path_at_the_address() {
    let server = Server::http(|| 200).await;
    let answer = http_report(server.address, http_check()).await;
    assert_eq!(answer, report(9, true, "status 200"));
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0][0], "GET /healthz?deep=1 HTTP/1.1");
    let host = format!("host: {}", server.address);
    assert!(requests[0].contains(&host), "{requests:?}");
}

#[tokio::test]
async fn host_names_the_request_but_not_the_connection() {
    // A name that does not exist, and an address that documentation reserves.
    for host in ["www.example.invalid", "192.0.2.10"] {
        let server = Server::http(|| 200).await;
        let check = HttpCheck {
            host: Some(host.to_owned()),
            ..http_check()
        };
        let answer = http_report(server.address, check).await;
        assert_eq!(answer, report(9, true, "status 200"));
        let requests = server.requests();
        assert!(
            requests[0].contains(&format!("host: {host}")),
            "{requests:?}"
        );
    }
}

#[tokio::test]
async fn http_tells_an_unexpected_status() {
    let server = Server::http(|| 503).await;
    let answer = http_report(server.address, http_check()).await;
    assert_eq!(answer, report(9, false, "status 503, expected 200-399"));
    let exactly = HttpCheck {
        status: (204, 204),
        ..http_check()
    };
    let answer = http_report(server.address, exactly).await;
    assert_eq!(answer, report(9, false, "status 503, expected 204"));
}

#[tokio::test]
async fn redirects_are_answers() {
    let server = Server::http(|| 302).await;
    let answer = http_report(server.address, http_check()).await;
    assert_eq!(answer, report(9, true, "status 302"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn http_is_refused() {
    let answer = http_report(closed_address().await, http_check()).await;
    assert_eq!(answer, report(9, false, "connection refused"));
}

#[tokio::test]
async fn backend_that_hangs_up_has_not_answered() {
    let server = Server::closing().await;
    let answer = http_report(server.address, http_check()).await;
    assert_eq!(
        answer,
        report(9, false, "connection closed before message completed")
    );
}

#[tokio::test]
async fn backend_that_hangs_has_not_answered() {
    let server = Server::tcp().await;
    let mut check = check(CheckKind::Http(http_check()), ONCE);
    check.timeout = Duration::from_millis(100);
    let answer = first_report(server.address, check, Trust::system()).await;
    assert_eq!(answer, report(9, false, "no answer within 100ms"));
}

#[tokio::test]
async fn each_probe_has_a_connection_of_its_own() {
    let server = Server::http(|| 200).await;
    let (sender, _reports) = mpsc::channel(10);
    let mut checker = Checker::new(sender).unwrap();
    let check = check(CheckKind::Http(http_check()), Duration::from_millis(10));
    checker.update(
        &[Target {
            id: 1,
            address: server.address,
            check,
        }],
        |_| None,
    );
    // The server answers one request a connection, so three requests are three connections.
    until(|| server.requests().len() >= 3).await;
}

#[tokio::test]
async fn host_that_is_none_is_told() {
    let check = HttpCheck {
        host: Some("not a host".to_owned()),
        ..http_check()
    };
    let answer = http_report(closed_address().await, check).await;
    assert!(!answer.healthy);
    assert!(
        answer.detail.starts_with("cannot ask for not a host:"),
        "{}",
        answer.detail
    );
}
