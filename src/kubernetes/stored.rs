//! Objects as the API server stores them. Their JSON is written by users, so decoding never fails: an object that cannot
//! be decoded is represented by its metadata. docs/design/0011 explains why kube's own types cannot be used for that.

mod metadata;

use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use self::metadata::MOST_FINALIZERS;
use self::metadata::metadata;
pub(super) use self::metadata::time;
use crate::api::{AwsStatus, RotatedSecret, RotatedSecretSpec, RotatedSecretStatus};

/// Maximum size of a `spec` and of a `status` that are decoded, in bytes of JSON. A value in AWS has at most 65,536
/// bytes, a policy 20,480 characters.
pub const LARGEST: usize = 256 * 1024;
/// Maximum size of a `spec` and of a `status` once they are decoded, as estimated from their JSON. Every object is cached.
/// The largest that the CustomResourceDefinition accepts has fewer than 1,000 values outside of the resource policy.
pub const LARGEST_DECODED: usize = 512 * 1024;
/// Memory of one value in a list or a map, such as a short string with its key.
const VALUE: usize = 256;
/// Maximum nesting depth of `spec` and `status`. The CustomResourceDefinition declares fewer than ten levels.
pub const DEEPEST: usize = 32;

/// The items of `impl Resource` that name the kind, for a type that represents objects of the kind `$of`.
macro_rules! named_as {
    ($of:ty) => {
        type DynamicType = ();
        type Scope = <$of as ::kube::Resource>::Scope;

        fn kind((): &()) -> ::std::borrow::Cow<'_, str> {
            <$of as ::kube::Resource>::kind(&())
        }

        fn group((): &()) -> ::std::borrow::Cow<'_, str> {
            <$of as ::kube::Resource>::group(&())
        }

        fn version((): &()) -> ::std::borrow::Cow<'_, str> {
            <$of as ::kube::Resource>::version(&())
        }

        fn plural((): &()) -> ::std::borrow::Cow<'_, str> {
            <$of as ::kube::Resource>::plural(&())
        }
    };
}
pub(crate) use named_as;

/// A RotatedSecret as the API server stores it.
#[derive(Debug, Clone)]
pub enum Stored {
    /// It can be decoded. Its metadata has only what [`metadata`] reads.
    Readable(Box<RotatedSecret>),
    /// It cannot be decoded.
    Unreadable(Box<Unreadable>),
}

/// A RotatedSecret that this version of the operator cannot decode.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// Name, uid, resourceVersion, finalizers, deletionTimestamp.
    pub metadata: ObjectMeta,
    /// The reason.
    pub defect: Defect,
    /// `status.aws.arn`, if that much can be read and has the form of an ARN.
    pub arn: Option<String>,
}

/// Reason why an object cannot be decoded. Never quotes its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// More than [`LARGEST`].
    #[error("{0} is larger than 256 KiB")]
    TooLarge(&'static str),
    /// More than [`LARGEST_DECODED`].
    #[error("{0} has too many fields and list items")]
    TooMany(&'static str),
    /// More than [`DEEPEST`].
    #[error("{0} is nested deeper than 32 levels")]
    TooDeep(&'static str),
    /// A field is missing, has another type, or has a value that this version does not know.
    #[error("{0} has a field or a value that this version of the operator does not know")]
    Unknown(&'static str),
}

impl Stored {
    /// The object, if it can be decoded.
    pub fn readable(&self) -> Option<&RotatedSecret> {
        match self {
            Self::Readable(object) => Some(object),
            Self::Unreadable(_) => None,
        }
    }

    /// The object.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub fn into_readable(self) -> Result<RotatedSecret, Box<Unreadable>> {
        match self {
            Self::Readable(object) => Ok(*object),
            Self::Unreadable(unreadable) => Err(unreadable),
        }
    }

    /// From the JSON of one object. A status that cannot be decoded makes the object unreadable.
    pub fn strict(text: &str) -> Self {
        let parts = Parts::of(text);
        let status = parts.status.map(|status| part("status", status)).transpose();
        Self::assemble(&parts, status)
    }

    /// From the JSON of one object.
    pub(super) fn decode(text: &str) -> Self {
        let parts = Parts::of(text);
        let status = parts.status.map(|status| part("status", status).unwrap_or_else(|_| parts.rest_of_status()));
        Self::assemble(&parts, Ok(status))
    }

    fn assemble(parts: &Parts<'_>, status: Result<Option<RotatedSecretStatus>, Defect>) -> Self {
        let metadata = parts.metadata.map(|raw| metadata(raw.get())).unwrap_or_default();
        match parts.spec().and_then(|spec| Ok((spec, status?))) {
            Ok((spec, status)) => Self::Readable(Box::new(RotatedSecret { metadata, spec, status })),
            Err(defect) => Self::Unreadable(Box::new(Unreadable { metadata, defect, arn: parts.arn() })),
        }
    }
}

/// The parts of an object, not decoded. Splitting it does not depend on the content of the parts.
#[derive(Deserialize, Default)]
pub(super) struct Parts<'a> {
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) spec: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) status: Option<&'a RawValue>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    fn spec(&self) -> Result<RotatedSecretSpec, Defect> {
        part("spec", self.spec.ok_or(Defect::Unknown("spec"))?)
    }

    /// A status that cannot be decoded is like one that was lost: the next reconcile writes it again. Its ARN says where the
    /// AWS secret is.
    fn rest_of_status(&self) -> RotatedSecretStatus {
        let aws = self.arn().map(|arn| AwsStatus { arn: Some(arn), ..AwsStatus::default() });
        RotatedSecretStatus { aws, ..RotatedSecretStatus::default() }
    }

    fn arn(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Status<'a> {
            #[serde(borrow)]
            aws: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Aws {
            arn: String,
        }
        let status: Status<'_> = serde_json::from_str(self.status?.get()).ok()?;
        let aws: Aws = serde_json::from_str(status.aws?.get()).ok()?;
        let fine = |c: char| c.is_ascii_alphanumeric() || ":/_+=.@!-".contains(c);
        (aws.arn.starts_with("arn:") && aws.arn.len() <= 1024 && aws.arn.chars().all(fine)).then_some(aws.arn)
    }
}

