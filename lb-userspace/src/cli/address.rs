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
