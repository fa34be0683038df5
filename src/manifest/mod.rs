//! Manifests as a user writes them: YAML or JSON, with the place of each part, and with the scalars that kubectl reads from
//! it. Pure: the text is an argument.

mod node;
mod read;
mod scalar;
#[cfg(test)]
mod tests;

pub use node::{Data, Entry, Node, Place};
pub use read::{Defect, Read, read};

use crate::api::GROUP;

/// The kind of the objects that are looked for.
const KIND: &str = "RotatedSecret";

/// The RotatedSecrets in these documents, also inside of a List. Other kinds are left out.
pub fn rotated_secrets(documents: &[Node]) -> Vec<&Node> {
    let mut found = Vec::new();
    for document in documents {
        let kind = document.text("kind").unwrap_or_default();
        if kind == "List" || kind == "RotatedSecretList" {
            let items = document.get("items").map(Node::items).unwrap_or_default();
            found.extend(items.iter().filter(|item| is_ours(group(item), item.text("kind").unwrap_or_default())));
        } else if is_ours(group(document), kind) {
            found.push(document);
        }
    }
    found
}

/// A wrong group or version of our kind is a mistake in one of our objects, not another kind.
fn is_ours(group: Option<&str>, kind: &str) -> bool {
    kind.eq_ignore_ascii_case(KIND) || group == Some(GROUP)
}

fn group(node: &Node) -> Option<&str> {
    node.text("apiVersion").map(|version| version.split_once('/').map_or("", |(group, _)| group))
}
