//! Where answers go. The types that are written here are the stable fields that docs/plugin.md tells of.
//!
//! Objects, AWS and the API server choose some of the text. None of it reaches the terminal with a control character in it: escaping is part
//! of every way out.

use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal as _, Write as _};

use serde::Serialize;

use super::Trouble;
use super::args::Format;
use super::escape::reorders;
use super::table::{Table, Tone, paint};

/// Whether words may be coloured: on a terminal, unless the user says no (<https://no-color.org>).
pub(super) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// What a person reads. Whatever is added is escaped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page(String);

impl Page {
    /// One line.
    pub(super) fn of(text: &str) -> Self {
        let mut page = Self::default();
        page.line(text);
        page
    }

    /// One more line.
    pub(super) fn line(&mut self, text: &str) {
        self.painted(text, Tone::Plain, false);
    }

    /// One more line in a tone.
    pub(super) fn painted(&mut self, text: &str, tone: Tone, colours: bool) {
        let _ = writeln!(self.0, "{}", paint(text, tone, colours));
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.0.push('\n');
    }

    /// The lines of a table.
    pub(super) fn table(&mut self, table: &Table, colours: bool) {
        self.0.push_str(&table.render(colours));
    }

    /// For tests.
    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// `document` for machines, or `human` for people.
pub(super) fn emit<T: Serialize>(format: Option<Format>, document: &T, human: impl FnOnce() -> Page) -> Result<(), Trouble> {
    out(&render(format, document, human)?)
}

/// A page for people, to standard output.
pub(super) fn write(page: &Page) -> Result<(), Trouble> {
    out(&page.0)
}

/// A text of our own, made for a program.
pub(super) fn script(text: &str) -> Result<(), Trouble> {
    out(text)
}

fn render<T: Serialize>(format: Option<Format>, document: &T, human: impl FnOnce() -> Page) -> Result<String, Trouble> {
    let unwritable = || Trouble::wrong("the answer could not be written in this format: please report it");
    Ok(match format {
        None => human().0,
        Some(Format::Json) => json(document).ok_or_else(unwritable)?,
        Some(Format::Yaml) => {
            let yaml = serde_saphyr::to_string(document).map_err(|_| unwritable())?;
            // JSON is YAML too, with an escape for each of these.
            if yaml.chars().any(unprintable) { json(document).ok_or_else(unwritable)? } else { yaml }
        }
    })
}

fn json<T: Serialize>(document: &T) -> Option<String> {
    let json = serde_json::to_string_pretty(document).ok()?;
    // JSON allows some of these characters in strings as they are, and has them nowhere else.
    let safe = json.chars().fold(String::with_capacity(json.len()), |mut safe, character| {
        if unprintable(character) {
            let _ = write!(safe, "\\u{:04x}", u32::from(character));
        } else {
            safe.push(character);
        }
        safe
    });
    Some(safe + "\n")
}

/// What no document for machines has but escaped.
fn unprintable(character: char) -> bool {
    character != '\n' && (character.is_control() || reorders(character))
}

/// To standard output. Whoever closes it early (`| head`) has read enough.
fn out(text: &str) -> Result<(), Trouble> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Trouble::wrong("standard output cannot be written to")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::escape::escaped;
    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Example {
        current_version_id: &'static str,
    }

    /// Clears the screen, forges a line, hides the rest; 8-bit CSI; right-to-left override; a line separator; DEL.
    const HOSTILE: &str = "x\u{1b}[2J\r\n9 objects: 9 Ready\t\u{9b}8m\u{202e}\u{2028}\u{7f}";

    fn text(format: Option<Format>, id: &'static str) -> String {
        render(format, &Example { current_version_id: id }, || Page::of("for people")).unwrap()
    }

    #[test]
    fn both_formats_for_machines_have_the_same_fields() {
        assert_eq!(text(Some(Format::Json), "v1"), "{\n  \"currentVersionId\": \"v1\"\n}\n");
        assert_eq!(text(Some(Format::Yaml), "v1").trim_end(), "currentVersionId: v1");
        assert_eq!(text(None, "v1"), "for people\n");
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
            let written = text(Some(format), HOSTILE);
            assert!(harmless(&written), "{written:?}");
            let read: serde_json::Value = match format {
                Format::Json => serde_json::from_str(&written).unwrap(),
                Format::Yaml => serde_saphyr::from_str(&written).unwrap(),
            };
            assert_eq!(read["currentVersionId"], HOSTILE, "{written}");
        }
    }
}
