//! Requests through the daemon's interface: its router in this process, a controller without a
//! kernel behind it.
//!
//! An input is requests with a NUL between them: a line `METHOD PATH [ACCEPT]`, then the body. Every
//! answer must be well formed, and blame the request or nobody: a 5xx would be the daemon's fault.
//! The HTTP of the wire is hyper's, which is fuzzed where it lives.

mod desk;

use std::cell::RefCell;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode, Uri};
use axum::response::Response;
use lb_userspace::api::server::{REQUEST_TIMEOUT, router};
use lb_userspace::api::types::{Changed, DocumentText, Failure, FirewallList, Stats, Status};
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;

use self::desk::Desk;

/// Most requests of an input.
const REQUESTS_MAX: usize = 16;
/// Longest answer that is looked at: far more than any document of an input makes.
const ANSWER_MAX: usize = 16 << 20;

/// What a request with a sensible answer may be answered by.
const STATUSES: [StatusCode; 7] = [
    StatusCode::OK,
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::CONFLICT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNPROCESSABLE_ENTITY,
];

thread_local! {
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

/// Sends an input's requests to one controller, in order.
pub fn run(input: &[u8]) {
    RUNTIME.with_borrow_mut(|runtime| {
        let runtime = runtime.get_or_insert_with(|| {
            let built = Builder::new_current_thread().enable_time().build();
            built.expect("a runtime of one thread needs nothing")
        });
        runtime.block_on(async {
            let desk = Desk::default();
            let router = router(desk.clone(), REQUEST_TIMEOUT);
            for request in input.split(|byte| *byte == 0).take(REQUESTS_MAX) {
                ask(&desk, router.clone(), request).await;
            }
        });
    });
}

/// Every path with bodies that it takes and bodies that it does not.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    let all = include_str!("seeds.txt");
    let requests: Vec<&str> = all.trim_end().split("\n\n").collect();
    seeds.extend(requests.iter().map(|request| request.as_bytes().to_vec()));
    // After each change everything is read.
    let reads = "\0GET /v1/document\0GET /v1/stats\0GET /v1/firewall\0GET /v1/status\0GET /metrics";
    seeds.extend(
        requests
            .iter()
            .map(|request| format!("{request}{reads}").into_bytes()),
    );
    seeds.extend(requests.chunks(8).map(|some| some.join("\0").into_bytes()));
    seeds
}

async fn ask(desk: &Desk, router: Router, request: &[u8]) {
    let end = request.iter().position(|byte| *byte == b'\n');
    let (line, body) = request.split_at(end.unwrap_or(request.len()));
    let body = body.get(1..).unwrap_or_default().to_vec();
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let method = words.next().and_then(|word| Method::from_bytes(word).ok());
    let uri = words.next().and_then(|word| Uri::try_from(word).ok());
    // What HTTP itself refuses never reaches the router.
    let (Some(method), Some(uri)) = (method, uri) else {
        return;
    };
    let mut builder = Request::builder().method(method.clone()).uri(uri.clone());
    if let Some(accept) = words.next() {
        builder = builder.header(ACCEPT, accept);
    }
    let Ok(request) = builder.body(Body::from(body)) else {
        return;
    };
    let before = desk.text();
    let answered = router.oneshot(request).await;
    let response = answered.unwrap_or_else(|never| match never {});
    let asked = Asked {
        path: uri.path().to_owned(),
        method,
    };
    asked.check(response).await;
    let may_change = asked.method == Method::POST;
    assert!(
        may_change || desk.text() == before,
        "reading changed the document"
    );
}

/// What was asked, as far as the answer depends on it.
struct Asked {
    method: Method,
    path: String,
}

impl Asked {
    async fn check(&self, response: Response) {
        let status = response.status();
        let what = format!("{} {}", self.method, self.path);
        assert!(STATUSES.contains(&status), "{what} is answered by {status}");
        let kind = response.headers().get(CONTENT_TYPE).cloned();
        let bytes = to_bytes(response.into_body(), ANSWER_MAX).await;
        let bytes = bytes.expect("an answer in memory");
        if self.method == Method::HEAD || (self.method == Method::CONNECT && status.is_success()) {
            assert!(bytes.is_empty(), "{what} has a body");
            return;
        }
        let text = std::str::from_utf8(&bytes).expect("answers are UTF-8");
        let kind = kind.expect("an answer has a type");
        if status.is_success() && self.path == "/metrics" {
            metrics(text);
            return;
        }
        assert_eq!(kind, "application/json", "{what}");
        if !status.is_success() {
            let failure: Failure = json(text, &what);
            assert!(!failure.error.trim().is_empty(), "{what} fails silently");
            return;
        }
        self.success(text, &what);
    }

    /// A success is what the interface's types say.
    fn success(&self, text: &str, what: &str) {
        match (self.method.as_str(), self.path.as_str()) {
            ("GET", "/v1/status") => drop(json::<Status>(text, what)),
            ("GET", "/v1/stats") => drop(json::<Stats>(text, what)),
            ("GET", "/v1/firewall") => drop(json::<FirewallList>(text, what)),
            ("GET", "/v1/document") => drop(json::<DocumentText>(text, what)),
            ("POST", "/v1/check") => json::<()>(text, what),
            ("POST", "/v1/diff" | "/v1/document" | "/v1/edit") => {
                drop(json::<Changed>(text, what));
            }
            _ => panic!("{what} is no request of the interface, but succeeds"),
        }
    }
}

fn json<T: DeserializeOwned>(text: &str, what: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{what}: {error} in {text}"))
}

/// Every line is a comment or a sample whose labels end where they should, whatever names hold.
fn metrics(text: &str) {
    assert!(text.ends_with('\n'), "the last line is cut off");
    for line in text.split_terminator('\n') {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let value = match rest.strip_prefix('{') {
            Some(labels) => behind_labels(labels).unwrap_or_else(|| panic!("labels of {line}")),
            None => rest,
        };
        let is_sample = value
            .strip_prefix(' ')
            .is_some_and(|v| v.parse::<f64>().is_ok());
        assert!(line.starts_with("# ") || is_sample, "no sample: {line:?}");
    }
}

/// What follows the brace that ends `name="value",…`.
fn behind_labels(labels: &str) -> Option<&str> {
    let (mut inside, mut escaped) = (false, false);
    for (at, letter) in labels.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            '}' if !inside => return labels.get(at + 1..),
            _ => {}
        }
    }
    None
}
