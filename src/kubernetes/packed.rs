//! Objects as the operator keeps them: compressed. Decoded, an object needs several kilobytes, most of them for fields that
//! it does not have.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::compressed::Compressed;
use super::stored::{Defect, Parts, Stored, Unreadable, named_as};
use crate::api::RotatedSecret;
use crate::fleet::Member;

/// A RotatedSecret, packed.
#[derive(Debug, Clone)]
pub struct Packed {
    /// Name, namespace, uid and resourceVersion.
    metadata: ObjectMeta,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    /// The compressed JSON of the metadata that [`Stored`] reads, of the spec and of the status, and what counts of it.
    Readable(Compressed, Box<Member>),
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
            Content::Readable(packed, _) => match packed.text() {
                Some(text) => Stored::decode(&text),
                None => {
                    Stored::Unreadable(Box::new(Unreadable { metadata: self.metadata.clone(), defect: Defect::Unknown("spec"), arn: None }))
                }
            },
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
fn compress(text: &str, object: &RotatedSecret) -> Compressed {
    let parts = Parts::of(text);
    let kept = ObjectMeta { managed_fields: None, owner_references: None, ..object.metadata.clone() };
    let metadata = serde_json::to_string(&kept).unwrap_or_else(|_| "{}".to_owned());
    let [spec, status] = [parts.spec, parts.status].map(|part| part.map_or("null", RawValue::get));
    Compressed::of(&format!(r#"{{"metadata":{metadata},"spec":{spec},"status":{status}}}"#))
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
