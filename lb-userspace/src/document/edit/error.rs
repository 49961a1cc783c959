//! Why an edit was not made, and what to do instead.

use std::net::SocketAddr;

use ipnet::IpNet;
use jiff::Timestamp;

/// Why an edit was not made. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text cannot be edited, because it is not TOML.
    #[error("the document is not TOML: {0}mend it by hand; `lb check` shows where")]
    Syntax(String),
    /// A key that edits work on does not hold tables.
    #[error("`{0}` in the document is not a list of tables; mend it by hand")]
    NotTables(&'static str),
    /// No service has this name.
    #[error("there is no service `{name}`; {known}")]
    NoService {
        /// The name asked for.
        name: String,
        /// What there is instead, in words.
        known: String,
    },
    /// A service has this name.
    #[error("there is a service `{0}` already; remove it first, or choose another name")]
    ServiceExists(String),
    /// A service cannot be without a backend.
    #[error("the service `{0}` has no backend; give at least one")]
    NoBackends(String),
    /// The service has no such backend.
    #[error("service `{service}` has no backend {address}; {known}")]
    NoBackend {
        /// The service's name.
        service: String,
        /// The backend asked for.
        address: SocketAddr,
        /// What there is instead, in words.
        known: String,
    },
    /// The service has this backend.
    #[error("service `{service}` has the backend {address} already")]
    BackendExists {
        /// The service's name.
        service: String,
        /// The backend.
        address: SocketAddr,
    },
    /// A service cannot be without a backend.
    #[error(
        "{address} is the last backend of service `{service}`; add another first, or remove the \
         service with `lb service remove {service}`"
    )]
    LastBackend {
        /// The service's name.
        service: String,
        /// The backend.
        address: SocketAddr,
    },
    /// The check of a new service is not understood.
    #[error("`{0}` is not a check; write tcp, http:/path or https:/path")]
    BadCheck(String),
    /// The prefix to block has bits set beyond its length.
    #[error("{prefix} has bits set beyond its length; write {meant}")]
    HostBits {
        /// As given.
        prefix: IpNet,
        /// Without the surplus bits.
        meant: IpNet,
    },
    /// A time that TOML cannot express.
    #[error("{0} cannot be written in a document; choose a time before the year 10000")]
    BadTime(Timestamp),
    /// The prefix is not blocked.
    #[error("{prefix} is not blocked; {known}")]
    NotBlocked {
        /// The prefix asked for.
        prefix: IpNet,
        /// What there is instead, in words.
        known: String,
    },
}
