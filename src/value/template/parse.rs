//! From the text of a template to its parts.

use std::fmt;

use super::syntax::{Expression, Filter, Operand, Part};

/// Where a text is no template, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// From 1 on.
    pub line: usize,
    /// In characters, from 1 on.
    pub column: usize,
    what: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.what)
    }
}

/// The most filters of an expression.
const MOST_FILTERS: usize = 8;
/// The widest indentation.
const WIDEST: usize = 64;

const FILTERS: &str = "a filter is one of b64encode, urlencode, tojson, trim, upper, lower, indent(4), replace('a', 'b'), default('a')";

struct Parser<'a> {
    text: &'a str,
    /// What is not read yet.
    rest: &'a str,
}

/// The parts of a template, in order.
pub(super) fn parts(text: &str) -> Result<Vec<Part>, ParseError> {
    let mut parser = Parser { text, rest: text };
    let mut parts = Vec::new();
    loop {
        let rest = parser.rest;
        let end = ["{{", "{%", "{#"].iter().filter_map(|begin| rest.find(begin)).min();
        let (plain, after) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or_default();
        if !plain.is_empty() {
            parts.push(Part::Text(plain.to_owned()));
        }
        parser.rest = after;
        if end.is_none() {
            return Ok(parts);
        }
        if !parser.take("{{") {
            return Err(parser.error("statements and comments are not supported, only expressions such as {{ password | urlencode }}"));
        }
        parts.push(Part::Expression(parser.expression()?));
    }
}

impl<'a> Parser<'a> {
    fn error(&self, what: &'static str) -> ParseError {
        let before = self.text.strip_suffix(self.rest).unwrap_or_default();
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
        ParseError { line, column, what }
    }

    fn take(&mut self, token: &str) -> bool {
        let after = self.rest.strip_prefix(token);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// The same after spaces and line breaks.
    fn take_next(&mut self, token: &str) -> bool {
        self.skip_spaces();
        self.take(token)
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn while_matches(&mut self, matches: fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !matches(c)).unwrap_or(self.rest.len());
        let (matching, after) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = after;
        matching
    }

    /// After `{{`.
    fn expression(&mut self) -> Result<Expression, ParseError> {
        self.skip_spaces();
        let operand = self.operand()?;
        let mut filters = Vec::new();
        while self.take_next("|") {
            if filters.len() == MOST_FILTERS {
                return Err(self.error("an expression has at most 8 filters"));
            }
            self.skip_spaces();
            filters.push(self.filter()?);
        }
        if self.take_next("}}") { Ok(Expression { operand, filters }) } else { Err(self.error("expected | and a filter, or }}")) }
    }

    fn operand(&mut self) -> Result<Operand, ParseError> {
        if self.rest.starts_with(['\'', '"']) {
            return self.string().map(Operand::Literal);
        }
        let first = self.name();
        let mut path = match first {
            "" => return Err(self.error("expected the name of a field, or a text in quotes")),
            "document" | "fields" => Vec::new(),
            name => vec![name.to_owned()],
        };
        loop {
            if self.take(".") {
                let name = self.while_matches(|c| c.is_ascii_alphanumeric() || c == '_');
                if name.is_empty() {
                    return Err(self.error("expected a name after the dot; other names go in brackets: fields[\"db-user\"]"));
                }
                path.push(name.to_owned());
            } else if self.take("[") {
                let quoted = self.rest.starts_with(['\'', '"']);
                let step = if quoted { self.string()? } else { self.while_matches(|c| c.is_ascii_digit()).to_owned() };
                if step.is_empty() || !self.take("]") {
                    return Err(self.error("expected a name in quotes or a number, and ]"));
                }
                path.push(step);
            } else {
                return Ok(if path.is_empty() { Operand::Document } else { Operand::Path(path) });
            }
        }
    }

    fn name(&mut self) -> &'a str {
        if self.rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            self.while_matches(|c| c.is_ascii_alphanumeric() || c == '_')
        } else {
            ""
        }
    }

    /// In quotes of either kind, without escapes.
    fn string(&mut self) -> Result<String, ParseError> {
        let quote = if self.take("'") { '\'' } else { '"' };
        if quote == '"' && !self.take("\"") {
            return Err(self.error("expected a text in quotes"));
        }
        let Some((text, after)) = self.rest.split_once(quote) else { return Err(self.error("the text has no quote at its end")) };
        if text.contains(['\\', '\n']) {
            return Err(self.error("a text in quotes has no backslash and no line break"));
        }
        self.rest = after;
        Ok(text.to_owned())
    }

    fn filter(&mut self) -> Result<Filter, ParseError> {
        let begin = self.rest;
        Ok(match self.name() {
            "b64encode" => Filter::B64Encode,
            "urlencode" => Filter::UrlEncode,
            "tojson" => Filter::ToJson,
            "trim" => Filter::Trim,
            "upper" => Filter::Upper,
            "lower" => Filter::Lower,
            "indent" => Filter::Indent(self.width()?),
            "default" => {
                let [text] = self.arguments()?;
                Filter::Default(text)
            }
            "replace" => {
                let [from, to] = self.arguments()?;
                if from.is_empty() {
                    return Err(self.error("replace needs a text to replace"));
                }
                Filter::Replace(from, to)
            }
            _ => {
                self.rest = begin;
                return Err(self.error(FILTERS));
            }
        })
    }

    fn width(&mut self) -> Result<usize, ParseError> {
        let open = self.take("(");
        let digits = self.while_matches(|c| c.is_ascii_digit());
        let short = digits == "0" || !digits.starts_with('0');
        let width = digits.parse().ok().filter(|width| *width <= WIDEST && short);
        match width {
            Some(width) if open && self.take(")") => Ok(width),
            _ => Err(self.error("expected the number of spaces, at most 64: indent(4)")),
        }
    }

    fn arguments<const N: usize>(&mut self) -> Result<[String; N], ParseError> {
        let mut arguments = Vec::new();
        let mut open = self.take("(");
        while open && arguments.len() < N {
            self.skip_spaces();
            arguments.push(self.string()?);
            open = arguments.len() == N || self.take_next(",");
        }
        match arguments.try_into() {
            Ok(arguments) if self.take_next(")") => Ok(arguments),
            _ => Err(self.error("expected texts in quotes: replace('a', 'b'), default('a')")),
        }
    }
}
