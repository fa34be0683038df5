//! The text of `schedule`.

use super::document::Document;
use crate::plugin::output::{self, Page};
use crate::plugin::table::{Cell, Table, Tone};

pub(super) fn page(documents: &[Document], colours: bool) -> Page {
    let mut page = Page::default();
    for (number, document) in documents.iter().enumerate() {
        if number > 0 {
            page.gap();
        }
        if let Some(title) = title(document) {
            page.line(&title);
        }
        if !document.items.is_empty() {
            page.table(&table(document), colours);
        }
        for note in &document.notes {
            page.painted(&format!("note: {note}"), Tone::Caution, colours);
        }
    }
    page
}

fn title(document: &Document) -> Option<String> {
    let name = document.name.as_ref()?;
    let object = document.namespace.as_ref().map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}"));
    let file = document.file.as_ref().map(|file| format!(" ({file})")).unwrap_or_default();
    Some(document.schedule.as_ref().map_or_else(|| format!("{object}{file}"), |schedule| format!("{object}{file}: {schedule}")))
}

fn table(document: &Document) -> Table {
    let zone = document.time_zone.as_deref().unwrap_or("UTC");
    let local = format!("DUE ({zone})");
    let mut headers = vec![local.as_str()];
    if zone != "UTC" {
        headers.push("DUE (UTC)");
    }
    headers.push("ROTATES");
    let mut table = Table::new(&headers).within(output::columns());
    for item in &document.items {
        let mut cells: Vec<Cell> = vec![item.local.as_str().into()];
        if zone != "UTC" {
            cells.push(item.due_time.to_string().into());
        }
        let tone = if item.effect == "Rotates" { Tone::Plain } else { Tone::Caution };
        let words = if item.rotation_time == Some(item.due_time) && item.words == item.local { "on time" } else { &item.words };
        cells.push(Cell(words.to_owned(), tone));
        table.row(cells);
    }
    table
}
