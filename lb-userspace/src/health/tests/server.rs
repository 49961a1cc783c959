//! Backends for the tests: small servers that remember what they were asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A listener on loopback; dropping it ends it with all of its connections.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<Vec<String>>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Answers every request with the status that `status` tells.
    pub(super) async fn http(status: impl Fn() -> u16 + Send + Sync + 'static) -> Self {
        let status = Arc::new(status);
        Self::start(move |stream, requests| {
            let status = Arc::clone(&status);
            async move { answer(stream, status(), &requests).await }
        })
        .await
    }

    /// Accepts connections and says nothing.
    pub(super) async fn tcp() -> Self {
        Self::start(|stream, _requests| async move {
            let _open = stream;
            std::future::pending::<()>().await;
        })
        .await
    }

    /// Accepts connections and closes them after the request.
    pub(super) async fn closing() -> Self {
        Self::start(|mut stream, _requests| async move {
            let _head = head(&mut stream).await;
        })
        .await
    }

    /// Runs `serve` for every connection; it notes the heads of requests as lines.
    pub(super) async fn start<F>(
        serve: impl Fn(TcpStream, Arc<Mutex<Vec<Vec<String>>>>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::default();
        let seen = Arc::clone(&requests);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _peer)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&seen)));
            }
        });
        Self {
            address,
            requests,
            _tasks: tasks,
        }
    }

    /// The heads of all requests so far, each as its lines.
    pub(super) fn requests(&self) -> Vec<Vec<String>> {
        self.requests.lock().unwrap().clone()
    }
}

/// Reads one request and answers it. The redirect that some statuses promise leads nowhere.
pub(super) async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    status: u16,
    requests: &Mutex<Vec<Vec<String>>>,
) {
    let head = head(&mut stream).await;
    requests.lock().unwrap().push(head);
    let location = "location: http://127.0.0.1:1/\r\n";
    let answer = format!("HTTP/1.1 {status} Test\r\n{location}content-length: 0\r\n\r\n");
    // The other side may be gone already, which is its right.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Vec<String> {
    let mut lines = BufReader::new(stream).lines();
    let mut head = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    head
}
