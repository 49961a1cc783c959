//! Where blanks, line breaks and comments go when an entry comes or leaves.
//!
//! In TOML's tree a comment hangs on whatever follows it. A reader takes it differently: behind an
//! entry on the same line, or on the lines right above it, it belongs to that entry, and leaves
//! with it; set off by a blank line it belongs to no single entry, and stays.

use toml_edit::{Array, DocumentMut, InlineTable, Item, RawString, Table, Value};

/// Indentation of a list's entries when there is none to copy, deeper than its bracket.
const INDENT: &str = "  ";

/// Comments above a removed section that were not its own.
#[derive(Debug)]
pub(super) struct Orphan {
    text: String,
    /// Where in the document the section and its last subsection stood.
    position: isize,
}

impl Orphan {
    pub(super) fn of(removed: &Table) -> Self {
        let mut position = removed.position().unwrap_or(isize::MAX);
        each_table(removed, &mut |table| {
            position = position.max(table.position().unwrap_or(position));
        });
        Self {
            text: detached(text(removed.decor().prefix())),
            position,
        }
    }
}

/// Puts comments above the section that follows their old place, or at the end.
pub(super) fn adopt(document: &mut DocumentMut, orphan: Option<Orphan>) {
    let Some(orphan) = orphan.filter(|orphan| !orphan.text.is_empty()) else {
        return;
    };
    let mut next: Option<isize> = None;
    each_table(document.as_table(), &mut |table| {
        let position = table
            .position()
            .filter(|position| *position > orphan.position);
        if let Some(position) = position {
            next = Some(next.map_or(position, |next| next.min(position)));
        }
    });
    let mut text_left = Some(orphan.text);
    if let Some(next) = next {
        each_table_mut(document.as_table_mut(), &mut |table| {
            if table.position() == Some(next)
                && let Some(orphaned) = text_left.take()
            {
                let prefix = text(table.decor().prefix());
                // Both bring a blank line; one is enough.
                let prefix = prefix.strip_prefix('\n').unwrap_or(prefix);
                let prefix = format!("{orphaned}{prefix}");
                table.decor_mut().set_prefix(prefix);
            }
        });
    }
    if let Some(orphaned) = text_left {
        let trailing = document.trailing().as_str().unwrap_or_default();
        let trailing = format!("{}\n{trailing}", orphaned.trim_end());
        document.set_trailing(trailing);
    }
}

/// Visits every table below `parent` that has a header of its own.
fn each_table(parent: &Table, visit: &mut dyn FnMut(&Table)) {
    for (_, item) in parent {
        let tables: Vec<&Table> = match item {
            Item::Table(table) => vec![table],
            Item::ArrayOfTables(tables) => tables.iter().collect(),
            _ => continue,
        };
        for table in tables {
            if !table.is_implicit() && !table.is_dotted() {
                visit(table);
            }
            each_table(table, visit);
        }
    }
}

fn each_table_mut(parent: &mut Table, visit: &mut dyn FnMut(&mut Table)) {
    for (_, item) in parent.iter_mut() {
        let tables: Vec<&mut Table> = match item {
            Item::Table(table) => vec![table],
            Item::ArrayOfTables(tables) => tables.iter_mut().collect(),
            _ => continue,
        };
        for table in tables {
            if !table.is_implicit() && !table.is_dotted() {
                visit(table);
            }
            each_table_mut(table, visit);
        }
    }
}

/// Lays out a new section like the one it follows: with a blank line above or not, and as deep.
pub(super) fn follow(table: &mut Table, last: Option<&Table>) {
    let prefix = last.map_or("\n", |last| text(last.decor().prefix()));
    let blank = if prefix.starts_with('\n') { "\n" } else { "" };
    table
        .decor_mut()
        .set_prefix(format!("{blank}{}", after_line(prefix)));
}

/// The indentation of a section's keys.
pub(super) fn key_indent(table: Option<&Table>) -> String {
    let Some(table) = table else {
        return String::new();
    };
    let first = table
        .iter()
        .find(|(_, item)| item.is_value())
        .and_then(|(key, _)| table.key(key));
    let prefix = first.map_or("", |key| text(key.leaf_decor().prefix()));
    after_line(prefix).to_owned()
}

pub(super) fn indent_key(table: &mut Table, key: &str, indent: &str) {
    if !indent.is_empty()
        && let Some(mut key) = table.key_mut(key)
    {
        key.leaf_decor_mut().set_prefix(indent);
    }
}

/// Replaces a value and keeps what stands around it.
pub(super) fn replace(old: &mut Value, mut new: Value) {
    *new.decor_mut() = old.decor().clone();
    *old = new;
}

/// Adds a key at the end of `{ .. }`.
pub(super) fn insert_inline(table: &mut InlineTable, key: &str, mut value: Value) {
    let last = table.iter().last().map(|(key, _)| key.to_owned());
    let mut key_prefix = String::from(" ");
    if let Some(last) = last {
        if let Some(key) = table.key(&last) {
            let prefix = text(key.leaf_decor().prefix());
            if prefix.contains('\n') {
                key_prefix = format!("\n{}", after_line(prefix));
            }
        }
        // What stood before the closing brace stands there again.
        let comma = table.trailing_comma();
        if !comma && let Some(last) = table.get_mut(&last) {
            let suffix = text(last.decor().suffix()).to_owned();
            last.decor_mut().set_suffix("");
            value.decor_mut().set_suffix(suffix);
        } else {
            value.decor_mut().set_suffix("");
        }
        value.decor_mut().set_prefix(" ");
    }
    table.insert(key, value);
    if let Some(mut key) = table.key_mut(key) {
        key.leaf_decor_mut().set_prefix(key_prefix);
        key.leaf_decor_mut().set_suffix(" ");
    }
}

