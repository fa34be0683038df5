//! Rows as CSV and as Markdown. Tenants choose names, labels and annotations, so a cell is text and nothing else: not a
//! formula in a spreadsheet, not markup, and no character that controls a terminal.

use serde::Serialize;
use serde_json::Value;

use crate::text::escaped;

/// Between the items of a list in one cell.
const SEPARATOR: &str = "; ";
/// With these a spreadsheet begins a formula, also in their full width.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
/// Beside letters and digits of ASCII, what has no meaning in Markdown within a cell.
const MEANINGLESS: &str = " -/()";
/// Hexadecimal digits in a row that can be a commit.
const COMMIT: usize = 7;

/// A header and rows of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sheet {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Sheet {
    /// The fields of each row that have the names of the columns.
    pub(super) fn of<T: Serialize>(columns: &[&str], rows: &[T]) -> Self {
        let cells = |row: &T| {
            let document = serde_json::to_value(row).unwrap_or_default();
            columns.iter().map(|column| document.get(column).map_or_else(String::new, text)).collect()
        };
        Self { header: columns.iter().map(|column| (*column).to_owned()).collect(), rows: rows.iter().map(cells).collect() }
    }

    /// RFC 4180: a header, and lines that end with CR and LF.
    pub(super) fn csv(&self) -> String {
        let line = |cells: &Vec<String>| cells.iter().map(|cell| quoted(&plain(cell))).collect::<Vec<_>>().join(",") + "\r\n";
        std::iter::once(&self.header).chain(&self.rows).map(line).collect()
    }

    /// A table of GitHub Flavored Markdown.
    pub(super) fn markdown(&self) -> String {
        let line = |cells: &Vec<String>| format!("| {} |\n", cells.iter().map(|cell| inert(cell)).collect::<Vec<_>>().join(" | "));
        let rule = format!("|{}\n", "---|".repeat(self.header.len()));
        [line(&self.header), rule].into_iter().chain(self.rows.iter().map(line)).collect()
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // No item can end itself and begin another one.
        Value::Array(items) => items.iter().map(|item| text(item).replace(';', "\\u{3b}")).collect::<Vec<_>>().join(SEPARATOR),
        other => other.to_string(),
    }
}

/// A cell that no spreadsheet takes for a formula. Where the list separator is a semicolon, a spreadsheet splits at it.
fn plain(cell: &str) -> String {
    let part = |part: &str| {
        let begins = part.trim_start_matches(|c: char| c.is_whitespace() || c == '"').starts_with(FORMULA);
        if begins { format!("'{part}") } else { part.to_owned() }
    };
    escaped(cell).split(';').map(part).collect::<Vec<_>>().join(";")
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', ';']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// A cell without markup. Where a backslash makes a character plain, `@user`, `#1` and addresses become links
/// nevertheless, because they are looked for in the finished text. They are not in code, so that every cell is code in
/// which one of them is possible.
fn inert(cell: &str) -> String {
    let cell = escaped(cell);
    if is_plain(&cell) {
        return cell;
    }
    let longest = cell.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.saturating_add(1));
    // One space at both ends does not belong to the code.
    let pad = if cell.starts_with([' ', '`']) || cell.ends_with([' ', '`']) { " " } else { "" };
    // A bar ends the cell also in code. How many backslashes are before it, renderers count differently.
    let code = cell.replace("\\|", "\\\\u{7c}").replace('|', "\\|");
    format!("{fence}{pad}{code}{pad}{fence}")
}

/// Words in which nothing is a link: no address, no commit, and no number of an issue, such as GH-1.
fn is_plain(cell: &str) -> bool {
    let issue = || cell.as_bytes().windows(2).any(|pair| matches!(pair, [b'-', b'0'..=b'9']));
    let commit = || cell.split(|c: char| !c.is_ascii_hexdigit()).any(|digits| digits.len() >= COMMIT);
    cell.chars().all(|c| c.is_ascii_alphanumeric() || MEANINGLESS.contains(c)) && !issue() && !commit()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_of_csv_are_quoted_where_needed_and_never_formulas() {
        for (cell, expected) in [
            ("db-admin", "db-admin"),
            ("", ""),
            ("rate(30 days)", "rate(30 days)"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("a\r\nb\u{1b}[2J", "a\\r\\nb\\u{1b}[2J"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "' =1"),
            ("\"=1", "\"'\"\"=1\""),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("\t=1", "\\t=1"),
            ("x;=cmd|' /C calc'!A0", "\"x;'=cmd|' /C calc'!A0\""),
            ("a=b", "a=b"),
        ] {
            let sheet = Sheet { header: vec!["h".to_owned()], rows: vec![vec![cell.to_owned()]] };
            assert_eq!(sheet.csv(), format!("h\r\n{expected}\r\n"), "{cell:?}");
        }
    }

    #[test]
    fn cells_of_markdown_stay_in_their_cell_and_mean_nothing() {
        for (cell, expected) in [
            ("db-admin", "db-admin"),
            ("rate(30 days)", "rate(30 days)"),
            ("shop/db", "shop/db"),
            ("a|b", r"`a\|b`"),
            (r"a\|b", r"`a\\u{7c}b`"),
            (r"a\", r"`a\`"),
            ("a\nb", r"`a\nb`"),
            ("<img src=x>", "`<img src=x>`"),
            ("[click](https://example.com)", "`[click](https://example.com)`"),
            ("0 8 * * MON", "`0 8 * * MON`"),
            ("&lt;", "`&lt;`"),
            ("http://example.com", "`http://example.com`"),
            ("www.example.com", "`www.example.com`"),
            ("jane@example.com", "`jane@example.com`"),
            ("@jane", "`@jane`"),
            ("#123", "`#123`"),
            ("GH-123", "`GH-123`"),
            ("8b9797d", "`8b9797d`"),
            (":bomb:", "`:bomb:`"),
            ("`@jane`", "`` `@jane` ``"),
            ("a``` @jane", "````a``` @jane````"),
            (" @jane ", "`  @jane  `"),
        ] {
            let sheet = Sheet { header: vec!["h".to_owned(), "i".to_owned()], rows: vec![vec![cell.to_owned(), String::new()]] };
            assert_eq!(sheet.markdown(), format!("| h | i |\n|---|---|\n| {expected} |  |\n"), "{cell:?}");
        }
    }

    #[test]
    fn the_columns_are_fields_of_the_rows() {
        let row = json!({"name": "db", "overdue": true, "overdueSeconds": 60, "readers": ["User:a", "User:b; Group:c"], "other": 1});
        let sheet = Sheet::of(&["name", "owner", "overdue", "overdueSeconds", "readers"], &[row]);
        assert_eq!(sheet.rows, [["db", "", "true", "60", "User:a; User:b\\u{3b} Group:c"]]);
        assert_eq!(sheet.csv(), "name,owner,overdue,overdueSeconds,readers\r\ndb,,true,60,\"User:a; User:b\\u{3b} Group:c\"\r\n");
    }
}
