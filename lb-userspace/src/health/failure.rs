//! Failures of probes in a few words.
//!
//! The words are the same for the same cause: a text with a clock or a counter in it would make
//! every probe of a failed backend look like news.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// Longest text of an error that others wrote, in characters.
const TEXT_MAX: usize = 160;

/// What went wrong with a socket.
pub(super) fn of_io(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::ConnectionAborted => "connection aborted",
        io::ErrorKind::HostUnreachable => "host unreachable",
        io::ErrorKind::NetworkUnreachable => "network unreachable",
        io::ErrorKind::NetworkDown => "network down",
        io::ErrorKind::TimedOut => "connection timed out",
        io::ErrorKind::UnexpectedEof => "connection closed early",
        io::ErrorKind::AddrNotAvailable => "no local address or port left",
        io::ErrorKind::PermissionDenied => "not permitted by this host's firewall or routes",
        _ => return shortened(&error.to_string()),
    };
    text.to_owned()
}

/// What went wrong with a request to `peer`, a name or address.
///
/// The error as such says "error sending request"; the cause is found down its chain.
pub(super) fn of_request(error: &reqwest::Error, peer: &str) -> String {
    of_chain(error, peer)
}

fn of_chain(error: &(dyn Error + 'static), peer: &str) -> String {
    let mut deepest = error;
    loop {
        if let Some(error) = deepest.downcast_ref::<rustls::Error>() {
            return of_tls(error, peer);
        }
        // TLS hands its errors on as those of the stream below it, perhaps more than once. The
        // source of an `io::Error` is that of the error it wraps, not that error.
        let next = match deepest.downcast_ref::<io::Error>() {
            Some(error) => match error.get_ref() {
                Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
                None => return of_io(error),
            },
            None => deepest.source(),
        };
        match next {
            Some(next) => deepest = next,
            None => return shortened(&deepest.to_string()),
        }
    }
}

fn of_tls(error: &rustls::Error, peer: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => {
            format!(
                "certificate not valid for {peer}: {}",
                of_certificate(error)
            )
        }
        rustls::Error::InvalidMessage(_) => "the answer is not TLS".to_owned(),
        error => shortened(&format!("TLS: {error}")),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    let text = match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet"
        }
        CertificateError::UnknownIssuer => "its issuer is not trusted",
        CertificateError::Revoked => "it was revoked",
        CertificateError::NotValidForName => "it is for another name",
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "it names no host"
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            return shortened(&format!("it is for {}", names.join(", ")));
        }
        other => return shortened(&other.to_string()),
    };
    text.to_owned()
}

/// `www.example.org` of `DnsName("www.example.org")`, the form in which rustls lists names.
fn bare(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn known_causes_have_words_of_their_own() {
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        assert_eq!(of_io(&refused), "connection refused");
        let unreachable = io::Error::from_raw_os_error(libc::EHOSTUNREACH);
        assert_eq!(of_io(&unreachable), "host unreachable");
    }

    #[test]
    fn expiry_does_not_change_its_words_with_the_clock() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let text = |time| {
            let error = CertificateError::ExpiredContext {
                time: at(time),
                not_after: at(1),
            };
            let error = io::Error::other(rustls::Error::InvalidCertificate(error));
            of_chain(&io::Error::other(error), "example.org")
        };
        assert_eq!(
            text(2),
            "certificate not valid for example.org: it has expired"
        );
        assert_eq!(text(2), text(3));
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let long = "é".repeat(TEXT_MAX + 1);
        assert_eq!(shortened(&long), format!("{}…", "é".repeat(TEXT_MAX)));
        assert_eq!(shortened("short"), "short");
    }
}