/// Removes a key of `{ .. }`.
pub(super) fn remove_inline(table: &mut InlineTable, key: &str) {
    let keys: Vec<String> = table.iter().map(|(key, _)| key.to_owned()).collect();
    let Some(index) = keys.iter().position(|other| other == key) else {
        return;
    };
    let prefix = table
        .key(key)
        .map(|key| text(key.leaf_decor().prefix()).to_owned());
    let Some(removed) = table.remove(key) else {
        return;
    };
    if index + 1 == keys.len() {
        let before = index.checked_sub(1).and_then(|index| keys.get(index));
        if let Some(last) = before.and_then(|key| table.get_mut(key))
            && !text(removed.decor().suffix()).is_empty()
        {
            let suffix = text(removed.decor().suffix()).to_owned();
            last.decor_mut().set_suffix(suffix);
        }
    } else if index == 0
        && let Some(next) = keys.get(1)
        && let (Some(mut next), Some(prefix)) = (table.key_mut(next), prefix)
    {
        next.leaf_decor_mut().set_prefix(prefix);
    }
}

/// An array with each value on a line of its own, as `push` continues it.
pub(super) fn one_a_line(values: impl Iterator<Item = Value>) -> Array {
    let mut array = Array::new();
    for mut value in values {
        value.decor_mut().set_prefix(format!("\n{INDENT}"));
        value.decor_mut().set_suffix("");
        array.push_formatted(value);
    }
    array.set_trailing_comma(true);
    array.set_trailing("\n");
    array
}

/// Adds a value to an array: on a line of its own where the others have one.
pub(super) fn push(array: &mut Array, mut value: Value) {
    let comma = array.trailing_comma() && !array.is_empty();
    let tail = take_tail(array, comma);
    let before = array
        .iter()
        .last()
        .map(|last| text(last.decor().prefix()).to_owned());
    let (prefix, tail) = match (tail.rsplit_once('\n'), before) {
        (Some((kept, closing)), before) => {
            let indent = match before.as_deref() {
                Some(before) if before.contains('\n') => after_line(before).to_owned(),
                _ => format!("{closing}{INDENT}"),
            };
            (format!("{kept}\n{indent}"), format!("\n{closing}"))
        }
        (None, Some(before)) if before.contains('\n') => {
            (format!("\n{}", after_line(&before)), tail)
        }
        (None, Some(_)) => (" ".to_owned(), tail),
        (None, None) => (String::new(), tail),
    };
    value.decor_mut().set_prefix(prefix);
    value.decor_mut().set_suffix("");
    array.push_formatted(value);
    put_tail(array, comma, tail);
}

/// Removes a value of an array together with its line and its own comments.
pub(super) fn remove(array: &mut Array, index: usize) {
    if index >= array.len() {
        return;
    }
    let comma = array.trailing_comma();
    if index + 1 < array.len() {
        let removed = array.remove(index);
        if let Some(next) = array.get_mut(index) {
            let prefix = between(text(removed.decor().prefix()), text(next.decor().prefix()));
            next.decor_mut().set_prefix(prefix);
        }
        return;
    }
    let tail = take_tail(array, comma);
    let removed = array.remove(index);
    let tail = before_bracket(text(removed.decor().prefix()), &tail);
    put_tail(array, comma, tail);
}

/// What stands before the next value when the one between `before` and `after` goes.
fn between(before: &str, after: &str) -> String {
    match after.split_once('\n') {
        Some((_, after)) => over_lines(before, after),
        // The next value stood on the same line, and takes the place of the removed one.
        None => before.to_owned(),
    }
}

/// What stands before the closing bracket when the value between `before` and `after` goes.
fn before_bracket(before: &str, after: &str) -> String {
    if let Some((_, after)) = after.split_once('\n') {
        return over_lines(before, after);
    }
    let without = over_lines(before, "");
    // A comment runs to the end of its line, so the bracket needs a line of its own then.
    if without.contains('#') {
        without
    } else {
        after.to_owned()
    }
}

/// The comment behind the value before, comments that stand by themselves, and a new line.
fn over_lines(before: &str, after: &str) -> String {
    let (head, own) = before.split_once('\n').unwrap_or(("", ""));
    format!("{}\n{}{after}", head.trim_end(), detached(own))
}

/// Takes off what stands between the last value, or its comma, and the closing bracket.
fn take_tail(array: &mut Array, comma: bool) -> String {
    let mut tail = String::new();
    let last = array.len().checked_sub(1);
    if !comma && let Some(last) = last.and_then(|last| array.get_mut(last)) {
        tail.push_str(text(last.decor().suffix()));
        last.decor_mut().set_suffix("");
    }
    tail.push_str(array.trailing().as_str().unwrap_or_default());
    array.set_trailing("");
    tail
}

/// Puts a tail back where TOML's tree wants it.
fn put_tail(array: &mut Array, comma: bool, tail: String) {
    let last = array.len().checked_sub(1);
    match last.and_then(|last| array.get_mut(last)) {
        Some(last) if !comma => last.decor_mut().set_suffix(tail),
        _ => array.set_trailing(tail),
    }
}

/// The part of `text` that a blank line sets off from what follows, if there is a comment in it.
fn detached(text: &str) -> String {
    let mut end = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if line.ends_with('\n') && line.trim().is_empty() {
            end = at;
        }
    }
    let kept = text.get(..end).unwrap_or_default();
    if kept.contains('#') {
        kept.to_owned()
    } else {
        String::new()
    }
}

/// What follows the last line break: an indentation.
fn after_line(text: &str) -> &str {
    text.rsplit_once('\n').map_or(text, |(_, rest)| rest)
}

fn text(raw: Option<&RawString>) -> &str {
    raw.and_then(RawString::as_str).unwrap_or_default()
}
