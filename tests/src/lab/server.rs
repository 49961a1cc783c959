//! The backends' server: HTTP, a UDP echo on the same port, and a TCP echo on another.
//!
//! Every answer names the backend. It serves whoever asks, so a test that gets an answer knows
//! that a path exists, and which.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post};
use nix::sys::socket::sockopt::Ipv6RecvPacketInfo;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt,
};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};

/// Largest body up or down, in bytes.
pub const BODY_MAX: usize = 256 << 20;
/// Longest time `/slow` takes, in milliseconds.
const SLOW_MAX_MS: u64 = 60_000;
/// Longest datagram that is echoed, in bytes, with the name before it.
pub(super) const DATAGRAM_MAX: usize = 16 << 10;

/// What to serve, and where.
#[derive(Debug, Clone)]
pub struct Server {
    /// The name to answer with.
    pub name: String,
    /// HTTP over TCP, and the UDP echo; an IPv6 address, `[::]` for both families.
    pub listen: SocketAddrV6,
    /// The TCP echo.
    pub echo: SocketAddrV6,
}

#[derive(Deserialize)]
struct Slow {
    ms: u64,
}

impl Server {
    /// Serves until the process ends. The HTTP port opens last: once it accepts, all do.
    ///
    /// # Errors
    /// A port is taken.
    pub async fn run(self) -> Result<()> {
        let datagrams = UdpSocket::bind(self.listen);
        let datagrams = datagrams.with_context(|| format!("cannot bind UDP {}", self.listen))?;
        let echo = TcpListener::bind(self.echo).await;
        let echo = echo.with_context(|| format!("cannot bind TCP {}", self.echo))?;
        setsockopt(&datagrams, Ipv6RecvPacketInfo, &true)?;
        let name = self.name.clone();
        std::thread::spawn(move || echo_datagrams(&datagrams, &name));
        tokio::spawn(accept_echo(echo, self.name.clone()));
        let http = TcpListener::bind(self.listen).await;
        let http = http.with_context(|| format!("cannot bind TCP {}", self.listen))?;
        axum::serve(http, routes(&self.name)).await?;
        Ok(())
    }
}

/// A checksum of a body (FNV-1a, 64 bits), so that both ends can compare what they saw.
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The body of `/bytes/N`: a pattern in which no segment looks like the next.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8)
        .collect()
}

fn routes(name: &str) -> Router {
    let name = name.to_owned();
    let upload = post(async |body: Bytes| format!("{} {:016x}", body.len(), checksum(&body)));
    Router::new()
        .route("/", get(async move || name))
        .route("/healthz", get(async || "ok"))
        .route("/bytes/{length}", get(bytes))
        .route("/slow", get(slow))
        .route("/upload", upload.layer(DefaultBodyLimit::max(BODY_MAX)))
}

async fn bytes(Path(length): Path<usize>) -> Result<Vec<u8>, StatusCode> {
    if length > BODY_MAX {
        return Err(StatusCode::BAD_REQUEST);
    }
    Ok(pattern(length))
}

async fn slow(Query(slow): Query<Slow>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(slow.ms.min(SLOW_MAX_MS))).await;
    "slow"
}

async fn accept_echo(listener: TcpListener, name: String) {
    // Accepting fails only for want of descriptors or memory; the next client may be luckier.
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo_stream(stream, name.clone()));
        }
    }
}

/// Greets with the name and a line feed, then sends back what comes.
async fn echo_stream(mut stream: TcpStream, name: String) -> io::Result<()> {
    use tokio::io::AsyncWriteExt;
    stream.set_nodelay(true)?;
    stream.write_all(format!("{name}\n").as_bytes()).await?;
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await?;
    Ok(())
}

/// Answers every datagram with `NAME PAYLOAD`, from the address it was sent to.
///
/// With direct server return that is the virtual address on loopback, which an ordinary
/// `send_to` on the wildcard address would never choose as its source: hence the packet
/// information (RFC 3542, section 6.2).
fn echo_datagrams(socket: &UdpSocket, name: &str) {
    loop {
        // An ICMP error of an earlier answer surfaces here; later clients are not concerned.
        let _ = echo_datagram(socket, name);
    }
}

fn echo_datagram(socket: &UdpSocket, name: &str) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    let mut buffer = [0; DATAGRAM_MAX];
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let mut control = nix::cmsg_space!(libc::in6_pktinfo);
    let message = recvmsg::<SockaddrIn6>(fd, &mut parts, Some(&mut control), MsgFlags::empty())?;
    let (from, length) = (message.address, message.bytes);
    let arrived = message.cmsgs()?.find_map(|entry| match entry {
        ControlMessageOwned::Ipv6PacketInfo(arrived) => Some(arrived),
        _ => None,
    });
    let Some(mut arrived) = arrived else {
        return Ok(());
    };
    // The source address is given, the interface is the route's choice.
    arrived.ipi6_ifindex = 0;
    let answer = [name.as_bytes(), b" ", &buffer[..length]].concat();
    let source = [ControlMessage::Ipv6PacketInfo(&arrived)];
    sendmsg(
        fd,
        &[IoSlice::new(&answer)],
        &source,
        MsgFlags::empty(),
        from.as_ref(),
    )?;
    Ok(())
}

/// Whether `answer` is the UDP echo of `payload`, and whose.
pub fn echoed_by(answer: &[u8], payload: &[u8]) -> Option<String> {
    let name = answer.strip_suffix(payload)?.strip_suffix(b" ")?;
    String::from_utf8(name.to_vec()).ok()
}
