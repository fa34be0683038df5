//! Output. The types that are written here have the stable fields that docs/plugin.md documents.
//!
//! Some of the text comes from objects, AWS and the API server. Every output path escapes control characters, so that none
//! of them reaches the terminal.

use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::Value;

use super::Trouble;
use super::args::OutputArgs;
use super::format::{Format, select};
use super::table::{Table, Tone, paint};
use crate::text::{escaped, is_unsafe, json_escaped};

/// Whether to use colors: on a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
pub(super) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// Lines and columns of the terminal. COLUMNS has precedence, so that a pipe can be told too. `None`: not limited.
pub(super) fn columns() -> Option<usize> {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    told.filter(|columns| *columns > 0).or_else(|| terminal().map(|(columns, _)| columns))
}

/// Lines of the terminal.
pub(super) fn lines() -> Option<usize> {
    terminal().map(|(_, lines)| lines)
}

fn terminal() -> Option<(usize, usize)> {
    let (terminal_size::Width(columns), terminal_size::Height(lines)) = terminal_size::terminal_size_of(std::io::stdout())?;
    Some((usize::from(columns), usize::from(lines)))
}

/// Text for a person. All text that is added is escaped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page(String);

impl Page {
    /// A page with one line.
    pub(super) fn of(text: &str) -> Self {
        let mut page = Self::default();
        page.line(text);
        page
    }

    /// Adds a line.
    pub(super) fn line(&mut self, text: &str) {
        self.painted(text, Tone::Plain, false);
    }

    /// Adds a line in a tone.
    pub(super) fn painted(&mut self, text: &str, tone: Tone, colours: bool) {
        let _ = writeln!(self.0, "{}", paint(text, tone, colours));
    }

    /// Adds an empty line.
    pub(super) fn gap(&mut self) {
        self.0.push('\n');
    }

    /// Adds what is on another page.
    pub(super) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Adds a table.
    pub(super) fn table(&mut self, table: &Table, colours: bool) {
        self.0.push_str(&table.render(colours));
    }

    /// For tests.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// Prints `document` in the format, or `human` if there is none.
pub(super) fn emit<T: Serialize>(args: &OutputArgs, document: &T, human: impl FnOnce() -> Page) -> Result<(), Trouble> {
    out(&render(args.output.as_ref(), document, human)?)
}

/// Prints the documents of several objects as one, if the format is for a program.
pub(super) fn emit_all<T: Serialize>(args: &OutputArgs, items: &[T]) -> Result<(), Trouble> {
    #[derive(Serialize)]
    struct List<'a, T> {
        items: &'a [T],
    }
    if args.is_text() { Ok(()) } else { emit(args, &List { items }, Page::default) }
}

/// Prints a note to standard error, where it does not disturb a program.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", escaped(text));
}

/// Prints a page to standard output.
pub(super) fn write(page: &Page) -> Result<(), Trouble> {
    out(&page.0)
}

/// Prints text that this program generated for another program.
pub(super) fn script(text: &str) -> Result<(), Trouble> {
    out(text)
}

fn render<T: Serialize>(format: Option<&Format>, document: &T, human: impl FnOnce() -> Page) -> Result<String, Trouble> {
    let unwritable = || Trouble::wrong("the answer could not be written in this format: please report it");
    let value = || serde_json::to_value(document).map_err(|_| unwritable());
    Ok(match format {
        None | Some(Format::Wide) => human().0,
        Some(Format::Json) => json(document).ok_or_else(unwritable)?,
        Some(Format::Yaml) => {
            let yaml = serde_saphyr::to_string(document).map_err(|_| unwritable())?;
            // JSON is also YAML, and has an escape for each of these characters.
            if yaml.chars().any(unprintable) { json(document).ok_or_else(unwritable)? } else { yaml }
        }
        Some(Format::JsonPath(parts)) => select(parts, &value()?),
        Some(Format::Name) => names(&value()?),
    })
}

