//! The daemon's socket: who gets it, with which mode, and what is left of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use lb_userspace::api::client::{Client, ClientError};
use lb_userspace::api::socket::{Socket, SocketError};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn directory_and_socket_get_their_modes_and_the_socket_goes_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/lb/lb.sock");
    let socket = Socket::bind(&path).await.unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o755);
    assert_eq!(mode(&path), 0o660);
    drop(socket);
    assert!(!path.exists());
    Socket::bind(&path).await.unwrap();
}

#[tokio::test]
async fn a_leftover_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lb.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let error = Client::new(&path).unwrap().status().await.unwrap_err();
    assert!(matches!(error, ClientError::Stale(_)), "{error:?}");
    let _socket = Socket::bind(&path).await.unwrap();
    tokio::net::UnixStream::connect(&path).await.unwrap();
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_the_first_keeps_its_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lb.sock");
    let _first = Socket::bind(&path).await.unwrap();
    let error = Socket::bind(&path).await.unwrap_err();
    let pid = std::process::id();
    assert_eq!(
        error.to_string(),
        format!(
            "another lb daemon (pid {pid}) is already running; stop it with `kill {pid}`, or give \
             this one a runtime directory of its own with --runtime-dir"
        )
    );
    tokio::net::UnixStream::connect(&path).await.unwrap();
}

#[tokio::test]
async fn a_daemon_whose_lock_is_gone_is_found_by_its_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lb.sock");
    let _other = UnixListener::bind(&path).unwrap();
    let error = Socket::bind(&path).await.unwrap_err();
    let expected = Some(std::process::id());
    assert!(
        matches!(error, SocketError::Running { pid } if pid == expected),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lb.sock");
    fs::write(&path, "precious").unwrap();
    let error = Socket::bind(&path).await.unwrap_err();
    assert!(matches!(error, SocketError::NotSocket(_)), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_socket_that_took_the_place_of_ours_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lb.sock");
    let ours = Socket::bind(&path).await.unwrap();
    fs::remove_file(&path).unwrap();
    let _theirs = UnixListener::bind(&path).unwrap();
    drop(ours);
    assert!(path.exists());
}

#[tokio::test]
async fn a_path_that_cannot_be_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x".repeat(120)).join("lb.sock");
    let error = Socket::bind(&path).await.unwrap_err().to_string();
    assert!(
        error.ends_with("; a socket's path may have at most 107 bytes"),
        "{error}"
    );
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Socket::bind(&file.join("lb.sock"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("cannot make the directory "), "{error}");
}
