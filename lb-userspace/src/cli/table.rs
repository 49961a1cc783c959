//! Tables: ruled on a terminal, plain and aligned columns elsewhere.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, LineStyle};

use super::output::Output;
use crate::api::types::BackendState;

/// Rows under a header.
#[derive(Debug)]
pub(super) struct Table {
    inner: comfy_table::Table,
    alignment: Vec<CellAlignment>,
    output: Output,
}

/// One column's header and the side its cells lean to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    /// Words.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

impl Table {
    /// A table that still has no rows.
    pub(super) fn new(columns: impl IntoIterator<Item = Column>, output: Output) -> Self {
        let (header, alignment): (Vec<_>, Vec<_>) = columns
            .into_iter()
            .map(|column| match column {
                Column::Left(name) => (name, CellAlignment::Left),
                Column::Right(name) => (name, CellAlignment::Right),
            })
            .unzip();
        let mut table = comfy_table::Table::new();
        // Decided once for the process, not by each table.
        table.force_no_tty();
        if output.colour {
            table.enforce_styling();
        }
        table.load_style(NOTHING);
        if output.terminal {
            table.style_mut().header_separator = LineStyle::none().fill('─');
        }
        let header = header
            .into_iter()
            .zip(&alignment)
            .map(|(name, &alignment)| {
                Cell::new(name)
                    .set_alignment(alignment)
                    .add_attribute(Attribute::Bold)
            });
        table.set_header(header.collect::<Vec<_>>());
        Self {
            inner: table,
            alignment,
            output,
        }
    }

    /// One more row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let aligned = cells
            .into_iter()
            .zip(&self.alignment)
            .map(|(cell, &alignment)| cell.set_alignment(alignment));
        self.inner.add_row(aligned.collect::<Vec<_>>());
    }

    /// The whole table; every line ends with a newline. The header alone if there are no rows.
    pub(super) fn render(mut self) -> String {
        // Columns are two blanks apart, from margin to margin.
        let last = self.alignment.len().saturating_sub(1);
        for (index, column) in self.inner.column_iter_mut().enumerate() {
            column.set_padding((0, if index == last { 0 } else { 2 }));
        }
        let mut text = String::new();
        for line in self.inner.lines() {
            // A colour's end may stand behind the blanks; those lines keep them.
            text.push_str(if self.output.colour {
                &line
            } else {
                line.trim_end()
            });
            text.push('\n');
        }
        text
    }
}

/// A cell of plain text. Some of it is said by backends: what could move the cursor is replaced.
#[expect(
    clippy::needless_pass_by_value,
    reason = "callers have numbers, strings and references"
)]
pub(super) fn cell(text: impl ToString) -> Cell {
    Cell::new(text.to_string().replace(char::is_control, "\u{fffd}"))
}

/// A cell that names a state in its colour. Without colours the name alone tells.
pub(super) fn state_cell(state: BackendState) -> Cell {
    let (name, colour) = match state {
        BackendState::Up => ("up", Color::Green),
        BackendState::Draining => ("draining", Color::Yellow),
        BackendState::Down => ("down", Color::Red),
    };
    Cell::new(name).fg(colour)
}

/// A cell for a firewall's action.
pub(super) fn action_cell(action: &str) -> Cell {
    let cell = cell(action);
    if action == "drop" {
        cell.fg(Color::Red)
    } else {
        cell
    }
}

/// A heading over a table.
pub(super) fn heading(text: &str, output: Output) -> String {
    if output.colour {
        format!("\u{1b}[1m{text}\u{1b}[0m\n")
    } else {
        format!("{text}\n")
    }
}