/// As `kubectl get -o name`.
fn names(document: &Value) -> String {
    let objects = document.get("items").and_then(Value::as_array).map_or(std::slice::from_ref(document), Vec::as_slice);
    let own = document.get("name");
    let mut names: Vec<&str> = objects.iter().filter_map(|object| object.get("name").or(own)?.as_str()).collect();
    // The entries of a history are those of one object.
    names.dedup();
    names.into_iter().fold(String::new(), |mut text, name| {
        let _ = writeln!(text, "rotatedsecret.rotated-secrets.io/{}", escaped(name));
        text
    })
}

fn json<T: Serialize>(document: &T) -> Option<String> {
    serde_json::to_string_pretty(document).ok().map(|json| json_escaped(&json) + "\n")
}

/// Whether a document must escape this character.
fn unprintable(character: char) -> bool {
    character != '\n' && is_unsafe(character)
}

/// Writes to standard output. A pipe that is closed early (`| head`) is not an error.
fn out(text: &str) -> Result<(), Trouble> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Trouble::wrong("standard output cannot be written to")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::escaped;

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Example {
        current_version_id: &'static str,
    }

    /// Clears the screen, forges a line, hides the rest; 8-bit CSI; right-to-left override; a line separator; DEL.
    const HOSTILE: &str = "x\u{1b}[2J\r\n9 objects: 9 Ready\t\u{9b}8m\u{202e}\u{2028}\u{7f}";

    fn text(format: Option<&Format>, id: &'static str) -> String {
        render(format, &Example { current_version_id: id }, || Page::of("for people")).unwrap()
    }

    #[test]
    fn both_formats_for_machines_have_the_same_fields() {
        assert_eq!(text(Some(&Format::Json), "v1"), "{\n  \"currentVersionId\": \"v1\"\n}\n");
        assert_eq!(text(Some(&Format::Yaml), "v1").trim_end(), "currentVersionId: v1");
        assert_eq!(text(None, "v1"), "for people\n");
        assert_eq!(text(Some(&Format::Wide), "v1"), "for people\n");
    }

    #[test]
    fn names_are_those_of_kubectl_get() {
        let name = |document: Value| names(&document);
        let one = "rotatedsecret.rotated-secrets.io/db\n";
        assert_eq!(name(serde_json::json!({"name": "db"})), one);
        assert_eq!(name(serde_json::json!({"name": "db", "items": [{"versionId": "v"}, {"versionId": "w"}]})), one);
        assert_eq!(name(serde_json::json!({"items": [{"name": "a"}, {"name": "b"}]})).lines().count(), 2);
        assert_eq!(name(serde_json::json!({"checks": []})), "");
    }

    #[test]
    fn no_control_character_of_a_text_gets_out_and_words_stay_as_they_are() {
        assert_eq!(escaped(HOSTILE), "x\\u{1b}[2J\\r\\n9 objects: 9 Ready\\t\\u{9b}8m\\u{202e}\\u{2028}\\u{7f}");
        for plain in ["schlüssel \\ \"quoted\" 'x' 秘密", ""] {
            assert_eq!(escaped(plain), plain);
        }
        let harmless = |text: &str| !text.chars().any(unprintable);
        let mut page = Page::of(HOSTILE);
        page.painted(HOSTILE, Tone::Bad, false);
        let mut table = Table::new(&["NAME"]);
        table.row(vec![HOSTILE.into()]);
        page.table(&table, false);
        assert!(harmless(page.text()) && page.text().lines().count() == 4, "{page:?}");
        assert!(harmless(&Trouble::wrong(HOSTILE).to_string()) && harmless(&Trouble::unreachable(HOSTILE).to_string()));
        for format in [Format::Json, Format::Yaml] {
            let written = text(Some(&format), HOSTILE);
            assert!(harmless(&written), "{written:?}");
            let read: serde_json::Value = match format {
                Format::Json => serde_json::from_str(&written).unwrap(),
                _ => serde_saphyr::from_str(&written).unwrap(),
            };
            assert_eq!(read["currentVersionId"], HOSTILE, "{written}");
        }
    }
}
