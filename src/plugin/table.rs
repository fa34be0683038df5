//! Tables with aligned columns, in kubectl's format.

use std::fmt::Write as _;

use super::escape::escaped;

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
        escaped(&self.0).chars().count()
    }
}

/// Rows under headers.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Vec<Cell>>);

impl Table {
    /// A table with these headers.
    pub(super) fn new(headers: &[&str]) -> Self {
        Self(vec![headers.iter().map(|header| Cell::from(*header)).collect()])
    }

    /// A table without headers.
    pub(super) fn bare() -> Self {
        Self::default()
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.0.push(cells);
    }

    /// The lines, three spaces between columns, no space at a line's end.
    pub(super) fn render(&self, colours: bool) -> String {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> =
            (0..columns).map(|column| self.0.iter().filter_map(|row| row.get(column)).map(Cell::width).max().unwrap_or_default()).collect();
        let mut text = String::new();
        for row in &self.0 {
            let mut pending = 0;
            for (cell, width) in row.iter().zip(&widths) {
                let Cell(word, tone) = cell;
                let length = cell.width();
                if length > 0 {
                    let _ = write!(text, "{:pending$}{}", "", paint(word, *tone, colours));
                    pending = 0;
                }
                pending += width - length + 3;
            }
            text.push('\n');
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
    fn colours_do_not_move_columns() {
        let mut table = Table::bare();
        table.row(vec![Cell("Stalled".to_owned(), Tone::Bad), "x".into()]);
        table.row(vec![Cell("Due".to_owned(), Tone::Good), "y".into()]);
        let coloured = table.render(true);
        assert!(coloured.contains("\u{1b}[31mStalled\u{1b}[0m   x"), "{coloured}");
        assert_eq!(coloured.replace("\u{1b}[31m", "").replace("\u{1b}[32m", "").replace("\u{1b}[0m", ""), table.render(false));
    }
}
