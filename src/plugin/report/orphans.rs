//! AWS secrets that have the tags of a cluster and belong to none of its objects. What is in AWS is read from the output of
//! `list-secrets`, so that this needs no AWS credentials of the auditor, and works for every region and account.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::owner::owner;
use super::record::Marks;
use crate::api::{TAG_CLUSTER, TAG_NAME, TAG_NAMESPACE, TAG_UID};
use crate::command::Command;
use crate::desired::SecretArn;
use crate::identity::AwsAccount;
use crate::plugin::Trouble;
use crate::plugin::files::{self, File};

/// The columns, which are the fields of `-o json`.
pub(super) const COLUMNS: [&str; 11] =
    ["cluster", "namespace", "name", "owner", "reason", "uid", "secretName", "secretArn", "region", "lastAccessedTime", "mirroredBy"];

/// Most bytes of a file: more than a hundred thousand secrets.
const LARGEST: u64 = 256 << 20;

/// Region and account.
type Place = (String, AwsAccount);

/// A secret of `list-secrets`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Secret {
    #[serde(rename = "ARN")]
    arn: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    tags: Vec<Tag>,
    /// As text or as a number of seconds, by the version of the AWS CLI.
    #[serde(default)]
    last_accessed_date: Value,
    /// Only of a secret that is scheduled for deletion (`--include-planned-deletion`).
    #[serde(default)]
    deleted_date: Value,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

impl Secret {
    fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
    }

    /// The ID of the cluster of its owner.
    pub(super) fn cluster(&self) -> Option<&str> {
        self.tag(TAG_CLUSTER)
    }
}

/// An object of the cluster.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// The AWS secret in its status.
    pub(super) arn: Option<String>,
}

/// Why a secret belongs to no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Reason {
    /// There is no object of that namespace and name.
    ObjectMissing,
    /// The object of that namespace and name is another one: it was created later.
    OtherObject,
    /// The tags do not name an object.
    TagsIncomplete,
}

/// A secret without an object. Fields without a value are omitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Orphan {
    cluster: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    reason: Reason,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
    secret_name: String,
    secret_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// AWS tells the day.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_accessed_time: Option<Timestamp>,
    /// Objects that mirror it although they do not own it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mirrored_by: Vec<String>,
}

/// The secrets of one cluster that were compared.
#[derive(Debug)]
pub(super) struct Judged {
    /// The IDs by which the tags name the cluster.
    pub(super) ids: BTreeSet<String>,
    pub(super) orphans: Vec<Orphan>,
    /// Why nothing could be compared.
    pub(super) unknown: Option<String>,
}

/// The secrets of the files.
#[derive(Debug, Default)]
pub(super) struct List {
    /// Without those that are scheduled for deletion.
    pub(super) secrets: Vec<Secret>,
    /// The files with a page after which the next one is missing.
    pub(super) truncated: BTreeSet<String>,
}

/// One output of `list-secrets`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    secret_list: Vec<Secret>,
    /// There are more secrets.
    #[serde(default)]
    next_token: Option<String>,
}

impl Page {
    /// The region and account of its secrets. `None`: it has none.
    fn place(&self) -> Option<Place> {
        let arn = SecretArn::parse(&self.secret_list.first()?.arn)?;
        Some((arn.region, arn.account))
    }
}

/// With `--query SecretList`, the output is the list alone.
#[derive(Debug)]
struct Output(Page);

impl<'de> Deserialize<'de> for Output {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OutputVisitor)
    }
}

/// An untagged enum would hold the whole text a second time.
struct OutputVisitor;

impl<'de> Visitor<'de> for OutputVisitor {
    type Value = Output;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the output of list-secrets")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Output, A::Error> {
        Page::deserialize(MapAccessDeserializer::new(map)).map(Output)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Output, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(|secret_list| Output(Page { secret_list, next_token: None }))
    }
}

/// Reads the output of `list-secrets`, once or several times in each file.
///
/// # Errors
/// If a file is not such output.
pub(super) fn read(paths: &[PathBuf]) -> Result<List, Trouble> {
    let mut pages = Vec::new();
    for File { path, text } in files::read(paths, false, LARGEST)? {
        let list = Command::ListOwned { region: "REGION" };
        let found = parsed(&text).ok_or_else(|| Trouble::usage(format!("{path} is not the output of: {list}")))?;
        pages.extend(found.into_iter().map(|page| (path.clone(), page)));
    }
    Ok(joined(pages))
}

