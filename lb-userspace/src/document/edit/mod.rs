//! Changes the text of a document and keeps everything else of it: comments, order, formatting.
//!
//! The result is TOML, but not necessarily a document: whoever applies it parses it, and so learns
//! what [`parse`](super::parse) has against it.

mod block;
mod error;
mod layout;
mod list;
mod service;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use toml_edit::{DocumentMut, TableLike, TomlError};

pub use error::EditError;

use crate::api::types::Edit;

/// Makes one change in a document's text. To drain a draining backend, to enable one that is
/// enabled, or to block what is blocked until the same time changes nothing and is no error; to
/// block until another time replaces the time.
pub fn apply_edit(text: &str, edit: &Edit) -> Result<String, EditError> {
    let mut document = read(text)?;
    match edit {
        Edit::ServiceAdd {
            name,
            vip,
            scheduler,
            forward,
            check,
            backends,
        } => {
            let service = service::NewService {
                name,
                vip,
                scheduler: scheduler.as_deref(),
                forward: forward.as_deref(),
                check: check.as_deref(),
                backends,
            };
            service::add(&mut document, &service)?;
        }
        Edit::ServiceRemove { name } => service::remove(&mut document, name)?,
        Edit::BackendAdd {
            service,
            address,
            weight,
        } => service::add_backend(&mut document, service, *address, *weight)?,
        Edit::BackendRemove { service, address } => {
            service::remove_backend(&mut document, service, *address)?;
        }
        Edit::BackendDrain { service, address } => {
            service::set_drain(&mut document, service, *address, true)?;
        }
        Edit::BackendEnable { service, address } => {
            service::set_drain(&mut document, service, *address, false)?;
        }
        Edit::FirewallBlock { prefix, until } => block::add(&mut document, *prefix, *until)?,
        Edit::FirewallUnblock { prefix } => block::remove(&mut document, *prefix)?,
    }
    Ok(write(text, &document))
}

/// Removes the blocks that have ended at `now`. `None` where none has, or where the text is not
/// TOML.
pub fn expire_blocks(text: &str, now: Timestamp) -> Option<String> {
    let mut document = read(text).ok()?;
    let expired = block::expire(&mut document, now).ok()?;
    expired.then(|| write(text, &document))
}

fn read(text: &str) -> Result<DocumentMut, EditError> {
    text.parse()
        .map_err(|error: TomlError| EditError::Syntax(error.to_string()))
}

/// The document's text with the line breaks that it had before; `toml_edit` writes `\n` only.
fn write(before: &str, document: &DocumentMut) -> String {
    let text = document.to_string();
    let breaks = before.matches('\n').count();
    if breaks > 0 && before.matches("\r\n").count() == breaks {
        return text.replace('\n', "\r\n");
    }
    text
}

/// What a key holds as text, empty where it holds none.
fn text_of<'t>(table: &'t dyn TableLike, key: &str) -> &'t str {
    table
        .get(key)
        .and_then(|item| item.as_str())
        .unwrap_or_default()
}

/// At most ten of `names` in words, for errors that say what there is.
fn listed<T: ToString>(what: &str, names: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 10;
    let mut names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    match (names.is_empty(), more) {
        (true, _) => format!("there are no {what}"),
        (false, 0) => format!("the {what} are {}", names.join(", ")),
        (false, more) => format!("the {what} are {} and {more} more", names.join(", ")),
    }
}
