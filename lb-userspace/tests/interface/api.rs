//! The API's server and client against each other: a real socket, a fake controller.

use std::time::Duration;

use crate::fake::{self, Daemon, Fake, PATIENCE};
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use lb_userspace::api::client::{Client, ClientError};
use lb_userspace::api::control::ControlError;
use lb_userspace::api::server::{self, BODY_BYTES_MAX, bind_metrics, serve_metrics_on};
use lb_userspace::api::types::{Edit, Failure, Replace};
use lb_userspace::crypto::http_client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

fn replace() -> Replace {
    Replace {
        text: "interfaces = [\"eth0\"]\n".to_owned(),
        base: Some("now".to_owned()),
        origin: Some("lb.toml".to_owned()),
    }
}

fn edit() -> Edit {
    Edit::ServiceRemove {
        name: "web".to_owned(),
    }
}

/// A client of the test's own: it shows statuses and headers.
fn http(daemon: &Daemon) -> reqwest::Client {
    http_client()
        .unix_socket(daemon.socket())
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

#[tokio::test]
async fn each_method_reaches_its_counterpart_and_brings_back_its_answer() {
    let daemon = Daemon::start().await;
    daemon.fake.answer(&["service web: added"]);
    let client = Client::new(daemon.socket()).unwrap();
    assert_eq!(client.status().await.unwrap(), fake::status());
    assert_eq!(client.stats().await.unwrap(), fake::stats_after(0));
    assert_eq!(client.firewall().await.unwrap(), fake::firewall());
    assert_eq!(client.document().await.unwrap().revision, "now");
    client.check(&replace()).await.unwrap();
    for changed in [
        client.diff(&replace()).await.unwrap(),
        client.replace(&replace()).await.unwrap(),
        client.edit(&edit()).await.unwrap(),
    ] {
        assert_eq!(changed.revision, "next");
        assert_eq!(changed.changes, ["service web: added"]);
    }
    let wanted = serde_json::to_value(replace()).unwrap();
    assert_eq!(
        daemon.fake.calls(),
        [
            ("status", Value::Null),
            ("stats", Value::Null),
            ("firewall", Value::Null),
            ("document", Value::Null),
            ("check", wanted.clone()),
            ("diff", wanted.clone()),
            ("replace", wanted),
            ("edit", json!({"edit": "service-remove", "name": "web"})),
        ]
    );
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn each_refusal_keeps_its_class_and_its_words_on_every_path() {
    let daemon = Daemon::start().await;
    let client = Client::new(daemon.socket()).unwrap();
    let words = || "line 3: no such scheduler".to_owned();
    for (error, status) in [
        (
            ControlError::Invalid(words()),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (ControlError::Conflict(words()), StatusCode::CONFLICT),
        (ControlError::NotFound(words()), StatusCode::NOT_FOUND),
        (
            ControlError::Refused(words()),
            StatusCode::INTERNAL_SERVER_ERROR,
        ),
        (ControlError::Stopping, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        daemon.fake.refuse(error.clone());
        let answers = [
            client.status().await.unwrap_err(),
            client.stats().await.unwrap_err(),
            client.firewall().await.unwrap_err(),
            client.document().await.unwrap_err(),
            client.metrics().await.unwrap_err(),
            client.check(&replace()).await.unwrap_err(),
            client.diff(&replace()).await.unwrap_err(),
            client.replace(&replace()).await.unwrap_err(),
            client.edit(&edit()).await.unwrap_err(),
        ];
        for answer in answers {
            let class = match &answer {
                ClientError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
                ClientError::Conflict(_) => StatusCode::CONFLICT,
                ClientError::NotFound(_) => StatusCode::NOT_FOUND,
                ClientError::Stopping(_) => StatusCode::SERVICE_UNAVAILABLE,
                ClientError::Refused { status, .. } => StatusCode::from_u16(*status).unwrap(),
                other => panic!("{error:?} became {other:?}"),
            };
            assert_eq!((class, answer.to_string()), (status, error.to_string()));
        }
    }
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_told_why() {
    let daemon = Daemon::start().await;
    let http = http(&daemon);
    let ask = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        let (status, allow) = (response.status(), response.headers().get(ALLOW).cloned());
        (
            status,
            response.json::<Failure>().await.unwrap().error,
            allow,
        )
    };
    let (status, error, _) = ask(http.get("http://lb/v2/status")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        error.contains("/v2/status") && error.contains("/v1/status"),
        "{error}"
    );

    let (status, error, allow) = ask(http.delete("http://lb/v1/document")).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(
        error.contains("DELETE") && error.contains("POST /v1/check"),
        "{error}"
    );
    assert_eq!(allow.unwrap(), "GET,HEAD,POST");

    for (path, body, part) in [
        ("check", "{", "EOF"),
        ("diff", "{}", "missing field `text`"),
        ("document", "[1]", "line 1 column"),
        (
            "edit",
            r#"{"edit": "service-rename"}"#,
            "unknown variant `service-rename`",
        ),
        (
            "edit",
            r#"{"edit": "backend-add", "service": "web", "address": "x"}"#,
            "socket address",
        ),
    ] {
        let (status, error, _) = ask(http.post(format!("http://lb/v1/{path}")).body(body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}: {error}");
        assert!(error.contains(part), "{path} {body}: {error}");
    }
    assert_eq!(
        daemon.fake.calls(),
        [],
        "none of these may reach the controller"
    );
}

#[tokio::test]
async fn large_documents_are_taken_and_larger_ones_refused() {
    let daemon = Daemon::start().await;
    let client = Client::new(daemon.socket()).unwrap();
    let large = Replace {
        text: "#".repeat(10 << 20),
        ..replace()
    };
    client.check(&large).await.unwrap();

    let stream = UnixStream::connect(daemon.socket()).await.unwrap();
    let (mut from, mut to) = stream.into_split();
    let sending = tokio::spawn(async move {
        let head = format!(
            "POST /v1/check HTTP/1.1\r\nhost: lb\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            BODY_BYTES_MAX + 1
        );
        to.write_all(head.as_bytes()).await.unwrap();
        // The server may hang up before it has read everything. Our end stays open meanwhile, as
        // that of a client that waits for its answer.
        drop(to.write_all(&vec![b' '; BODY_BYTES_MAX + 1]).await);
        to
    });
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, from.read_to_end(&mut answer));
    // Hanging up on unread bytes may end in a reset, after the answer.
    drop(reading.await.expect("an answer in time"));
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(
        answer.contains("the request is larger than 64 MiB"),
        "{answer}"
    );
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn a_change_ends_even_if_nobody_waits_for_it() {
    let daemon = Daemon::start().await;
    let gate = daemon.fake.gate();
    let client = Client::new(daemon.socket()).unwrap();
    let asking = tokio::spawn(async move { client.edit(&edit()).await });
    until(&daemon.fake, "edit").await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    gate.notify_one();
    until(&daemon.fake, "edited").await;
}

/// Waits until the fake is asked this.
async fn until(fake: &Fake, name: &str) {
    let asked = async {
        while !fake.calls().iter().any(|(call, _)| *call == name) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .expect("it is asked in time");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lb.sock");
    let fake = Fake::default();
    let gate = fake.gate();
    let listener = UnixListener::bind(&path).unwrap();
    let router = server::router(fake.clone(), Duration::from_millis(20));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let error = Client::new(&path).unwrap().edit(&edit()).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Refused { status: 504, .. }),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        "no answer within 0.02 s: a change goes on; see `lb status`"
    );
    gate.notify_one();
    until(&fake, "edited").await;
    serving.abort();
}

#[tokio::test]
async fn requests_under_way_end_before_the_server_does() {
    let daemon = Daemon::start().await;
    let gate = daemon.fake.gate();
    let client = Client::new(daemon.socket()).unwrap();
    let asking = tokio::spawn(async move { client.edit(&edit()).await });
    until(&daemon.fake, "edit").await;
    let (fake, socket) = (daemon.fake.clone(), daemon.socket());
    let stopping = tokio::spawn(daemon.stop());
    gate.notify_one();
    assert_eq!(asking.await.unwrap().unwrap().revision, "next");
    stopping.await.unwrap().unwrap();
    assert_eq!(fake.calls().len(), 1, "only the edit's end is left");
    let error = Client::new(&socket).unwrap().status().await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning(_)), "{error:?}");
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let daemon = Daemon::start().await;
    let scrape = http(&daemon).get("http://lb/metrics");
    let response = scrape.try_clone().unwrap().send().await.unwrap();
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let older = response.text().await.unwrap();
    assert!(
        older.contains("# TYPE lb_backend_packets_total counter\n"),
        "{older}"
    );
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let response = scrape.header(ACCEPT, accept).send().await.unwrap();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(response.headers()[CONTENT_TYPE], kind);
    assert!(response.text().await.unwrap().ends_with("# EOF\n"));
}

#[tokio::test]
async fn over_tcp_there_are_metrics_and_nothing_else() {
    let fake = Fake::default();
    let listener = bind_metrics("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = bind_metrics(address).await.unwrap_err().to_string();
    assert_eq!(
        taken,
        format!("cannot serve metrics on {address}; is another program using it?")
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let control = fake.clone();
    let serving = tokio::spawn(async move {
        serve_metrics_on(listener, control, async { drop(stopped.await) }).await
    });
    let http = http_client().no_proxy().timeout(PATIENCE).build().unwrap();
    let ask = async |path: &str| {
        let response = http
            .get(format!("http://{address}{path}"))
            .send()
            .await
            .unwrap();
        (response.status(), response.text().await.unwrap())
    };
    assert_eq!(ask("/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
    let (status, text) = ask("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("lb_build_info{"), "{text}");
    assert_eq!(ask("/v1/document").await.0, StatusCode::NOT_FOUND);
    fake.refuse(ControlError::Stopping);
    assert_eq!(ask("/healthz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, serving)
        .await
        .expect("it ends")
        .unwrap()
        .unwrap();
}