fn part<T: DeserializeOwned>(name: &'static str, raw: &RawValue) -> Result<T, Defect> {
    let text = raw.get();
    if text.len() > LARGEST {
        return Err(Defect::TooLarge(name));
    }
    let shape = Shape::of(text);
    if shape.depth > DEEPEST {
        return Err(Defect::TooDeep(name));
    }
    let values = shape.values.saturating_sub(values_of_policy(text));
    if values.saturating_mul(VALUE).saturating_add(text.len()) > LARGEST_DECODED {
        return Err(Defect::TooMany(name));
    }
    serde_json::from_str(text).map_err(|_| Defect::Unknown(name))
}

/// The values in `aws.resourcePolicy`, which is kept as text.
fn values_of_policy(spec: &str) -> usize {
    #[derive(Deserialize)]
    struct Spec<'a> {
        #[serde(borrow)]
        aws: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Aws<'a> {
        #[serde(borrow)]
        resource_policy: Option<&'a RawValue>,
    }
    let spec: Option<Spec<'_>> = serde_json::from_str(spec).ok();
    let aws: Option<Aws<'_>> = spec.and_then(|spec| spec.aws).and_then(|aws| serde_json::from_str(aws.get()).ok());
    aws.and_then(|aws| aws.resource_policy).map_or(0, |policy| Shape::of(policy.get()).values)
}

/// Size of a JSON text once it is decoded.
struct Shape {
    /// How deep lists and objects are nested.
    depth: usize,
    /// Number of fields and list items.
    values: usize,
}

impl Shape {
    fn of(text: &str) -> Self {
        let (mut now, mut depth, mut values, mut in_string, mut escaped) = (0_usize, 0, 0_usize, false, false);
        for byte in text.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                b'[' | b'{' if !in_string => {
                    now = now.saturating_add(1);
                    values = values.saturating_add(1);
                    depth = depth.max(now);
                }
                b']' | b'}' if !in_string => now = now.saturating_sub(1),
                b',' if !in_string => values = values.saturating_add(1),
                _ => {}
            }
        }
        Self { depth, values }
    }
}

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Reads the text of any value without recursion, so the depth does not matter.
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self::decode(raw.get()))
    }
}

impl Resource for Stored {
    named_as!(RotatedSecret);

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Readable(object) => &object.metadata,
            Self::Unreadable(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Readable(object) => &mut object.metadata,
            Self::Unreadable(unreadable) => &mut unreadable.metadata,
        }
    }
}

/// An object of which only the metadata is requested, and of that only what [`metadata`] reads.
pub struct Brief<K> {
    /// The metadata.
    pub metadata: ObjectMeta,
    kind: PhantomData<fn() -> K>,
}

impl<K> Brief<K> {
    /// From the JSON of one object.
    pub(super) fn decode(text: &str) -> Self {
        Self { metadata: Parts::of(text).metadata.map(|raw| metadata(raw.get())).unwrap_or_default(), kind: PhantomData }
    }
}

impl<K> Clone for Brief<K> {
    fn clone(&self) -> Self {
        Self { metadata: self.metadata.clone(), kind: PhantomData }
    }
}

impl<K> fmt::Debug for Brief<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Brief").field("name", &self.metadata.name).finish_non_exhaustive()
    }
}

impl<'de, K> Deserialize<'de> for Brief<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self::decode(raw.get()))
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Brief<K> {
    named_as!(K);

    fn metadata_api() -> bool {
        true
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests;
