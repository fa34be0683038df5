//! Tables with aligned columns, in kubectl's format.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

use crate::text::escaped;

/// Color of a word on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// No color.
    Plain,
    /// Green: no action is required.
    Good,
    /// Yellow: check it.
    Caution,
    /// Red: action is required.
    Bad,
}

/// Text in a tone, escaped.
pub(super) fn paint(text: &str, tone: Tone, colours: bool) -> String {
    let text = escaped(text);
    let colour = match tone {
        Tone::Good => 32,
        Tone::Caution => 33,
        Tone::Bad => 31,
        Tone::Plain => return text,
    };
    if colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text }
}

/// Content of one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell(pub(super) String, pub(super) Tone);

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self(text.into(), Tone::Plain)
    }
}

impl Cell {
    fn width(&self) -> usize {
        escaped(&self.0).width()
    }
}

/// Rows under headers.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
    /// Number of columns within which a line must fit.
    within: Option<usize>,
}

impl Table {
    /// A table with these headers.
    pub(super) fn new(headers: &[&str]) -> Self {
        Self { rows: vec![headers.iter().map(|header| Cell::from(*header)).collect()], within: None }
    }

    /// A table without headers.
    pub(super) fn bare() -> Self {
        Self::default()
    }

    /// Moves the last column to lines of its own if the table is wider than this. The terminal wraps these lines itself:
    /// a command that is broken by the plugin could not be pasted.
    pub(super) fn within(self, columns: Option<usize>) -> Self {
        Self { within: columns, ..self }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The lines, three spaces between columns, no space at a line's end.
    pub(super) fn render(&self, colours: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(Cell::width).max().unwrap_or_default())
            .collect();
        let total = widths.iter().sum::<usize>().saturating_add(widths.len().saturating_sub(1).saturating_mul(3));
        let apart = columns > 1 && self.within.is_some_and(|within| total > within);
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let last = row.last().filter(|_| apart && row.len() == columns);
            let (row, below) = match last {
                Some(last) => {
                    (row.get(..columns.saturating_sub(1)).unwrap_or_default(), Some(last).filter(|last| number > 0 && last.width() > 0))
                }
                None => (row.as_slice(), None),
            };
            let mut pending = 0;
            for (cell, width) in row.iter().zip(&widths) {
                let Cell(word, tone) = cell;
                let length = cell.width();
                if length > 0 {
                    let _ = write!(text, "{:pending$}{}", "", paint(word, *tone, colours));
                    pending = 0;
                }
                pending = pending.saturating_add(width.saturating_sub(length)).saturating_add(3);
            }
            text.push('\n');
            if let Some(Cell(word, tone)) = below {
                let _ = writeln!(text, "    {}", paint(word, *tone, colours));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_word_and_lines_end_without_spaces() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(vec!["a-long-name".into(), "Ready".into()]);
        table.row(vec!["ü".into(), "".into()]);
        table.row(vec!["".into(), "Due".into()]);
        assert_eq!(table.render(false), "NAME          STATE\na-long-name   Ready\nü\n              Due\n");
    }

    #[test]
    fn a_table_that_is_too_wide_has_its_last_column_below() {
        let mut table = Table::new(&["CHECK", "RESULT", "WHAT"]).within(Some(24));
        table.row(vec!["a".into(), "Ok".into(), "kubectl rotatedsecret status db -n shop".into()]);
        table.row(vec!["b".into(), "Ok".into(), "".into()]);
        assert_eq!(table.render(false), "CHECK   RESULT\na       Ok\n    kubectl rotatedsecret status db -n shop\nb       Ok\n");
        let table = table.within(None).render(false);
        assert!(table.contains("a       Ok       kubectl"), "{table}");
    }

    #[test]
    fn wide_letters_take_two_columns() {
        let mut table = Table::bare();
        table.row(vec!["秘密".into(), "x".into()]);
        table.row(vec!["abcd".into(), "y".into()]);
        assert_eq!(table.render(false), "秘密   x\nabcd   y\n");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let mut table = Table::bare();
        table.row(vec![Cell("Stalled".to_owned(), Tone::Bad), "x".into()]);
        table.row(vec![Cell("Due".to_owned(), Tone::Good), "y".into()]);
        let coloured = table.render(true);
        assert!(coloured.contains("\u{1b}[31mStalled\u{1b}[0m   x"), "{coloured}");
        assert_eq!(coloured.replace("\u{1b}[31m", "").replace("\u{1b}[32m", "").replace("\u{1b}[0m", ""), table.render(false));
    }
}
