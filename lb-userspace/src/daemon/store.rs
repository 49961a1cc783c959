//! What is on disk: the document, and beside the socket the numbers given out and the last word
//! of the health checks, for the daemon that comes after us.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::error::DaemonError;
use crate::cli::run::RunOptions;
use crate::document::{self, Document, revision};
use crate::ids::Ids;

/// The document and its text, as they run.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    state_path: PathBuf,
    text: String,
    document: Document,
}

/// What outlives the daemon as long as the kernel's maps do.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The numbers given out.
    pub(super) ids: Ids,
    /// The last word of each backend's health check, by id.
    pub(super) healthy: BTreeMap<u32, bool>,
}

/// A document that is written but does not have its name yet.
#[derive(Debug)]
pub(super) struct Draft {
    file: NamedTempFile,
    text: String,
    document: Document,
}

impl Store {
    /// Reads and checks the document.
    pub(super) fn open(options: &RunOptions) -> Result<Self, DaemonError> {
        // A link stays a link: what it points to is replaced.
        let path = fs::canonicalize(&options.config).map_err(io("find", &options.config))?;
        let text = fs::read_to_string(&path).map_err(io("read", &path))?;
        let document = document::parse(&text, &options.config.to_string_lossy())?;
        // The state describes the pinned maps, and is worthless without them.
        let state_path = options.runtime_dir.join("state.json");
        if !options.pin_dir.exists() {
            drop(fs::remove_file(&state_path));
        }
        Ok(Self {
            path,
            state_path,
            text,
            document,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn document(&self) -> &Document {
        &self.document
    }

    pub(super) fn revision(&self) -> String {
        revision(&self.text)
    }

    /// The text that is on disk now.
    pub(super) fn on_disk(&self) -> Result<String, DaemonError> {
        fs::read_to_string(&self.path).map_err(io("read", &self.path))
    }

    /// Writes a new text beside the old one and makes it durable.
    pub(super) fn draft(&self, text: String, document: Document) -> Result<Draft, DaemonError> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let write = || {
            let mut file = NamedTempFile::new_in(directory)?;
            file.write_all(text.as_bytes())?;
            if let Ok(old) = fs::metadata(&self.path) {
                file.as_file().set_permissions(old.permissions())?;
            }
            file.as_file().sync_all()?;
            Ok(file)
        };
        let file = write().map_err(io("write beside", &self.path))?;
        Ok(Draft {
            file,
            text,
            document,
        })
    }

    /// Gives a draft the document's name, atomically and durably. On an error the old document is
    /// still there.
    pub(super) fn publish(&mut self, draft: Draft) -> Result<(), DaemonError> {
        let Draft {
            file,
            text,
            document,
        } = draft;
        file.persist(&self.path)
            .map_err(|error| io("replace", &self.path)(error.error))?;
        if let Some(directory) = self.path.parent() {
            // The new name is there in any case; this only makes it durable at once.
            drop(File::open(directory).and_then(|directory| directory.sync_all()));
        }
        self.adopt(text, document);
        Ok(())
    }

    /// Takes what is on disk already.
    pub(super) fn adopt(&mut self, text: String, document: Document) {
        self.text = text;
        self.document = document;
    }

    /// The state that an earlier daemon left; the default if there is none.
    pub(super) fn state(&self) -> State {
        let Ok(text) = fs::read_to_string(&self.state_path) else {
            return State::default();
        };
        serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %self.state_path.display(), %error, "the state is unreadable");
            State::default()
        })
    }

    /// Leaves the state for the next daemon.
    pub(super) fn save_state(&self, state: &State) -> Result<(), DaemonError> {
        let text = serde_json::to_string(state)
            .map_err(|error| io("write", &self.state_path)(error.into()))?;
        let unready = self.state_path.with_extension("json.new");
        fs::write(&unready, text).map_err(io("write", &unready))?;
        fs::rename(&unready, &self.state_path).map_err(io("write", &self.state_path))
    }

    /// Removes the state: the maps it describes are gone.
    pub(super) fn forget_state(&self) {
        drop(fs::remove_file(&self.state_path));
    }
}

/// Names the operation and the path of a failure.
fn io(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> DaemonError {
    let path = path.to_owned();
    move |source| DaemonError::Io {
        what,
        path: path.clone(),
        source,
    }
}
