//! The other end of the interface: what the command line, and any Rust program, calls.
//!
//! It speaks to the Unix socket only, and prints nothing.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::server::{BODY_BYTES_MAX, REQUEST_TIMEOUT};
use super::types::{Changed, DocumentText, Edit, Failure, FirewallList, Replace, Stats, Status};
use crate::crypto::http_client;

/// A little longer than the daemon takes at most, so that it is the daemon that says why.
const TIMEOUT: Duration = REQUEST_TIMEOUT.saturating_add(Duration::from_secs(5));

/// A handle on a daemon. Making one connects to nothing.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    socket: PathBuf,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket.
    #[error(
        "the daemon is not running (no socket at {}): start it with `lb run --config lb.toml`, or \
         name its socket with --socket",
        .0.display()
    )]
    NotRunning(PathBuf),
    /// There is a socket, and nobody listens on it.
    #[error(
        "the daemon is not running (nobody answers at {}): it ended without cleaning up; start it \
         with `lb run --config lb.toml`",
        .0.display()
    )]
    Stale(PathBuf),
    /// The socket belongs to others.
    #[error(
        "no permission for the daemon's socket {}: use sudo, or join the group that owns it",
        .0.display()
    )]
    Permission(PathBuf),
    /// The daemon's answer did not come, or made no sense.
    #[error("no usable answer from the daemon at {}", socket.display())]
    Transport {
        /// The daemon's socket.
        socket: PathBuf,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The request is more than the daemon takes.
    #[error(
        "this is larger than {} MiB, which is more than the daemon takes; is it a document?",
        BODY_BYTES_MAX >> 20
    )]
    TooLarge,
    /// The request cannot be written as JSON.
    #[error("cannot write the request as JSON")]
    Encode(#[source] serde_json::Error),
    /// The daemon refused: the document would not be valid.
    #[error("{0}")]
    Invalid(String),
    /// The daemon refused: the document changed in between.
    #[error("{0}")]
    Conflict(String),
    /// The daemon refused: there is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The daemon is stopping.
    #[error("{0}")]
    Stopping(String),
    /// The daemon refused for another reason.
    #[error("{text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the daemon said.
        text: String,
    },
}

impl Client {
    /// A client of the daemon at this socket.
    pub fn new(socket: impl Into<PathBuf>) -> Result<Self, ClientError> {
        let socket = socket.into();
        let http = http_client()
            .unix_socket(socket.as_path())
            // No TLS is spoken here; without this, each command would load the system's roots.
            .tls_certs_only([])
            .timeout(TIMEOUT)
            .build();
        match http {
            Ok(http) => Ok(Self { http, socket }),
            Err(source) => Err(ClientError::Transport { socket, source }),
        }
    }

    /// Where the daemon is expected.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What runs, where, and how full its tables are.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.read("/v1/status").await
    }

    /// Every counter.
    pub async fn stats(&self) -> Result<Stats, ClientError> {
        self.read("/v1/stats").await
    }

    /// What is dropped.
    pub async fn firewall(&self) -> Result<FirewallList, ClientError> {
        self.read("/v1/firewall").await
    }

    /// The running document.
    pub async fn document(&self) -> Result<DocumentText, ClientError> {
        self.read("/v1/document").await
    }

    /// The metrics as Prometheus reads them.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let response = self.send(self.request(Method::GET, "/metrics")).await?;
        response.text().await.map_err(|error| self.transport(error))
    }

    /// Whether the daemon would take the text.
    pub async fn check(&self, wanted: &Replace) -> Result<(), ClientError> {
        self.write("/v1/check", wanted).await
    }

    /// What taking the text would change.
    pub async fn diff(&self, wanted: &Replace) -> Result<Changed, ClientError> {
        self.write("/v1/diff", wanted).await
    }

    /// Makes the text the document. It is in the kernel and on disk when this returns.
    pub async fn replace(&self, wanted: &Replace) -> Result<Changed, ClientError> {
        self.write("/v1/document", wanted).await
    }

    /// Makes one change. It is in the kernel and on disk when this returns.
    pub async fn edit(&self, edit: &Edit) -> Result<Changed, ClientError> {
        self.write("/v1/edit", edit).await
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let response = self.send(self.request(Method::GET, path)).await?;
        response.json().await.map_err(|error| self.transport(error))
    }

    async fn write<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(ClientError::Encode)?;
        // The daemon would hang up in the middle of it, and its reason be lost.
        if body.len() > BODY_BYTES_MAX {
            return Err(ClientError::TooLarge);
        }
        let request = self
            .request(Method::POST, path)
            .header(CONTENT_TYPE, "application/json");
        let response = self.send(request.body(body)).await?;
        response.json().await.map_err(|error| self.transport(error))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // HTTP wants a host; the socket decides where the request goes.
        self.http.request(method, format!("http://lb{path}"))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request
            .send()
            .await
            .map_err(|error| self.transport(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response
            .text()
            .await
            .map_err(|error| self.transport(error))?;
        let text = match serde_json::from_str::<Failure>(&text) {
            Ok(failure) => failure.error,
            Err(_) => format!("the daemon answered {status}: {}", text.trim()),
        };
        Err(match status {
            StatusCode::UNPROCESSABLE_ENTITY => ClientError::Invalid(text),
            StatusCode::CONFLICT => ClientError::Conflict(text),
            StatusCode::NOT_FOUND => ClientError::NotFound(text),
            StatusCode::SERVICE_UNAVAILABLE => ClientError::Stopping(text),
            _ => ClientError::Refused {
                status: status.as_u16(),
                text,
            },
        })
    }

    /// Finds the reason that a user can do something about.
    fn transport(&self, error: reqwest::Error) -> ClientError {
        let socket = self.socket.clone();
        match io_kind(&error) {
            Some(io::ErrorKind::NotFound) => ClientError::NotRunning(socket),
            Some(io::ErrorKind::ConnectionRefused) => ClientError::Stale(socket),
            Some(io::ErrorKind::PermissionDenied) => ClientError::Permission(socket),
            _ => ClientError::Transport {
                socket,
                source: error.without_url(),
            },
        }
    }
}

/// The kind of the I/O error that kept a connection from being made, if one did.
fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    if !error.is_connect() {
        return None;
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}
