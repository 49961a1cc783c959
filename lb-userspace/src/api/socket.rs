//! The daemon's Unix socket: made so that at most one daemon holds it.
//!
//! A lock beside the socket decides between two daemons that start at the same moment; asking the
//! socket itself finds a daemon whose lock file somebody removed. What is said over the socket is
//! the business of `server`.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Everybody may look into the socket's directory; only root may change it.
const DIRECTORY_MODE: u32 = 0o755;

/// Root and the socket's group may speak to the daemon, which can take the machine off the net.
const SOCKET_MODE: u32 = 0o660;

/// A socket that listens, and that no other daemon can take. Its file goes when this is dropped.
#[derive(Debug)]
pub struct Socket {
    pub(super) listener: UnixListener,
    pub(super) guard: Guard,
}

/// Holds the lock, and removes the socket's file in the end.
#[derive(Debug)]
pub(super) struct Guard {
    path: PathBuf,
    /// Device and inode of the file that was made here: never another's is removed.
    identity: (u64, u64),
    /// Its lock ends when the file is closed, also by a crash.
    _lock: File,
}

/// Why the socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon answers on it, or holds its lock.
    #[error(
        "another lb daemon{} is already running; stop it with `{}`, or give this one a runtime \
         directory of its own with --runtime-dir",
        pid.map_or_else(String::new, |pid| format!(" (pid {pid})")),
        pid.map_or_else(|| "systemctl stop lb".to_owned(), |pid| format!("kill {pid}")),
    )]
    Running {
        /// Its process id, where it could be learnt.
        pid: Option<u32>,
    },
    /// Something that is no socket lies where the socket shall be.
    #[error("{} exists and is not a socket; move it away or name another with --runtime-dir", .0.display())]
    NotSocket(PathBuf),
    /// A file operation failed.
    #[error("cannot {what} {}{}", path.display(), hint(source))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// What to do about a failed file operation.
fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::PermissionDenied => "; run the daemon as root or name another --runtime-dir",
        ErrorKind::InvalidInput => "; a socket's path may have at most 107 bytes",
        _ => "",
    }
}

impl Socket {
    /// Makes the socket's directory (mode 0755) if it is missing, and the socket (mode 0660). A
    /// leftover socket that nobody answers is replaced.
    ///
    /// Call it within a tokio runtime, before the kernel is touched: it is how a second daemon
    /// learns that it is one too many.
    pub async fn bind(path: &Path) -> Result<Self, SocketError> {
        make_directory(path)?;
        let lock = lock(path)?;
        refuse_running(path).await?;
        // Made under another name and moved over the leftover: at no moment can a client find no
        // socket where there was one, or one with a wider mode.
        let unready = with_suffix(path, ".new");
        remove_if_there(&unready)?;
        let listener = UnixListener::bind(&unready).map_err(failed("make the socket", path))?;
        let identity = publish(&unready, path)
            .inspect_err(|_| drop(fs::remove_file(&unready)))
            .map_err(failed("make the socket", path))?;
        let guard = Guard {
            path: path.to_owned(),
            identity,
            _lock: lock,
        };
        Ok(Self { listener, guard })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Nothing can be done about a failure here: the next daemon replaces the leftover.
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Makes the socket's directory, unless it is there; then its mode is its owner's business.
fn make_directory(socket: &Path) -> Result<(), SocketError> {
    let Some(directory) = socket
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    else {
        return Ok(());
    };
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)
        // Whatever the umask is: clients that are not root must reach the socket.
        .and_then(|()| fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE)))
        .map_err(failed("make the directory", directory))
}

/// Takes the lock that every daemon of this socket takes, and writes our process id into it.
fn lock(socket: &Path) -> Result<File, SocketError> {
    let path = with_suffix(socket, ".lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed("open the lock", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            drop(file.read_to_string(&mut text));
            return Err(SocketError::Running {
                pid: text.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(failed("write the lock", &path))?;
    Ok(file)
}

/// An error if somebody listens on the socket, or if it is no socket.
async fn refuse_running(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NotSocket(path.to_owned()));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path)(error)),
    }
    match UnixStream::connect(path).await {
        Ok(stream) => {
            let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
            Err(SocketError::Running {
                pid: pid.and_then(|pid| u32::try_from(pid).ok()),
            })
        }
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("ask", path)(error)),
    }
}

/// Gives the socket its mode and its name; its identity is the answer.
fn publish(unready: &Path, path: &Path) -> io::Result<(u64, u64)> {
    fs::set_permissions(unready, Permissions::from_mode(SOCKET_MODE))?;
    fs::rename(unready, path)?;
    identity(path)
}

/// Device and inode of a file.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Removes what an earlier daemon may have left halfway.
fn remove_if_there(path: &Path) -> Result<(), SocketError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The path with something appended to its last part.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Turns an I/O error into ours.
fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError + use<> {
    let path = path.to_owned();
    move |source| SocketError::Io { what, path, source }
}
