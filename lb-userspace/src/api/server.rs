//! The daemon's side of the interface: routes, statuses, limits.
//!
//! It decides nothing: each request becomes one call of [`Control`], and every answer that is not
//! a success is a [`Failure`] in JSON. Who may speak to it is decided by the socket's mode.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::control::{Control, ControlError};
use super::socket::{Socket, SocketError};
use super::types::{Changed, Failure};
use crate::metrics;

/// Longest request body in bytes: documents hold sets of hundreds of thousands of prefixes.
pub const BODY_BYTES_MAX: usize = 64 << 20;

/// How long a request may take. The largest change, a whole new generation, takes a second.
pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// How long requests that are under way may take once the daemon stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Every path of the interface, for whoever asks for another.
const PATHS: &str = "GET /v1/status, /v1/stats, /v1/firewall, /v1/document, /metrics; \
                     POST /v1/check, /v1/diff, /v1/document, /v1/edit";

/// Why the interface ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The Unix socket could not be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The metrics' address could not be listened on.
    #[error("cannot serve metrics on {address}; is another program using it?")]
    Metrics {
        /// The address of the document.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Serving failed later.
    #[error("the API stopped serving")]
    Io(#[from] std::io::Error),
}

/// Makes the socket and serves the interface on it until `shutdown` ends. See [`Socket::bind`].
pub async fn serve<C: Control>(
    path: &Path,
    control: C,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    serve_on(Socket::bind(path).await?, control, shutdown).await
}

/// Serves the interface on a socket made before, until `shutdown` ends.
///
/// Requests under way then have five seconds to end. The socket's file is gone afterwards.
pub async fn serve_on<C: Control>(
    socket: Socket,
    control: C,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let Socket { listener, guard } = socket;
    let served = listen(listener, router(control, REQUEST_TIMEOUT), shutdown).await;
    drop(guard);
    served
}

/// Listens on the metrics' address and serves `/metrics` and `/healthz`, and nothing else, over
/// TCP until `shutdown` ends.
pub async fn serve_metrics<C: Control>(
    address: SocketAddr,
    control: C,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    serve_metrics_on(bind_metrics(address).await?, control, shutdown).await
}

/// Listens on the metrics' address. Doing it ahead of [`serve_metrics_on`] tells early that the
/// address is taken.
pub async fn bind_metrics(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| ServeError::Metrics { address, source })
}

/// Serves `/metrics` and `/healthz` on a listener made before, until `shutdown` ends.
pub async fn serve_metrics_on<C: Control>(
    listener: TcpListener,
    control: C,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    listen(listener, metrics_router(control), shutdown).await
}

/// Serves a router, and gives up on the last requests some time after the shutdown.
async fn listen<L>(
    listener: L,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError>
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let (stop, mut stopped) = watch::channel(false);
    let stopping = async move {
        shutdown.await;
        stop.send_replace(true);
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(stopping);
    let too_late = async move {
        // A dropped sender means that serving ended; then the other branch is about to win.
        if stopped.wait_for(|&stop| stop).await.is_ok() {
            tokio::time::sleep(STOP_TIMEOUT).await;
        } else {
            std::future::pending::<Infallible>().await;
        }
    };
    tokio::select! {
        served = serving => Ok(served?),
        () = too_late => Ok(()),
    }
}

/// The routes of the Unix socket; a request that takes longer than `timeout` is answered by 504.
pub fn router<C: Control>(control: C, timeout: Duration) -> Router {
    Router::new()
        .route(
            "/v1/status",
            get(async |State(c): State<C>| json(c.status().await)),
        )
        .route(
            "/v1/stats",
            get(async |State(c): State<C>| json(c.stats().await)),
        )
        .route(
            "/v1/firewall",
            get(async |State(c): State<C>| json(c.firewall().await)),
        )
        .route(
            "/v1/document",
            get(async |State(c): State<C>| json(c.document().await)).post(replace::<C>),
        )
        .route("/v1/check", post(check::<C>))
        .route("/v1/diff", post(diff::<C>))
        .route("/v1/edit", post(edit::<C>))
        .route("/metrics", get(scrape::<C>))
        .fallback(async |uri: Uri| Refusal::no_such_path(&uri, PATHS))
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(move |request, next| {
            bounded(timeout, request, next)
        }))
        .with_state(control)
}

