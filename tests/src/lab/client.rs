//! Minimal blocking clients, to be run inside a namespace by [`super::Namespace::enter`].
//!
//! Each request is a new connection, because connections are what the balancer schedules. No
//! redirects, no chunked answers, no retries: a failure must be seen, not smoothed over.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::server::DATAGRAM_MAX;

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, complete: its length is what the header promised.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `GET path` over a new connection. `bound` holds for connecting and for each read or write.
///
/// # Errors
/// Refused, reset, late, or not an answer of HTTP/1.1 with a length.
pub fn http_get(to: SocketAddr, path: &str, bound: Duration) -> io::Result<Answer> {
    http(to, "GET", path, &[], bound)
}

/// `POST path` with a body over a new connection; otherwise like [`http_get`].
pub fn http_post(to: SocketAddr, path: &str, body: &[u8], bound: Duration) -> io::Result<Answer> {
    http(to, "POST", path, body, bound)
}

/// A new TCP connection whose reads and writes take at most `bound` each.
pub fn connect(to: SocketAddr, bound: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, bound)?;
    stream.set_read_timeout(Some(bound))?;
    stream.set_write_timeout(Some(bound))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a datagram from `port` (0: any) and returns the answer to it, at most 16 KiB of it.
///
/// Every port is a flow of its own; a port used again soon would continue an older flow.
///
/// # Errors
/// No answer within `bound`, an ICMP error, or the port is taken.
pub fn udp_ask(to: SocketAddr, port: u16, payload: &[u8], bound: Duration) -> io::Result<Vec<u8>> {
    let any = if to.is_ipv4() { "0.0.0.0" } else { "::" };
    let socket = UdpSocket::bind((any, port))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(bound))?;
    socket.send(payload)?;
    let mut buffer = [0; DATAGRAM_MAX];
    let length = socket.recv(&mut buffer)?;
    Ok(buffer[..length].to_vec())
}

fn http(
    to: SocketAddr,
    method: &str,
    path: &str,
    body: &[u8],
    bound: Duration,
) -> io::Result<Answer> {
    let mut stream = connect(to, bound)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&bytes).ok_or_else(|| {
        io::Error::new(
            ErrorKind::InvalidData,
            format!("no whole answer in {} bytes", bytes.len()),
        )
    })
}

/// An answer as RFC 9112 writes it; `None` if it is not whole.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let body = bytes[end + 4..].to_vec();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()?
        .strip_prefix("HTTP/1.1 ")?
        .get(..3)?
        .parse()
        .ok()?;
    let length: usize = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    })?;
    (body.len() == length).then_some(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_counts() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nb1";
        assert_eq!(
            parse(whole),
            Some(Answer {
                status: 200,
                body: b"b1".to_vec()
            })
        );
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "cut at {length}");
        }
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\n"), None, "no length");
    }
}
