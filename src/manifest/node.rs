//! The parts of a document and their places.

use serde_json::{Map, Number, Value};

/// As many bytes of text count as one value.
const TEXT: usize = 128;

/// A place in a file. Both numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub place: Place,
    pub data: Data,
    /// The text of a scalar that is not quoted, as it was written.
    pub plain: Option<String>,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub place: Place,
    pub value: Node,
}

impl Node {
    /// The value of the key. If it is written twice: the last one, as kubectl takes it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The last entry with this key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().rev().find(|entry| entry.key == key)
    }

    /// The entries of a map.
    pub fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list.
    pub fn items(&self) -> &[Self] {
        match &self.data {
            Data::List(items) => items,
            _ => &[],
        }
    }

    /// The text under this key.
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The place of the part that a path such as `spec.rotation.schedule` or `spec.aws.replicaRegions[1]` names, or of the
    /// innermost part that is there.
    pub fn place_of(&self, path: &[String]) -> Place {
        let (mut node, mut place) = (self, self.place);
        for step in path {
            let next = if let Some(entry) = node.entry(step) {
                Some((&entry.value, entry.place))
            } else {
                step.parse().ok().and_then(|index: usize| node.items().get(index)).map(|item| (item, item.place))
            };
            let Some(next) = next else { break };
            (node, place) = next;
        }
        place
    }

    /// The value as JSON.
    pub fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(number) => Value::Number(number.clone()),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Data::Map(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// How deep it is.
    pub(super) fn depth(&self) -> usize {
        let below = match &self.data {
            Data::List(items) => items.iter().map(Self::depth).max(),
            Data::Map(entries) => entries.iter().map(|entry| entry.value.depth()).max(),
            _ => None,
        };
        below.unwrap_or_default().saturating_add(1)
    }

    /// How many values it has. Long texts count as several, because an alias copies them.
    pub(super) fn size(&self) -> usize {
        let text = |text: &str| text.len() / TEXT;
        let below = match &self.data {
            Data::List(items) => items.iter().map(Self::size).fold(0, usize::saturating_add),
            Data::Map(entries) => {
                entries.iter().map(|entry| entry.value.size().saturating_add(text(&entry.key))).fold(0, usize::saturating_add)
            }
            Data::Text(value) => text(value),
            _ => 0,
        };
        below.saturating_add(1).saturating_add(self.plain.as_deref().map_or(0, text))
    }
}
