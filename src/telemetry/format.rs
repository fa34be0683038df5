//! Format of log lines: one line per event, with the fields of the spans around it on the same level. Spans of other crates
//! are omitted.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, span};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::caps::is_ours;
use crate::text::{escaped, json_escaped};

/// Field of a span or an event with the object that it concerns, as `namespace/name`.
const OBJECT: &str = "object";
/// Field of a line in JSON: the namespace of that object.
const NAMESPACE: &str = "namespace";
const MESSAGE: &str = "message";
/// Name of a field `message` of an event that also has a message.
const DETAIL: &str = "detail";

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text per event.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Stores the fields of spans for [`Lines`].
pub(super) struct SpanFields;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanFields {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id).filter(|span| is_ours(span.metadata().target())) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }
}

/// Writes an event as one line in the given format.
pub(super) struct Lines(pub(super) LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope().into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.add(outer);
            }
        }
        match self.0 {
            LogFormat::Human => human(&mut writer, event, &fields),
            LogFormat::Json => json(&mut writer, event, fields),
        }
    }
}

/// `time LEVEL namespace/name message name=value ...`. Events of other crates have the field `target`.
fn human(writer: &mut Writer<'_>, event: &Event<'_>, fields: &Fields) -> fmt::Result {
    let metadata = event.metadata();
    write!(writer, "{} {}", Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ"), metadata.level())?;
    for name in [OBJECT, MESSAGE] {
        match fields.get(name) {
            Some(Value::String(text)) => write!(writer, " {}", escaped(text))?,
            Some(value) => write!(writer, " {value}")?,
            None => {}
        }
    }
    for (name, value) in fields.0.iter().filter(|(name, _)| ![OBJECT, MESSAGE].contains(name)) {
        match value {
            Value::String(text) if is_plain(text) => write!(writer, " {name}={text}")?,
            Value::String(text) => write!(writer, " {name}={}", escaped(&format!("{text:?}")))?,
            value => write!(writer, " {name}={value}")?,
        }
    }
    if !is_ours(metadata.target()) {
        write!(writer, " target={}", metadata.target())?;
    }
    writeln!(writer)
}

/// A JSON object with all fields at the top level. Collectors route by `namespace`, that of the object.
fn json(writer: &mut Writer<'_>, event: &Event<'_>, fields: Fields) -> fmt::Result {
    let metadata = event.metadata();
    let mut line: Map<String, Value> = fields.0.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let namespace =
        line.get(OBJECT).and_then(Value::as_str).and_then(|object| object.split_once('/')).map(|(namespace, _)| namespace.into());
    if let Some(namespace) = namespace {
        line.entry(NAMESPACE).or_insert(namespace);
    }
    line.insert("timestamp".to_owned(), Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string().into());
    line.insert("level".to_owned(), metadata.level().as_str().into());
    line.insert("target".to_owned(), metadata.target().into());
    writeln!(writer, "{}", json_escaped(&Value::Object(line).to_string()))
}

/// Names and values in the order in which they were recorded. Each name occurs once.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Adds the fields of an outer span. Fields that are present take precedence.
    fn add(&mut self, outer: &Self) {
        for (name, value) in &outer.0 {
            if self.get(name).is_none() {
                self.0.push((name, value.clone()));
            }
        }
    }

    fn set(&mut self, field: &Field, value: Value) {
        // The macros record the message of an event first; a field of the same name follows.
        let name = if field.name() == MESSAGE && self.get(MESSAGE).is_some() { DETAIL } else { field.name() };
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }
}

/// Whether the text can be written after `name=` without quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\'))
}
