//! The HTTP and HTTPS probe: one `GET` over a connection of its own.
//!
//! The connection goes to the backend's address whatever name the request carries: no name is
//! looked up, no proxy used, no redirect followed, no connection kept, and no body read.

use std::net::{IpAddr, SocketAddr};

use reqwest::header::{HOST, HeaderValue};
use reqwest::{Client, ClientBuilder, Url, redirect, retry};

use super::failure;
use super::state::Outcome;
use super::tls::Trust;
use crate::crypto::http_client;
use crate::document::HttpCheck;

const USER_AGENT: &str = concat!("lb/", env!("CARGO_PKG_VERSION"), " (health check)");

/// A prepared request and the answers that count as success.
#[derive(Debug)]
pub(super) struct HttpProbe {
    client: Client,
    url: Url,
    /// `None` leaves the address as the `Host` header.
    host: Option<HeaderValue>,
    /// First and last status that count as success.
    status: (u16, u16),
    /// The name that failures of the certificate mention.
    peer: String,
}

impl HttpProbe {
    /// Over plain TCP.
    ///
    /// # Errors
    ///
    /// When the request cannot be made of the check's host and path: what is wrong with them.
    pub(super) fn plain(address: SocketAddr, check: &HttpCheck) -> Result<Self, String> {
        // TLS is never spoken; accepting everything only spares loading the system's roots.
        let builder = http_client().tls_danger_accept_invalid_certs(true);
        Self::new("http", address, check, builder)
    }

    /// Over TLS with any certificate.
    ///
    /// # Errors
    ///
    /// As [`Self::plain`].
    pub(super) fn unverified(address: SocketAddr, check: &HttpCheck) -> Result<Self, String> {
        let builder = http_client().tls_danger_accept_invalid_certs(true);
        Self::new("https", address, check, builder)
    }

    /// Over TLS with a certificate that is valid for the check's host, or for the backend's
    /// address where the host is absent or itself an address.
    ///
    /// # Errors
    ///
    /// As [`Self::plain`], and when there are no roots to verify against.
    pub(super) fn verified(
        address: SocketAddr,
        check: &HttpCheck,
        trust: &Trust,
    ) -> Result<Self, String> {
        let builder = http_client().tls_backend_preconfigured(trust.client_config()?);
        Self::new("https", address, check, builder)
    }

    fn new(
        scheme: &str,
        address: SocketAddr,
        check: &HttpCheck,
        builder: ClientBuilder,
    ) -> Result<Self, String> {
        // A URL with an IP address is connected to directly, so one that is not the backend's
        // may appear in the header only.
        let name = check
            .host
            .as_deref()
            .filter(|host| host.parse::<IpAddr>().is_err());
        let authority = match name {
            Some(name) => format!("{name}:{}", address.port()),
            None => address.to_string(),
        };
        let url = Url::parse(&format!("{scheme}://{authority}{}", check.path))
            .map_err(|error| format!("cannot ask for {authority}{}: {error}", check.path))?;
        let peer = url.host_str().unwrap_or_default().to_owned();
        let builder = match name {
            Some(_) => builder.resolve(&peer, address),
            None => builder,
        };
        let host = check
            .host
            .as_deref()
            .map(HeaderValue::from_str)
            .transpose()
            .map_err(|error| format!("cannot be a `Host` header: {error}"))?;
        let client = builder
            .user_agent(USER_AGENT)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .pool_max_idle_per_host(0)
            .http1_only()
            .build()
            .map_err(|error| failure::of_request(&error, &peer))?;
        Ok(Self {
            client,
            url,
            host,
            status: check.status,
            peer,
        })
    }

    /// Asks once; only the head of the answer is awaited.
    pub(super) async fn once(&self) -> Outcome {
        let mut request = self.client.get(self.url.clone());
        if let Some(host) = &self.host {
            request = request.header(HOST, host);
        }
        let answer = request
            .send()
            .await
            .map_err(|error| failure::of_request(&error, &self.peer))?;
        let status = answer.status().as_u16();
        let (first, last) = self.status;
        if (first..=last).contains(&status) {
            Ok(format!("status {status}"))
        } else if first == last {
            Err(format!("status {status}, expected {first}"))
        } else {
            Err(format!("status {status}, expected {first}-{last}"))
        }
    }
}
