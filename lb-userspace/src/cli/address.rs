//! Addresses as users type them, and what to tell those who mistype them.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// Reads a prefix; a bare address is a prefix of that one address.
pub(super) fn prefix(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let prefix: IpNet = text.parse().map_err(|_| {
        format!("`{text}` is neither a prefix like 203.0.113.0/24 nor an address like 2001:db8::1")
    })?;
    if prefix.trunc() != prefix {
        return Err(format!(
            "`{text}` has bits set behind the prefix length: write {} for the whole network, or \
             {} for that one address",
            prefix.trunc(),
            IpNet::from(prefix.addr()),
        ));
    }
    Ok(prefix)
}

/// Reads a backend's address and port.
pub(super) fn backend(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let hint = match text.parse::<IpAddr>() {
        Ok(address) => {
            let example = SocketAddr::new(address, 80);
            format!("its port is missing: write {example}, or port 0 to keep each packet's port")
        }
        Err(_) => {
            "write it like 10.0.0.4:80 or [2001:db8::4]:80; names are not resolved".to_owned()
        }
    };
    Err(format!("`{text}` is no backend: {hint}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_bare_address_is_a_prefix_of_itself() {
        assert_eq!(
            prefix("203.0.113.7").map(|it| it.to_string()),
            Ok("203.0.113.7/32".into())
        );
        assert_eq!(
            prefix("2001:db8::1").map(|it| it.to_string()),
            Ok("2001:db8::1/128".into())
        );
        assert_eq!(
            prefix("10.0.0.0/8").map(|it| it.to_string()),
            Ok("10.0.0.0/8".into())
        );
        assert_eq!(prefix("::/0").map(|it| it.to_string()), Ok("::/0".into()));
    }

    #[test]
    fn mistyped_prefixes_are_refused_with_both_remedies() {
        assert_eq!(
            prefix("2001:db8::1/32"),
            Err(
                "`2001:db8::1/32` has bits set behind the prefix length: write 2001:db8::/32 for \
                 the whole network, or 2001:db8::1/128 for that one address"
                    .to_owned()
            )
        );
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/24",
            "example.org",
            "@set",
            "!10.0.0.0/8",
        ] {
            let error = prefix(text).expect_err(text);
            assert!(error.contains("neither a prefix like"), "{error}");
        }
    }

    #[test]
    fn backends_are_addresses_with_ports() {
        assert_eq!(
            backend("10.0.0.4:0"),
            Ok(SocketAddr::from(([10, 0, 0, 4], 0)))
        );
        for (text, hint) in [
            ("10.0.0.4", "write 10.0.0.4:80, or port 0"),
            ("2001:db8::4", "write [2001:db8::4]:80, or port 0"),
            ("web1:80", "names are not resolved"),
            ("10.0.0.4:65536", "write it like 10.0.0.4:80"),
        ] {
            let error = backend(text).expect_err(text);
            assert!(error.contains(hint), "{error}");
        }
    }
}
