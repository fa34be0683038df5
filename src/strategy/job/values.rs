//! What a Job gets, as the Secret that its pods mount.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::ask::Ask;
use super::files::files;
use crate::api::{JOB_OF, MANAGED_BY};
use crate::value::Payload;

/// The values that a step has.
#[derive(Clone, Copy, Default)]
pub struct Values<'a> {
    /// That of the staged version.
    pub pending: Option<&'a Payload>,
    /// That of the current version.
    pub current: Option<&'a Payload>,
    /// That of the version before.
    pub previous: Option<&'a Payload>,
}

/// The Secret for this Job, which goes with it.
pub(super) fn secret(ask: &Ask<'_>, name: &str, job: (&str, &str), values: &Values<'_>) -> Secret {
    let step: &str = ask.step.into();
    let object = ask.object;
    let texts = [("step", step), ("version-id", ask.version), ("namespace", object.namespace), ("name", object.name), ("uid", object.uid)];
    let texts = texts.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.as_bytes().to_vec())));
    let values = [("pending", values.pending), ("current", values.current), ("previous", values.previous)];
    let values = values.into_iter().filter_map(|(key, value)| Some(files(key, value?))).flatten();
    let values = values.map(|(key, bytes)| (key, ByteString(bytes.expose().to_vec())));
    let (job_name, job_uid) = job;
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(object.namespace.to_owned()),
            labels: Some(labels(object.uid)),
            owner_references: Some(vec![OwnerReference {
                api_version: "batch/v1".to_owned(),
                kind: "Job".to_owned(),
                name: job_name.to_owned(),
                uid: job_uid.to_owned(),
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(values.chain(texts).collect()),
        ..Secret::default()
    }
}

/// Labels of a Job and of its Secret.
pub(super) fn labels(uid: &str) -> BTreeMap<String, String> {
    [MANAGED_BY, (JOB_OF, uid)].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::super::ask::tests::ask;
    use super::*;
    use crate::plaintext::Plaintext;
    use crate::strategy::webhook::Step;

    #[test]
    fn a_step_gets_its_values_and_what_they_are_for() {
        let value = |text: &str| Payload::Text(Plaintext::from(text.to_owned()));
        let (pending, current) = (value(r#"{"username":"app","password":"new"}"#), value("plain"));
        let values = Values { pending: Some(&pending), current: Some(&current), previous: None };
        let made = secret(&ask(Step::Apply), "s", ("orders-apply-1", "j-1"), &values);
        let data: BTreeMap<String, String> =
            made.data.unwrap().into_iter().map(|(key, bytes)| (key, String::from_utf8(bytes.0).unwrap())).collect();
        let expected = [
            ("current", "plain"),
            ("name", "orders"),
            ("namespace", "shop"),
            ("pending", r#"{"username":"app","password":"new"}"#),
            ("pending.password", "new"),
            ("pending.username", "app"),
            ("step", "apply"),
            ("uid", "u-1"),
            ("version-id", "v-2"),
        ];
        assert_eq!(data.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect::<Vec<_>>(), expected);
        let owners = made.metadata.owner_references.unwrap();
        assert_eq!((owners[0].kind.as_str(), owners[0].uid.as_str()), ("Job", "j-1"), "it is gone with the Job");
    }
}
