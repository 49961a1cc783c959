//! Both ends of a connection that exists for one request: a server and its clients, with as few
//! system calls as there can be, so that the balancer between them is what is measured.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV6, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Threads that accept connections; a silent client holds up one of them.
const SERVER_THREADS: usize = 4;
/// How long a silent client holds up its thread.
const SERVER_PATIENCE: Duration = Duration::from_secs(10);
/// How long a client waits for an answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(2);
/// Longer than any request or answer here, in bytes.
const MESSAGE_MAX: usize = 512;

/// What clients saw in a while.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Connections by the name that answered.
    pub(crate) answers: BTreeMap<String, u64>,
    /// Connections without an answer.
    pub(crate) failures: u64,
    /// Why the last of them failed.
    pub(crate) last_failure: Option<String>,
}

/// Answers every request with `name`, until the process ends.
///
/// It leaves closing to the client, and with it the waiting for late packets (`TIME_WAIT`): a
/// balancer that reuses a port towards the backend then never meets the port's past.
///
/// # Errors
/// The port is taken.
pub fn serve(name: &str, listen: SocketAddrV6) -> Result<()> {
    let listener =
        TcpListener::bind(listen).with_context(|| format!("cannot bind TCP {listen}"))?;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}",
        name.len()
    );
    thread::scope(|scope| {
        for _ in 0..SERVER_THREADS {
            scope.spawn(|| {
                loop {
                    // A client that breaks off harms only itself.
                    let _ = listener
                        .accept()
                        .and_then(|(stream, _)| answer_once(stream, answer.as_bytes()));
                }
            });
        }
    });
    Ok(())
}

fn answer_once(mut stream: TcpStream, answer: &[u8]) -> io::Result<()> {
    stream.set_read_timeout(Some(SERVER_PATIENCE))?;
    let mut request = [0; MESSAGE_MAX];
    let mut length = 0;
    while !request[..length].ends_with(b"\r\n\r\n") {
        match stream.read(&mut request[length..])? {
            0 => return Ok(()),
            more => length += more,
        }
    }
    stream.write_all(answer)?;
    // The client's end; anything else it says nobody asked for.
    stream.read(&mut request).map(drop)
}

/// Asks over new connections, one after another, until `stop`.
pub(crate) fn ask_until(stop: &AtomicBool, to: SocketAddr) -> Tally {
    let mut tally = Tally::default();
    while !stop.load(Ordering::Relaxed) {
        tally.count(ask(to));
    }
    tally
}

/// One request over a new connection; the name that answered.
pub(crate) fn ask(to: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: vip\r\n\r\n")?;
    let mut answer = [0; MESSAGE_MAX];
    let mut length = 0;
    loop {
        if let Some(name) = body(&answer[..length]) {
            return Ok(name.to_owned());
        }
        match stream.read(&mut answer[length..])? {
            0 => return Err(io::Error::new(ErrorKind::UnexpectedEof, "no whole answer")),
            more => length += more,
        }
    }
}

/// The body of a whole answer.
fn body(answer: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text
        .strip_prefix("HTTP/1.1 200 OK\r\n")?
        .split_once("\r\n\r\n")?;
    let length: usize = head.strip_prefix("Content-Length: ")?.parse().ok()?;
    (body.len() == length).then_some(body)
}

impl Tally {
    /// Connections that were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Adds what another client saw.
    pub(crate) fn add(&mut self, other: Self) {
        for (name, count) in other.answers {
            *self.answers.entry(name).or_default() += count;
        }
        self.failures += other.failures;
        self.last_failure = other.last_failure.or(self.last_failure.take());
    }

    /// Counts one connection.
    pub(crate) fn count(&mut self, answer: io::Result<String>) {
        match answer {
            Ok(name) => *self.answers.entry(name).or_default() += 1,
            Err(error) => {
                self.failures += 1;
                self.last_failure = Some(error.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn only_a_whole_answer_has_a_body() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nb1";
        assert_eq!(body(whole), Some("b1"));
        for length in 0..whole.len() {
            assert_eq!(body(&whole[..length]), None, "cut at {length}");
        }
        assert_eq!(
            body(b"HTTP/1.1 500 no\r\nContent-Length: 2\r\n\r\nb1"),
            None
        );
    }

    #[test]
    fn a_client_is_answered_and_a_failure_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            answer_once(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nb7").unwrap();
        });
        let mut tally = Tally::default();
        tally.count(ask(place));
        server.join().unwrap();
        tally.count(ask(place));
        let mut all = Tally::default();
        all.add(tally);
        assert_eq!((all.answered(), all.failures), (1, 1));
        assert_eq!(all.answers.keys().collect::<Vec<_>>(), ["b7"]);
        assert!(all.last_failure.is_some());
    }
}
