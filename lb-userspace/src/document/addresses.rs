//! Addresses and prefixes as the document writes them.
//!
//! The parsers here answer with what is wrong and the remedy, so that whoever reads a value can
//! say where. They know the forms of addresses, and nothing of what a service may do with one.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{Protocol, Vip};

/// What is wrong with a value, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) message: String,
    pub(super) remedy: String,
}

impl Complaint {
    pub(super) fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// `ADDRESS:PORT/PROTOCOL`.
pub(super) fn vip(text: &str) -> Result<Vip, Complaint> {
    const FORM: &str = "write ADDRESS:PORT/PROTOCOL, such as \"192.0.2.10:80/tcp\" or \
                        \"[2001:db8::10]:53/udp\"";
    let Some((endpoint, protocol)) = text.rsplit_once('/') else {
        let message = format!("`{text}` names no protocol");
        let remedy = match socket(text) {
            Ok(_) => format!("write \"{text}/tcp\" or \"{text}/udp\""),
            Err(_) => FORM.to_owned(),
        };
        return Err(Complaint::new(message, remedy));
    };
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => {
            let message = format!("`{protocol}` is not a protocol that services balance");
            return Err(Complaint::new(message, "end the VIP with /tcp or /udp"));
        }
    };
    let endpoint = endpoint_of(endpoint, FORM)?;
    Ok(Vip {
        address: endpoint.ip(),
        port: endpoint.port(),
        protocol,
    })
}

/// `ADDRESS:PORT`, IPv6 in brackets.
pub(super) fn socket(text: &str) -> Result<SocketAddr, Complaint> {
    endpoint_of(
        text,
        "write ADDRESS:PORT, such as \"10.0.0.11:8080\" or \"[fd00::11]:8080\"",
    )
}

/// `ADDRESS:PORT`; `form` is the remedy where no nearer one is known.
fn endpoint_of(text: &str, form: &str) -> Result<SocketAddr, Complaint> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        plain(socket.ip())?;
        if let SocketAddr::V6(v6) = socket
            && (v6.scope_id() != 0 || v6.flowinfo() != 0)
        {
            let message = format!("`{text}` has a zone, which packets do not carry");
            let remedy = format!("write \"[{}]:{}\"", v6.ip(), v6.port());
            return Err(Complaint::new(message, remedy));
        }
        return Ok(socket);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        let message = format!("`{text}` has no port");
        let remedy = match address {
            IpAddr::V4(_) => format!("append the port: \"{text}:80\", port 0 for any"),
            IpAddr::V6(_) => format!("append the port: \"[{text}]:80\", port 0 for any"),
        };
        return Err(Complaint::new(message, remedy));
    }
    if let Some((address, port)) = text.rsplit_once(':') {
        let inner = address.trim_start_matches('[').trim_end_matches(']');
        let known = inner.parse::<IpAddr>().is_ok();
        if known && port.parse::<u16>().is_err() {
            let message = format!("`{port}` is not a port");
            return Err(Complaint::new(message, "write a port from 0 to 65535"));
        }
        if !known && !address.is_empty() && port.parse::<u16>().is_ok() {
            let message = format!("`{address}` is not an address");
            let remedy = format!("names are not looked up; {form}");
            return Err(Complaint::new(message, remedy));
        }
    }
    let message = format!("`{text}` is not an address and a port");
    Err(Complaint::new(message, form))
}

/// An address.
pub(super) fn address(text: &str) -> Result<IpAddr, Complaint> {
    let address = text.parse().map_err(|_| {
        Complaint::new(
            format!("`{text}` is not an address"),
            "write a numeric address, such as \"192.0.2.1\" or \"2001:db8::1\"",
        )
    })?;
    plain(address)?;
    Ok(address)
}

/// A prefix without host bits, or an address, which is the longest prefix.
pub(super) fn prefix(text: &str) -> Result<IpNet, Complaint> {
    let Some((_, length)) = text.split_once('/') else {
        let address = address(text).map_err(|_| not_a_prefix(text))?;
        return Ok(IpNet::from(address));
    };
    // `ipnet` would take leading zeros and a plus sign.
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(not_a_prefix(text));
    }
    let prefix: IpNet = text.parse().map_err(|_| not_a_prefix(text))?;
    plain(prefix.addr())?;
    let meant = prefix.trunc();
    if meant != prefix {
        let message = format!("`{text}` has bits set beyond its length");
        let remedy = format!(
            "write \"{meant}\" for the prefix, or \"{}\" for the address",
            prefix.addr()
        );
        return Err(Complaint::new(message, remedy));
    }
    Ok(prefix)
}

fn not_a_prefix(text: &str) -> Complaint {
    Complaint::new(
        format!("`{text}` is not an address or a prefix"),
        "write ADDRESS or ADDRESS/LENGTH, such as \"203.0.113.0/24\" (length at most 32) or \
         \"2001:db8::/32\" (at most 128)",
    )
}

/// Refuses IPv4 in the clothes of IPv6: no packet carries such an address.
fn plain(address: IpAddr) -> Result<(), Complaint> {
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        let message = format!("`{v6}` is IPv4 written as IPv6");
        return Err(Complaint::new(message, format!("write it as {v4}")));
    }
    Ok(())
}

/// `IPv4` or `IPv6`.
pub(super) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Why no single host can be reached at the address, where that is so.
pub(super) fn unusable(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if matches!(address, IpAddr::V4(v4) if v4.is_broadcast()) {
        Some("the broadcast address")
    } else {
        None
    }
}
