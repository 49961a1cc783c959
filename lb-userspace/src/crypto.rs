//! The cryptography of TLS: one provider for all, *ring*, which needs no more than a C compiler to
//! build.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

/// The provider, for whoever asks for it by hand.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A client of HTTP, yet to be configured.
pub fn http_client() -> reqwest::ClientBuilder {
    // Of two that install it at once one is refused, which is as good.
    if CryptoProvider::get_default().is_none() {
        let _ = ring::default_provider().install_default();
    }
    reqwest::Client::builder()
}
