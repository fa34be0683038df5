//! Output formats, with the names that kubectl uses.

use jsonpath_rust::JsonPath as _;
use serde_json::Value;

/// Output format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// Text without abbreviations.
    Wide,
    /// `rotatedsecret.rotated-secrets.io/NAME`, one a line.
    Name,
    /// A JSON document.
    Json,
    /// A YAML document.
    Yaml,
    /// The parts of the JSON document that a template names.
    JsonPath(Vec<Part>),
}

/// Part of a template of `jsonpath`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Fixed text.
    Text(String),
    /// `{.path}`: the values, separated by spaces.
    Path(String),
    /// `{range .path}...{end}`: the parts, for each value.
    Range(String, Vec<Part>),
}

impl Format {
    /// Parses the value of `-o`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("jsonpath", template)) => {
                // As in kubectl, the braces may be omitted around a single path.
                let braced = if template.contains('{') { template.to_owned() } else { format!("{{{template}}}") };
                parts(&mut braced.as_str(), false).map(Self::JsonPath)
            }
            Some(_) => Err("use wide, name, json, yaml or jsonpath=TEMPLATE".to_owned()),
            None => match text {
                "wide" => Ok(Self::Wide),
                "name" => Ok(Self::Name),
                "json" => Ok(Self::Json),
                "yaml" => Ok(Self::Yaml),
                "jsonpath" => Err("use jsonpath=TEMPLATE, such as jsonpath='{.items[*].name}'".to_owned()),
                _ => Err("use wide, name, json, yaml or jsonpath=TEMPLATE".to_owned()),
            },
        }
    }
}

fn parts(rest: &mut &str, in_range: bool) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    loop {
        let Some((text, after)) = rest.split_once('{') else {
            if in_range {
                return Err("{range} has no {end}".to_owned());
            }
            parts.extend((!rest.is_empty()).then(|| Part::Text((*rest).to_owned())));
            return Ok(parts);
        };
        parts.extend((!text.is_empty()).then(|| Part::Text(text.to_owned())));
        let (expression, after) = closed(after).ok_or("a { has no }")?;
        *rest = after;
        match expression.trim() {
            "end" if in_range => return Ok(parts),
            "end" => return Err("{end} has no {range}".to_owned()),
            quoted if quoted.starts_with(['"', '\'']) => parts.push(Part::Text(literal(quoted)?)),
            range if range.starts_with("range ") => {
                let path = checked(range.trim_start_matches("range "))?;
                parts.push(Part::Range(path, self::parts(rest, true)?));
            }
            path => parts.push(Part::Path(checked(path)?)),
        }
    }
}

/// The text up to the closing brace, which does not count inside quotes.
fn closed(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (None, '}') => return Some((text.get(..at)?, text.get(at.saturating_add(1)..)?)),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
    }
    None
}

/// `{"\n"}`.
fn literal(quoted: &str) -> Result<String, String> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    serde_json::from_str(&format!("\"{inner}\"")).map_err(|_| format!("{quoted} is not a text"))
}

/// The path in the form of RFC 9535.
fn checked(path: &str) -> Result<String, String> {
    let path = path.trim().trim_start_matches(['$', '@']);
    let path = if path.starts_with(['.', '[']) { format!("${path}") } else { format!("$.{path}") };
    let path = if path == "$." { "$".to_owned() } else { path };
    Value::Null.query(&path).map(|_| path.clone()).map_err(|_| format!("{path} is not a JSONPath (RFC 9535)"))
}

/// The text that the template selects from `document`. Missing fields are empty, as in kubectl.
pub(super) fn select(parts: &[Part], document: &Value) -> String {
    let found = |path: &str| document.query(path).unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Path(path) => found(path).into_iter().map(|value| crate::text::escaped(&text(value))).collect::<Vec<_>>().join(" "),
            Part::Range(path, inner) => found(path).into_iter().map(|value| select(inner, value)).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selected(format: &str, document: &Value) -> String {
        let Ok(Format::JsonPath(parts)) = Format::parse(format) else { panic!("{format}") };
        select(&parts, document)
    }

    #[test]
    fn templates_are_those_of_kubectl() {
        let document =
            json!({"name": "db", "items": [{"name": "a", "n": 1, "state": "Ready"}, {"name": "b\u{1b}", "n": 2, "state": "Due"}]});
        for (template, expected) in [
            ("{.name}", "db"),
            (".name", "db"),
            ("{$.name}", "db"),
            ("{.items[*].name}", "a b\\u{1b}"),
            ("{.items[0].n}{\"\\n\"}", "1\n"),
            ("{range .items[*]}{.name}={.n};{end}", "a=1;b\\u{1b}=2;"),
            ("{.items[?(@.state==\"Due\")].n}", "2"),
            ("no {.missing}!", "no !"),
        ] {
            assert_eq!(selected(&format!("jsonpath={template}"), &document), expected, "{template}");
        }
    }

    #[test]
    fn what_is_no_format_is_refused() {
        for format in ["xml", "jsonpath", "jsonpath={.a", "jsonpath={range .a[*]}x", "jsonpath={end}", "jsonpath={.[}", "json=x"] {
            assert!(Format::parse(format).is_err(), "{format}");
        }
        assert_eq!(Format::parse("name"), Ok(Format::Name));
    }
}
