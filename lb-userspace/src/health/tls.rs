//! Which certificates an HTTPS check believes.

use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls_platform_verifier::Verifier;

use crate::crypto::provider;

/// The roots that certificates are verified against, shared by all probes.
///
/// Loading the system's roots takes milliseconds and a good part of a megabyte, so it is done
/// once, and only when a check verifies at all.
#[derive(Debug, Clone, Default)]
pub(super) struct Trust(Arc<OnceLock<Result<ClientConfig, String>>>);

impl Trust {
    /// The roots of the operating system.
    pub(super) fn system() -> Self {
        Self::default()
    }

    /// Exactly what `verifier` accepts.
    #[cfg(test)]
    pub(super) fn only(verifier: Arc<dyn ServerCertVerifier>) -> Self {
        Self(Arc::new(OnceLock::from(client_config(
            provider(),
            verifier,
        ))))
    }

    /// TLS for one client.
    ///
    /// # Errors
    ///
    /// When the system has no roots: what to do.
    pub(super) fn client_config(&self) -> Result<ClientConfig, String> {
        self.0.get_or_init(from_system).clone()
    }
}

fn from_system() -> Result<ClientConfig, String> {
    let provider = provider();
    let verifier = Verifier::new(Arc::clone(&provider)).map_err(|error| {
        format!("certificates cannot be verified: {error}: install ca-certificates and restart lb")
    })?;
    client_config(provider, Arc::new(verifier))
}

fn client_config(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // A resumed session is not asked for its certificate again: a backend whose certificate
    // ran out or was replaced by a wrong one would stay healthy.
    config.resumption = Resumption::disabled();
    Ok(config)
}
