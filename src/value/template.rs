//! Templates for keys of the mirrored Secret: text in which `{{ field | filter }}` stands for a field of the value. A subset of
//! Jinja, without statements, variables and operators: a template reads nothing but the value, ends after one pass, and makes
//! nothing larger than [`LARGEST`]. So those who write templates cannot make the operator read, send or use up anything.

mod parse;
mod syntax;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;

use super::payload::{Object, Payload, text_of, wipe};
use crate::plaintext::{Plaintext, SecretBytes};

use self::syntax::{Expression, Filter, Operand, Part};

pub use parse::ParseError;

/// The most that a template makes, in bytes: Kubernetes stores no larger Secret.
const LARGEST: usize = 1_048_576;

/// What `urlencode` escapes: everything but letters, digits, `-`, `.`, `_` and `~` (RFC 3986), so that the text can stand in any
/// part of a URL.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How many bytes the templates of one Secret may read and make on the way, so that they end within milliseconds.
const WORK: usize = 16 * 1_048_576;

/// What the templates of one Secret may still read and make.
pub(super) struct Budget {
    work: usize,
    text: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { work: WORK, text: LARGEST }
    }
}

impl Budget {
    fn work(&mut self, bytes: usize) -> Result<(), TemplateError> {
        self.work = self.work.checked_sub(bytes).ok_or(TemplateError::TooLarge)?;
        Ok(())
    }

    fn text(&mut self, bytes: usize) -> Result<(), TemplateError> {
        self.text = self.text.checked_sub(bytes).ok_or(TemplateError::TooLarge)?;
        Ok(())
    }
}

/// A template of one key.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

/// Why a value cannot be laid out. Carries only what the template says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// A field, or a place in it, that the value does not have.
    Missing(String),
    /// The whole value is no text.
    NotText,
    /// The result is larger than a Secret may be.
    TooLarge,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// What stands for an expression: its text, and its JSON until a filter changes it.
struct Found {
    text: Plaintext,
    json: Option<Plaintext>,
}

impl From<String> for Found {
    fn from(text: String) -> Self {
        Self { text: Plaintext::from(text), json: None }
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Where it is not one.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::parts(text).map(|parts| Self { text: text.to_owned(), parts })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text for this value.
    ///
    /// # Errors
    /// If the value lacks what the template asks for, or the text is too large.
    pub(super) fn render(&self, value: &Payload, budget: &mut Budget) -> Result<SecretBytes, TemplateError> {
        budget.work(value.bytes().len())?;
        let object = Object::read(value);
        let mut made = Vec::new();
        for part in &self.parts {
            let expanded;
            let bytes = match part {
                Part::Text(text) => text.as_bytes(),
                Part::Expression(expression) => {
                    expanded = expression.expand(value, object.as_ref(), budget)?;
                    expanded.expose().as_bytes()
                }
            };
            if let Err(error) = budget.text(bytes.len()) {
                zeroize::Zeroize::zeroize(&mut made);
                return Err(error);
            }
            if made.capacity() < made.len().saturating_add(bytes.len()) {
                // The allocation that is given back would keep a part of the value.
                let mut larger = Vec::with_capacity(made.len().saturating_add(bytes.len()).saturating_mul(2));
                larger.extend_from_slice(&made);
                zeroize::Zeroize::zeroize(&mut made);
                made = larger;
            }
            made.extend_from_slice(bytes);
        }
        Ok(SecretBytes::from(made))
    }
}

impl Expression {
    fn expand(&self, value: &Payload, object: Option<&Object>, budget: &mut Budget) -> Result<Plaintext, TemplateError> {
        let mut filters = self.filters.iter();
        let mut found = match &self.operand {
            Operand::Literal(text) => Found::from(text.clone()),
            Operand::Document => Found::from(std::str::from_utf8(value.bytes()).map_err(|_| TemplateError::NotText)?.to_owned()),
            Operand::Path(path) => {
                let missing = || TemplateError::Missing(path.join("."));
                // Without the field, the first `default` decides, whatever comes before it.
                let default = || filters.find_map(Filter::default_text).map(Found::from);
                let found = match object {
                    Some(object) => look_up(object, path, budget)?,
                    None => None,
                };
                found.or_else(default).ok_or_else(missing)?
            }
        };
        for filter in filters {
            found = filter.apply(found, budget)?;
        }
        Ok(found.text)
    }
}

/// A field, or a place in it: the contents of a string, or JSON. `None`: the value does not have it.
fn look_up(object: &Object, path: &[String], budget: &mut Budget) -> Result<Option<Found>, TemplateError> {
    let Some((first, rest)) = path.split_first() else { return Ok(None) };
    let Some(field) = object.0.get(first) else { return Ok(None) };
    // Each step reads all of it.
    budget.work(field.get().len().saturating_mul(path.len()))?;
    let mut found: Box<RawValue> = field.clone();
    for step in rest {
        let next = step_into(&found, step);
        wipe(Some(found));
        let Some(next) = next else { return Ok(None) };
        found = next;
    }
    let json = Plaintext::from(found.get().to_owned());
    let text = text_of(&found).unwrap_or_else(|| Plaintext::from(found.get().to_owned()));
    wipe(Some(found));
    Ok(Some(Found { text, json: Some(json) }))
}

/// A field of an object, or an element of a list by its number, from 0 on.
fn step_into(value: &RawValue, step: &str) -> Option<Box<RawValue>> {
    if let Ok(object) = serde_json::from_str(value.get()) {
        let mut object = Object(object);
        return object.0.remove(step);
    }
    let list: Vec<Box<RawValue>> = serde_json::from_str(value.get()).ok()?;
    let at: Option<usize> = step.parse().ok();
    let mut found = None;
    for (number, element) in list.into_iter().enumerate() {
        if Some(number) == at { found = Some(element) } else { wipe(Some(element)) }
    }
    found
}

impl Filter {
    fn default_text(&self) -> Option<String> {
        match self {
            Self::Default(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn apply(&self, found: Found, budget: &mut Budget) -> Result<Found, TemplateError> {
        let text = found.text.expose();
        // What each of these can make of a text of this length, at most.
        let largest = match self {
            Self::B64Encode => text.len().saturating_mul(2).saturating_add(4),
            Self::ToJson => text.len().saturating_mul(6).saturating_add(2),
            Self::UrlEncode | Self::Upper | Self::Lower => text.len().saturating_mul(3),
            Self::Indent(width) => text.len().saturating_add(text.matches('\n').count().saturating_mul(*width)),
            Self::Replace(from, to) => {
                let times = text.matches(from.as_str()).count();
                text.len().saturating_add(times.saturating_mul(to.len()))
            }
            Self::Trim | Self::Default(_) => text.len(),
        };
        budget.work(text.len().saturating_add(largest))?;
        let made = match self {
            Self::Default(_) => return Ok(found),
            Self::B64Encode => STANDARD.encode(text),
            Self::UrlEncode => utf8_percent_encode(text, ESCAPED).to_string(),
            Self::ToJson => match &found.json {
                Some(json) => json.expose().to_owned(),
                None => serde_json::Value::from(text).to_string(),
            },
            Self::Trim => text.trim().to_owned(),
            Self::Upper => text.to_uppercase(),
            Self::Lower => text.to_lowercase(),
            Self::Indent(width) => text.replace('\n', &format!("\n{}", " ".repeat(*width))),
            Self::Replace(from, to) => text.replace(from.as_str(), to),
        };
        let made = Found::from(made);
        if made.text.len() > LARGEST { Err(TemplateError::TooLarge) } else { Ok(made) }
    }
}

#[cfg(test)]
mod tests;
