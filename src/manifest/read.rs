//! From text to documents. The parser is an event parser: it neither recurses nor expands aliases. The limits here bound
//! what this module makes of its events.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::node::{Data, Entry, Node, Place};
use super::scalar;

const DEEPEST: usize = 64;
/// Also bounds what aliases expand to.
const MOST_NODES: usize = 200_000;

/// The documents of a text.
#[derive(Debug, Default)]
pub struct Read {
    /// Those before the defect, if there is one.
    pub documents: Vec<Node>,
    pub defect: Option<Defect>,
}

/// Why a text cannot be read as YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    pub place: Place,
    pub message: String,
}

/// Reads all documents of a text.
pub fn read(text: &str) -> Read {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let defect = match event {
            Ok((event, span)) => reader.take(event, span).err(),
            Err(error) => {
                let marker = error.marker();
                let place = Place { line: marker.line(), column: marker.col().saturating_add(1) };
                Some(Defect { place, message: format!("not valid YAML: {}", error.info()) })
            }
        };
        if defect.is_some() {
            return Read { documents: reader.documents, defect };
        }
    }
    Read { documents: reader.documents, defect: None }
}

/// A list or map whose end has not come yet, with the number of its anchor.
enum Open {
    List(Place, usize, Vec<Node>),
    Map(Place, usize, Vec<Entry>, Option<(String, Place)>),
}

#[derive(Default)]
struct Reader {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Defect> {
        let place = Place { line: span.start.line(), column: span.start.col().saturating_add(1) };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                let plain = (style == ScalarStyle::Plain && !is_text).then(|| text.to_string());
                let data = plain.as_deref().map_or_else(|| Data::Text(text.to_string()), scalar::resolve);
                self.add(Node { place, data, plain }, anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) if node.depth().saturating_add(self.open.len()) <= DEEPEST => {
                    let (node, size) = (node.clone(), node.size());
                    self.nodes = self.nodes.saturating_add(size);
                    self.add(node, 0)
                }
                _ => Err(Defect { place, message: "this alias cannot be expanded".to_owned() }),
            },
            Event::SequenceStart(_, anchor, _) => self.open(Open::List(place, anchor, Vec::new()), place),
            Event::MappingStart(_, anchor, _) => self.open(Open::Map(place, anchor, Vec::new(), None), place),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(place, anchor, items)) => self.add(Node { place, data: Data::List(items), plain: None }, anchor),
                Some(Open::Map(place, anchor, entries, _)) => {
                    self.add(Node { place, data: Data::Map(merged(entries)), plain: None }, anchor)
                }
                None => Ok(()),
            },
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, open: Open, place: Place) -> Result<(), Defect> {
        self.open.push(open);
        if self.open.len() > DEEPEST { Err(Defect { place, message: format!("more than {DEEPEST} levels") }) } else { Ok(()) }
    }

    /// Adds a complete value to what is open.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Defect> {
        let place = node.place;
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > MOST_NODES {
            return Err(Defect { place, message: format!("more than {MOST_NODES} values") });
        }
        if anchor > 0 {
            // Anchors within anchors would be copied again for each level.
            self.nodes = self.nodes.saturating_add(node.size());
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.documents.push(node),
            Some(Open::List(_, _, items)) => items.push(node),
            Some(Open::Map(_, _, entries, key)) => match key.take() {
                Some((key, place)) => entries.push(Entry { key, place, value: node }),
                None => *key = Some((key_of(&node)?, place)),
            },
        }
        Ok(())
    }
}

fn key_of(node: &Node) -> Result<String, Defect> {
    match (&node.data, &node.plain) {
        (_, Some(plain)) => Ok(plain.clone()),
        (Data::Text(text), None) => Ok(text.clone()),
        _ => Err(Defect { place: node.place, message: "a key must be text; quote a value that begins with { or [".to_owned() }),
    }
}

/// With the entries that `<<` adds.
fn merged(entries: Vec<Entry>) -> Vec<Entry> {
    if entries.iter().all(|entry| entry.key != "<<") {
        return entries;
    }
    let (merges, own): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.key == "<<");
    let mut known: HashSet<String> = own.iter().map(|entry| entry.key.clone()).collect();
    let mut all: Vec<Entry> = Vec::new();
    for merge in merges {
        let parts = if merge.value.items().is_empty() { std::slice::from_ref(&merge.value) } else { merge.value.items() };
        for entry in parts.iter().flat_map(Node::entries) {
            if known.insert(entry.key.clone()) {
                all.push(entry.clone());
            }
        }
    }
    all.extend(own);
    all
}
