//! The texts of policies: wildcards, policy variables, and the values that a request supplies for them.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::Value;

/// What a call brings along for conditions: key (in lower case) to values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts(BTreeMap<String, Vec<String>>);

impl Facts {
    /// One value.
    pub(crate) fn put(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_lowercase(), vec![value.into()]);
    }

    /// Many values.
    pub(crate) fn put_all(&mut self, key: &str, values: Vec<String>) {
        self.0.insert(key.to_lowercase(), values);
    }

    /// Tags under a prefix such as `aws:RequestTag/`.
    pub(crate) fn put_tags<'a>(&mut self, prefix: &str, tags: impl IntoIterator<Item = (&'a String, &'a String)>) {
        for (key, value) in tags {
            self.put(&format!("{prefix}{key}"), value);
        }
    }

    /// The values of a key, if the call has it.
    pub(crate) fn get(&self, key: &str) -> Option<&[String]> {
        self.0.get(&key.to_lowercase()).map(Vec::as_slice)
    }

    /// Policy variables (`${aws:PrincipalTag/team}`) become their values. `None`: one has no value, so the text fits nothing.
    pub(crate) fn resolve(&self, text: &str) -> Option<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            pieces.push(Piece::Pattern(before.to_owned()));
            let (name, after) = after.split_once('}')?;
            match (name, self.get(name)) {
                ("*" | "?" | "$", _) => pieces.push(Piece::Literal(name.to_owned())),
                (_, Some([value])) => pieces.push(Piece::Literal(value.clone())),
                _ => return None,
            }
            rest = after;
        }
        pieces.push(Piece::Pattern(rest.to_owned()));
        Some(pieces)
    }
}

/// A part of a text with wildcards; what a variable stood for has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Pattern(String),
    Literal(String),
}

/// Whether the pieces, in a row, are the whole of `text`: `*` is any run of characters, `?` any one.
pub(crate) fn fits(pieces: &[Piece], text: &str) -> bool {
    let wanted: Vec<(char, bool)> = pieces
        .iter()
        .flat_map(|piece| match piece {
            Piece::Pattern(text) => text.chars().map(|c| (c, true)).collect::<Vec<_>>(),
            Piece::Literal(text) => text.chars().map(|c| (c, false)).collect(),
        })
        .collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut seen) = (0, 0);
    // The last star, and how far the text was when it was met.
    let mut star = None;
    while seen < text.len() {
        match (wanted.get(at), text.get(seen)) {
            (Some(('*', true)), _) => {
                star = Some((at, seen));
                at += 1;
            }
            (Some((c, wild)), Some(found)) if (*wild && *c == '?') || c == found => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((from, met)) => {
                    star = Some((from, met + 1));
                    (at, seen) = (from + 1, met + 1);
                }
                None => return false,
            },
        }
    }
    wanted.iter().skip(at).all(|rest| *rest == ('*', true))
}

/// A word or a list of words.
pub(super) fn words(value: &Value) -> Result<Vec<String>> {
    let word = |value: &Value| match value {
        Value::String(word) => Ok(word.clone()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        _ => bail!("a word is expected"),
    };
    match value {
        Value::Array(values) => values.iter().map(word).collect(),
        value => Ok(vec![word(value)?]),
    }
}
