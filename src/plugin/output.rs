//! Where answers go. The types that are written here are the stable fields that docs/plugin.md tells of.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use serde::Serialize;

use super::Trouble;
use super::args::Format;

/// Whether words may be coloured: on a terminal, unless the user says no (<https://no-color.org>).
pub(super) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// `document` for machines, or `human` for people.
pub(super) fn emit<T: Serialize>(format: Option<Format>, document: &T, human: impl FnOnce() -> String) -> Result<(), Trouble> {
    write(&render(format, document, human)?)
}

fn render<T: Serialize>(format: Option<Format>, document: &T, human: impl FnOnce() -> String) -> Result<String, Trouble> {
    let unwritable = || Trouble::wrong("the answer could not be written in this format: please report it");
    Ok(match format {
        None => human(),
        Some(Format::Json) => serde_json::to_string_pretty(document).map_err(|_| unwritable())? + "\n",
        Some(Format::Yaml) => serde_saphyr::to_string(document).map_err(|_| unwritable())?,
    })
}

/// To standard output. Whoever closes it early (`| head`) has read enough.
pub(super) fn write(text: &str) -> Result<(), Trouble> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Trouble::wrong("standard output cannot be written to")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Example {
        current_version_id: &'static str,
    }

    #[test]
    fn both_formats_for_machines_have_the_same_fields() {
        let example = Example { current_version_id: "v1" };
        let text = |format| render(format, &example, || "for people\n".to_owned()).unwrap();
        assert_eq!(text(Some(Format::Json)), "{\n  \"currentVersionId\": \"v1\"\n}\n");
        assert_eq!(text(Some(Format::Yaml)).trim_end(), "currentVersionId: v1");
        assert_eq!(text(None), "for people\n");
    }
}
