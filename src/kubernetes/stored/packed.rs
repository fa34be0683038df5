//! Objects as the operator keeps them: compressed. Decoded, an object needs several kilobytes, most of them for fields that
//! it does not have.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Defect, Parts, Stored, Unreadable, named_as};
use crate::api::RotatedSecret;
use crate::fleet::Member;

/// Text that most objects have in common. Only the memory that an object needs depends on it.
const TYPICAL: &[u8] = include_bytes!("typical.json");

/// A RotatedSecret, packed.
#[derive(Debug, Clone)]
pub struct Packed {
    /// Name, namespace, uid and resourceVersion.
    metadata: ObjectMeta,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// The compressed JSON of the metadata that [`super::metadata`] reads, of the spec and of the status, and what counts of it.
    Readable(Box<[u8]>, Box<Member>),
    Unreadable(Box<Unreadable>),
}

impl Packed {
    /// What the statistics count of it; `None`: it cannot be decoded.
    pub fn member(&self) -> Option<&Member> {
        match &self.content {
            Content::Readable(_, member) => Some(member),
            Content::Unreadable(_) => None,
        }
    }

    /// The object, as it was decoded when it was packed.
    pub fn unpack(&self) -> Stored {
        match &self.content {
            Content::Readable(packed, _) => {
                let text = decompress_size_prepended_with_dict(packed, TYPICAL).ok().and_then(|text| String::from_utf8(text).ok());
                match text {
                    Some(text) => Stored::decode(&text),
                    // Cannot happen: only this file compresses it.
                    None => Stored::Unreadable(Box::new(Unreadable {
                        metadata: self.metadata.clone(),
                        defect: Defect::Unknown("spec"),
                        arn: None,
                    })),
                }
            }
            Content::Unreadable(unreadable) => Stored::Unreadable(unreadable.clone()),
        }
    }

    /// From the JSON of one object.
    fn pack(text: &str) -> Self {
        let stored = Stored::decode(text);
        let metadata = brief(stored.meta());
        let content = match stored {
            Stored::Readable(object) => Content::Readable(compress(text, &object), Box::new(Member::of(&object))),
            Stored::Unreadable(unreadable) => Content::Unreadable(unreadable),
        };
        Self { metadata, content }
    }
}

/// What identifies the object.
fn brief(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        ..ObjectMeta::default()
    }
}

/// The text itself is kept, not the object that was decoded from it, so that it is decoded in the same way again.
fn compress(text: &str, object: &RotatedSecret) -> Box<[u8]> {
    let parts = Parts::of(text);
    let kept = ObjectMeta { managed_fields: None, owner_references: None, ..object.metadata.clone() };
    let metadata = serde_json::to_string(&kept).unwrap_or_else(|_| "{}".to_owned());
    let raw = |part: Option<&RawValue>| part.map_or("null", RawValue::get).to_owned();
    let text = format!(r#"{{"metadata":{metadata},"spec":{},"status":{}}}"#, raw(parts.spec), raw(parts.status));
    compress_prepend_size_with_dict(text.as_bytes(), TYPICAL).into_boxed_slice()
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self::pack(raw.get()))
    }
}

impl Resource for Packed {
    named_as!(RotatedSecret);

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests;
