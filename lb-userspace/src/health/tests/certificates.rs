//! HTTPS probes against a server with a certificate made for the test.

use std::sync::Mutex;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::server::{self, Server};
use super::*;
use crate::crypto::provider;

const NAME: &str = "www.example.org";

/// A self-signed certificate for [`NAME`] and its key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    fn new(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, key }
    }

    /// Trusts this identity and no other.
    fn trust(&self) -> Trust {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        Trust::only(verifier.build().unwrap())
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What a TLS server saw of a connection: the name asked for and the kind of handshake.
type Handshakes = Arc<Mutex<Vec<(Option<String>, HandshakeKind)>>>;

async fn serve(identity: &Identity) -> (Server, Handshakes) {
    let acceptor = identity.acceptor();
    let handshakes = Handshakes::default();
    let seen = Arc::clone(&handshakes);
    let server = Server::start(move |stream, requests| {
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        async move {
            // A client that refuses the certificate ends the handshake.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let session = stream.get_ref().1;
            let name = session.server_name().map(str::to_owned);
            seen.lock()
                .unwrap()
                .push((name, session.handshake_kind().unwrap()));
            server::answer(stream, 200, &requests).await;
        }
    })
    .await;
    (server, handshakes)
}

fn https_check(host: Option<&str>, verify: bool) -> Check {
    let http = HttpCheck {
        host: host.map(str::to_owned),
        ..http_check()
    };
    check(CheckKind::Https { http, verify }, ONCE)
}

#[tokio::test]
async fn any_certificate_is_taken_without_verification() {
    let (server, handshakes) = serve(&Identity::new(|_| ())).await;
    let check = https_check(Some("other.example.org"), false);
    let answer = first_report(server.address, check, Trust::system()).await;
    assert_eq!(answer, report(9, true, "status 200"));
    let names = handshakes.lock().unwrap().clone();
    assert_eq!(
        names,
        [(Some("other.example.org".to_owned()), HandshakeKind::Full)]
    );
}

#[tokio::test]
async fn trusted_certificate_of_the_host_is_valid() {
    let identity = Identity::new(|_| ());
    let (server, _) = serve(&identity).await;
    let check = https_check(Some(NAME), true);
    let answer = first_report(server.address, check, identity.trust()).await;
    assert_eq!(answer, report(9, true, "status 200"));
    let host = format!("host: {NAME}");
    assert!(
        server.requests()[0].contains(&host),
        "{:?}",
        server.requests()
    );
}

#[tokio::test]
async fn certificate_of_another_host_is_not() {
    let identity = Identity::new(|_| ());
    let (server, _) = serve(&identity).await;
    let check = https_check(Some("other.example.org"), true);
    let answer = first_report(server.address, check, identity.trust()).await;
    let detail = "certificate not valid for other.example.org: \
                  it is for www.example.org";
    assert_eq!(answer, report(9, false, detail));
}

#[tokio::test]
async fn certificate_of_an_unknown_issuer_is_not() {
    let (server, _) = serve(&Identity::new(|_| ())).await;
    let stranger = Identity::new(|params| {
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "a stranger");
    });
    let check = https_check(Some(NAME), true);
    let answer = first_report(server.address, check, stranger.trust()).await;
    let detail = "certificate not valid for www.example.org: its issuer is not trusted";
    assert_eq!(answer, report(9, false, detail));
}

#[tokio::test]
async fn system_does_not_trust_what_a_test_made() {
    let (server, _) = serve(&Identity::new(|_| ())).await;
    let check = https_check(Some(NAME), true);
    let answer = first_report(server.address, check, Trust::system()).await;
    assert!(!answer.healthy);
    // The second where this machine has no roots at all.
    let known = [
        "its issuer is not trusted",
        "install ca-certificates and restart lb",
    ];
    let told = known.iter().any(|end| answer.detail.ends_with(end));
    assert!(told, "{}", answer.detail);
}

#[tokio::test]
async fn expired_certificate_is_not() {
    let identity = Identity::new(|params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let (server, _) = serve(&identity).await;
    let check = https_check(Some(NAME), true);
    let answer = first_report(server.address, check, identity.trust()).await;
    let detail = "certificate not valid for www.example.org: it has expired";
    assert_eq!(answer, report(9, false, detail));
}

#[tokio::test]
async fn backend_without_tls_is_told() {
    // It answers a first line that is not HTTP's with a status all the same.
    let server = Server::start(|mut stream, _requests| async move {
        use tokio::io::AsyncWriteExt;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    let answer = first_report(server.address, https_check(None, false), Trust::system()).await;
    assert_eq!(answer, report(9, false, "the answer is not TLS"));
}

#[tokio::test]
async fn every_probe_shows_the_certificate_anew() {
    let identity = Identity::new(|_| ());
    let (server, handshakes) = serve(&identity).await;
    let mut check = https_check(Some(NAME), true);
    check.interval = Duration::from_millis(10);
    let (sender, _reports) = mpsc::channel(10);
    let mut checker = Checker::new(sender).unwrap();
    checker.trust = identity.trust();
    checker.update(
        &[Target {
            id: 1,
            address: server.address,
            check,
        }],
        |_| None,
    );
    until(|| handshakes.lock().unwrap().len() >= 3).await;
    let kinds: Vec<_> = handshakes
        .lock()
        .unwrap()
        .iter()
        .map(|(_, kind)| *kind)
        .collect();
    assert!(
        kinds.iter().all(|kind| *kind == HandshakeKind::Full),
        "{kinds:?}"
    );
}