/// `None`: it is something else. An empty text too, which a failed command leaves.
fn parsed(text: &str) -> Option<Vec<Page>> {
    let outputs = serde_json::Deserializer::from_str(text).into_iter::<Output>();
    let pages: Vec<Page> = outputs.map(|output| output.map(|Output(page)| page)).collect::<Result<_, _>>().ok()?;
    (!pages.is_empty()).then_some(pages)
}

/// The secrets of all pages. A page with a token is complete with the next one, unless that is of another place.
fn joined(pages: Vec<(String, Page)>) -> List {
    let mut list = List::default();
    let mut unfinished: Option<(String, Option<Place>)> = None;
    for (path, page) in pages {
        let place = page.place();
        let before = unfinished.take();
        if let Some((path, Some(last))) = &before
            && place.as_ref().is_some_and(|place| place != last)
        {
            list.truncated.insert(path.clone());
        }
        if page.next_token.is_some_and(|token| !token.is_empty()) {
            // A page can be empty, and is then of the place of the page before.
            let place = place.or_else(|| before.and_then(|(_, place)| place));
            unfinished = Some((path, place));
        }
        list.secrets.extend(page.secret_list.into_iter().filter(|secret| secret.deleted_date.is_null()));
    }
    list.truncated.extend(unfinished.map(|(path, _)| path));
    list
}

/// The IDs by which the tags name a cluster: the UID of the Namespace kube-system, and the IDs that the secrets of existing
/// objects have, because the operator can have another one (`--cluster-id`), and can have had both.
pub(super) fn ids(secrets: &[Secret], objects: &[Object], kube_system: Option<&str>) -> BTreeSet<String> {
    let uids: BTreeSet<&str> = objects.iter().map(|object| object.uid.as_str()).collect();
    let owned = |secret: &Secret| secret.tag(TAG_UID).is_some_and(|uid| uids.contains(uid));
    let ours = secrets.iter().filter(|secret| owned(secret) || secret.cluster() == kube_system);
    ours.filter_map(|secret| secret.cluster().map(str::to_owned)).collect()
}

/// The secrets with one of these IDs that belong to no object. `namespace`: of this namespace only.
pub(super) fn orphans(
    cluster: &str,
    (secrets, ids): (&[Secret], &BTreeSet<String>),
    objects: &[Object],
    namespace: Option<&str>,
    owner_labels: &[String],
) -> Vec<Orphan> {
    let uids: BTreeMap<(&str, &str), &str> =
        objects.iter().map(|object| ((object.namespace.as_str(), object.name.as_str()), object.uid.as_str())).collect();
    let ours = secrets.iter().filter(|secret| secret.cluster().is_some_and(|id| ids.contains(id)));
    let mut orphans = Vec::new();
    for secret in ours.filter(|secret| namespace.is_none() || secret.tag(TAG_NAMESPACE) == namespace) {
        let reason = match (secret.tag(TAG_NAMESPACE), secret.tag(TAG_NAME), secret.tag(TAG_UID)) {
            (Some(namespace), Some(name), Some(uid)) => match uids.get(&(namespace, name)) {
                Some(found) if *found == uid => continue,
                Some(_) => Reason::OtherObject,
                None => Reason::ObjectMissing,
            },
            _ => Reason::TagsIncomplete,
        };
        let tagged = |key: &str| secret.tag(key).unwrap_or_default().to_owned();
        let tags = secret.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
        let mirrors = objects.iter().filter(|object| object.arn.as_ref() == Some(&secret.arn));
        orphans.push(Orphan {
            cluster: cluster.to_owned(),
            namespace: tagged(TAG_NAMESPACE),
            name: tagged(TAG_NAME),
            owner: owner(owner_labels, &Marks::default(), Some(&tags), None),
            reason,
            uid: tagged(TAG_UID),
            secret_name: secret.name.clone(),
            secret_arn: secret.arn.clone(),
            region: SecretArn::parse(&secret.arn).map(|arn| arn.region),
            last_accessed_time: time(&secret.last_accessed_date),
            mirrored_by: mirrors.map(|object| format!("{}/{}", object.namespace, object.name)).collect(),
        });
    }
    orphans.sort_by(|a, b| (&a.namespace, &a.name, &a.secret_arn).cmp(&(&b.namespace, &b.name, &b.secret_arn)));
    orphans
}

fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(seconds) => {
            let whole = seconds.to_string();
            Timestamp::from_second(whole.split('.').next()?.parse().ok()?).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
