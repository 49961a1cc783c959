//! Distinct rows of rule bits, numbered.

use std::collections::HashMap;

use lb_common::abi::Row;

/// Collects rows; equal ones get the same number.
#[derive(Debug, Default)]
pub(super) struct Rows {
    numbers: HashMap<Row, u32>,
    rows: Vec<Row>,
}

impl Rows {
    /// The number of a row, new or not.
    pub(super) fn number(&mut self, row: Row) -> u32 {
        let next = self.rows.len() as u32;
        *self.numbers.entry(row).or_insert_with(|| {
            self.rows.push(row);
            next
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// All rows by number.
    pub(super) fn into_vec(self) -> Vec<Row> {
        self.rows
    }
}

/// The row whose bit i says whether rule i satisfies the test.
pub(super) fn row(rules: usize, test: impl Fn(usize) -> bool) -> Row {
    let mut row = Row::NONE;
    for rule in (0..rules).filter(|rule| test(*rule)) {
        set(&mut row, rule);
    }
    row
}

/// Sets a rule's bit.
pub(super) fn set(row: &mut Row, rule: usize) {
    if let Some(word) = row.words.get_mut(rule / 64) {
        *word |= 1 << (rule % 64);
    }
}
