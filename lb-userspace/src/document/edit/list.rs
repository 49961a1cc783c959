//! A list of tables, however the document writes it: `[[name]]` sections or `name = [{ .. }]`.
//!
//! It adds, removes and finds entries; where blanks and comments go is the business of `layout`.

use toml_edit::{Array, ArrayOfTables, InlineTable, Item, Table, TableLike, Value};

use super::EditError;
use super::layout::{self, Orphan};

/// The keys and values of a new entry, in order.
pub(super) type Row = Vec<(&'static str, Value)>;

/// A list of tables within the document.
#[derive(Debug)]
pub(super) enum List<'d> {
    /// `[[name]]` sections.
    Sections(&'d mut ArrayOfTables),
    /// `name = [{ .. }, { .. }]`.
    Inline(&'d mut Array),
}

impl<'d> List<'d> {
    /// The list under `key`; `None` where there is no such key.
    pub(super) fn open(
        parent: &'d mut dyn TableLike,
        key: &'static str,
    ) -> Result<Option<Self>, EditError> {
        match parent.get_mut(key) {
            None | Some(Item::None) => Ok(None),
            Some(Item::ArrayOfTables(sections)) => Ok(Some(Self::Sections(sections))),
            Some(Item::Value(Value::Array(array))) if array.iter().all(Value::is_inline_table) => {
                Ok(Some(Self::Inline(array)))
            }
            Some(_) => Err(EditError::NotTables(key)),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Sections(sections) => sections.len(),
            Self::Inline(array) => array.len(),
        }
    }

    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = &dyn TableLike> + '_> {
        match self {
            Self::Sections(sections) => {
                Box::new(sections.iter().map(|table| table as &dyn TableLike))
            }
            Self::Inline(array) => Box::new(
                array
                    .iter()
                    .filter_map(Value::as_inline_table)
                    .map(|table| table as &dyn TableLike),
            ),
        }
    }

    /// Takes the list apart into one entry.
    pub(super) fn into_entry(self, index: usize) -> Option<Entry<'d>> {
        match self {
            Self::Sections(sections) => sections.get_mut(index).map(Entry::Section),
            Self::Inline(array) => array
                .get_mut(index)?
                .as_inline_table_mut()
                .map(Entry::Inline),
        }
    }

    /// Adds an entry at the end, in the style of the last one.
    pub(super) fn push(&mut self, row: Row) {
        match self {
            Self::Sections(sections) => {
                let mut table = Table::new();
                layout::follow(&mut table, sections.iter().last());
                let indent = layout::key_indent(sections.iter().last());
                for (key, value) in row {
                    table.insert(key, Item::Value(value));
                    layout::indent_key(&mut table, key, &indent);
                }
                sections.push(table);
            }
            Self::Inline(array) => layout::push(array, inline(row)),
        }
    }

    /// Removes an entry, and returns the comments that did not belong to it and need a new place.
    #[must_use]
    pub(super) fn remove(&mut self, index: usize) -> Option<Orphan> {
        match self {
            Self::Sections(sections) => {
                (index < sections.len()).then(|| Orphan::of(&sections.remove(index)))
            }
            Self::Inline(array) => {
                layout::remove(array, index);
                None
            }
        }
    }
}

/// One entry of a list.
#[derive(Debug)]
pub(super) enum Entry<'d> {
    /// A `[[name]]` section.
    Section(&'d mut Table),
    /// `{ .. }`.
    Inline(&'d mut InlineTable),
}

impl<'d> Entry<'d> {
    pub(super) fn table(self) -> &'d mut dyn TableLike {
        match self {
            Self::Section(table) => table,
            Self::Inline(table) => table,
        }
    }

    /// Sets a key, keeping the layout of what is there.
    pub(super) fn set(&mut self, key: &str, value: Value) {
        match self {
            Self::Section(table) => {
                if let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) {
                    layout::replace(old, value);
                    return;
                }
                let indent = layout::key_indent(Some(table));
                table.insert(key, Item::Value(value));
                layout::indent_key(table, key, &indent);
            }
            Self::Inline(table) => {
                if let Some(old) = table.get_mut(key) {
                    layout::replace(old, value);
                    return;
                }
                layout::insert_inline(table, key, value);
            }
        }
    }

    /// Removes a key.
    pub(super) fn unset(&mut self, key: &str) {
        match self {
            Self::Section(table) => {
                table.remove(key);
            }
            Self::Inline(table) => layout::remove_inline(table, key),
        }
    }
}

/// A row as `{ .. }` on one line.
pub(super) fn inline(row: Row) -> Value {
    let mut table = InlineTable::new();
    for (key, value) in row {
        table.insert(key, value);
    }
    Value::InlineTable(table)
}
