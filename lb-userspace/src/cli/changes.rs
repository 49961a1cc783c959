//! What a command that changes something prints.

use super::output;
use crate::api::client::{Client, ClientError};
use crate::api::types::{Changed, Edit};

/// Makes one change and prints what it did.
pub(super) async fn edit(client: &Client, edit: &Edit) -> anyhow::Result<()> {
    let changed = client.edit(edit).await?;
    output::print(&text(&changed))
}

/// One line for each change.
pub(super) fn text(changed: &Changed) -> String {
    if changed.changes.is_empty() {
        return "nothing to change\n".to_owned();
    }
    changed
        .changes
        .iter()
        .flat_map(|line| [line.as_str(), "\n"])
        .collect()
}

/// The client's error for something that a listing does not have.
pub(super) fn no_such_service(name: &str, names: &[&str]) -> ClientError {
    let there = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    ClientError::NotFound(format!("there is no service `{name}`; services: {there}"))
}
