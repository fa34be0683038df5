//! JSON of objects as the operator keeps it. Most of their text is the same, so they are compressed against a common one.

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};

/// What most texts have in common. Only the memory that a text needs depends on it.
const TYPICAL: &[u8] = include_bytes!("typical.jsonl");

/// A compressed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compressed(Box<[u8]>);

impl Compressed {
    /// Compresses a text.
    pub(crate) fn of(text: &str) -> Self {
        Self(compress_prepend_size_with_dict(text.as_bytes(), TYPICAL).into_boxed_slice())
    }

    /// The text. `None` cannot happen: only this file compresses.
    pub(crate) fn text(&self) -> Option<String> {
        String::from_utf8(decompress_size_prepended_with_dict(&self.0, TYPICAL).ok()?).ok()
    }

    /// Number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