/// The routes of the TCP port: what a scraper and a load balancer's probe need, no more.
fn metrics_router<C: Control>(control: C) -> Router {
    Router::new()
        .route("/metrics", get(scrape::<C>))
        .route("/healthz", get(health::<C>))
        .fallback(async |uri: Uri| Refusal::no_such_path(&uri, "GET /metrics, /healthz"))
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(|request, next| {
            bounded(REQUEST_TIMEOUT, request, next)
        }))
        .with_state(control)
}

/// Ends a request that takes too long.
async fn bounded(timeout: Duration, request: Request, next: Next) -> Response {
    let reading = request.method() == Method::GET;
    if let Ok(response) = tokio::time::timeout(timeout, next.run(request)).await {
        return response;
    }
    let advice = if reading {
        "try again"
    } else {
        "a change goes on; see `lb status`"
    };
    let text = format!("no answer within {} s: {advice}", timeout.as_secs_f32());
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, text).into_response()
}

async fn check<C: Control>(State(control): State<C>, body: Body) -> Answer<()> {
    json(control.check(parse(body)?).await)
}

async fn diff<C: Control>(State(control): State<C>, body: Body) -> Answer<Changed> {
    json(control.diff(parse(body)?).await)
}

async fn replace<C: Control>(State(control): State<C>, body: Body) -> Answer<Changed> {
    let wanted = parse(body)?;
    to_its_end(async move { control.replace(wanted).await }).await
}

async fn edit<C: Control>(State(control): State<C>, body: Body) -> Answer<Changed> {
    let edit = parse(body)?;
    to_its_end(async move { control.edit(edit).await }).await
}

/// Runs a change as a task of its own: a client that hangs up, or the timeout, drops the request
/// but must not stop a change halfway.
async fn to_its_end(
    change: impl Future<Output = Result<Changed, ControlError>> + Send + 'static,
) -> Answer<Changed> {
    match tokio::spawn(change).await {
        Ok(changed) => json(changed),
        Err(error) => {
            tracing::error!(%error, "a change ended abnormally");
            let text = "the change ended abnormally; see the daemon's log and `lb status`";
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text))
        }
    }
}

async fn scrape<C: Control>(
    State(control): State<C>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let stats = control.stats().await?;
    let rendered = metrics::render(&stats, &control.status().await?).map_err(|error| {
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("no metrics: {error}"),
        )
    })?;
    let accept = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let format = metrics::Format::accepted_by(accept);
    Ok((
        [(CONTENT_TYPE, format.content_type())],
        format.of_rendered(rendered),
    )
        .into_response())
}

/// Healthy is a daemon whose controller answers.
async fn health<C: Control>(State(control): State<C>) -> Result<&'static str, Refusal> {
    control.status().await?;
    Ok("ok\n")
}

async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    let text = format!("{method} is not for {}; there are {PATHS}", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text)
}

/// A request's body, or why it could not be read.
type Body = Result<Bytes, BytesRejection>;

/// What a handler answers.
type Answer<T> = Result<Json<T>, Refusal>;

/// The body as JSON. Its content type is not asked, so that plain `curl -d` works.
fn parse<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let bytes = body.map_err(|rejection| {
        let text = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                format!("the request is larger than {} MiB", BODY_BYTES_MAX >> 20)
            }
            _ => format!(
                "the request's body cannot be read: {}",
                rejection.body_text()
            ),
        };
        Refusal::new(rejection.status(), text)
    })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let text = format!("the request's body is not the JSON that is expected here: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, text)
    })
}

/// What the controller answered, as HTTP.
fn json<T>(answer: Result<T, ControlError>) -> Answer<T> {
    Ok(Json(answer?))
}

/// An answer that is not a success.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    failure: Failure,
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            failure: Failure {
                error: error.into(),
            },
        }
    }

    fn no_such_path(uri: &Uri, paths: &str) -> Self {
        let text = format!("no such path: {}; there are {paths}", uri.path());
        Self::new(StatusCode::NOT_FOUND, text)
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        let status = match &error {
            ControlError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ControlError::Conflict(_) => StatusCode::CONFLICT,
            ControlError::NotFound(_) => StatusCode::NOT_FOUND,
            ControlError::Refused(_) => StatusCode::INTERNAL_SERVER_ERROR,
            ControlError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.failure)).into_response()
    }
}
