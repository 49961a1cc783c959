//! Edits of `[[firewall.block]]`.

use ipnet::IpNet;
use jiff::Timestamp;
use toml_edit::{Array, ArrayOfTables, Datetime, DocumentMut, Item, Table, TableLike, Value};

use super::layout;
use super::list::{List, Row};
use super::{EditError, listed, text_of};
use crate::document::addresses;

/// Blocks a prefix, or changes until when it is blocked.
pub(super) fn add(
    document: &mut DocumentMut,
    prefix: IpNet,
    until: Option<Timestamp>,
) -> Result<(), EditError> {
    let meant = prefix.trunc();
    if meant != prefix {
        return Err(EditError::HostBits { prefix, meant });
    }
    let until = until.map(datetime).transpose()?;
    let blocks = ensure(document)?;
    if let Some(index) = position(&blocks, prefix) {
        let Some(mut entry) = blocks.into_entry(index) else {
            return Err(EditError::NotTables("block"));
        };
        match until {
            Some(until) => entry.set("until", until.into()),
            None => entry.unset("until"),
        }
        return Ok(());
    }
    let mut blocks = blocks;
    let mut row: Row = vec![("prefix", prefix.to_string().into())];
    if let Some(until) = until {
        row.push(("until", until.into()));
    }
    blocks.push(row);
    Ok(())
}

/// Ends a block.
pub(super) fn remove(document: &mut DocumentMut, prefix: IpNet) -> Result<(), EditError> {
    let orphan = {
        let mut blocks = open(document)?.ok_or_else(|| not_blocked(prefix, None))?;
        let index = position(&blocks, prefix).ok_or_else(|| not_blocked(prefix, Some(&blocks)))?;
        blocks.remove(index)
    };
    layout::adopt(document, orphan);
    Ok(())
}

/// Removes what has ended, and says whether there was any.
pub(super) fn expire(document: &mut DocumentMut, now: Timestamp) -> Result<bool, EditError> {
    let Some(mut blocks) = open(document)? else {
        return Ok(false);
    };
    let mut ended: Vec<usize> = blocks
        .iter()
        .enumerate()
        .filter(|(_, table)| until_of(*table).is_some_and(|until| until <= now))
        .map(|(index, _)| index)
        .collect();
    let expired = !ended.is_empty();
    let mut orphans = Vec::new();
    // From the last, so that the places of the others stay what they are.
    while let Some(index) = ended.pop() {
        orphans.extend(blocks.remove(index));
    }
    for orphan in orphans {
        layout::adopt(document, Some(orphan));
    }
    Ok(expired)
}

fn firewall(document: &mut DocumentMut) -> Result<Option<&mut dyn TableLike>, EditError> {
    match document.get_mut("firewall") {
        None | Some(Item::None) => Ok(None),
        Some(item) => match item.as_table_like_mut() {
            Some(table) => Ok(Some(table)),
            None => Err(EditError::NotTables("firewall")),
        },
    }
}

fn open(document: &mut DocumentMut) -> Result<Option<List<'_>>, EditError> {
    match firewall(document)? {
        Some(firewall) => List::open(firewall, "block"),
        None => Ok(None),
    }
}

/// The list of blocks, made where there is none.
fn ensure(document: &mut DocumentMut) -> Result<List<'_>, EditError> {
    if firewall(document)?.is_none() {
        let mut table = Table::new();
        // Only the sections below it are written, no empty `[firewall]`.
        table.set_implicit(true);
        document.insert("firewall", Item::Table(table));
    }
    if open(document)?.is_none() {
        match document.get_mut("firewall") {
            Some(Item::Value(Value::InlineTable(firewall))) => {
                layout::insert_inline(firewall, "block", Value::Array(Array::new()));
            }
            Some(Item::Table(firewall)) => {
                firewall.insert("block", Item::ArrayOfTables(ArrayOfTables::new()));
            }
            _ => return Err(EditError::NotTables("firewall")),
        }
    }
    open(document)?.ok_or(EditError::NotTables("block"))
}

/// Where in the list the prefix is.
fn position(blocks: &List<'_>, prefix: IpNet) -> Option<usize> {
    blocks
        .iter()
        .position(|table| addresses::prefix(text_of(table, "prefix")) == Ok(prefix))
}

fn not_blocked(prefix: IpNet, blocks: Option<&List<'_>>) -> EditError {
    let known = blocks.map_or_else(
        || "nothing is".to_owned(),
        |blocks| {
            let prefixes = blocks.iter().map(|table| text_of(table, "prefix"));
            listed("blocked prefixes", prefixes)
        },
    );
    EditError::NotBlocked { prefix, known }
}

fn until_of(table: &dyn TableLike) -> Option<Timestamp> {
    let datetime = table.get("until")?.as_datetime()?;
    datetime.to_string().parse().ok()
}

/// A whole second, never before `until`: nobody's block ends early.
fn datetime(until: Timestamp) -> Result<Datetime, EditError> {
    // Seconds are cut off towards 1970, so that before it the whole second lies behind already.
    let more = i64::from(until.subsec_nanosecond() > 0);
    Timestamp::from_second(until.as_second() + more)
        .ok()
        .and_then(|whole| whole.to_string().parse().ok())
        .ok_or(EditError::BadTime(until))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::datetime;

    #[test]
    fn a_time_becomes_the_first_whole_second_that_is_not_before_it() {
        for (until, written) in [
            ("2030-01-31T18:00:00Z", "2030-01-31T18:00:00Z"),
            ("2030-01-31T18:00:00.5Z", "2030-01-31T18:00:01Z"),
            ("1969-12-31T23:59:58.5Z", "1969-12-31T23:59:59Z"),
            ("1374-04-02T09:46:40.000000001Z", "1374-04-02T09:46:41Z"),
        ] {
            let whole = datetime(until.parse().unwrap()).unwrap();
            assert_eq!(whole.to_string(), written);
        }
    }
}
