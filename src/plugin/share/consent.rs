//! The consent of the administrator: the annotation of the target Namespace that lists the AWS name.

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;
use serde_json::json;

use crate::api::{ALLOWED_NAMES, MIRROR_NAMES, ROLE_ARN};
use crate::desired::{glob_allows, glob_allows_arn};
use crate::kubernetes::stored::Brief;
use crate::plugin::Trouble;
use crate::plugin::connect::{REQUEST_MANAGER, Session};

/// Whether the administrator allows the AWS name in the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Consent {
    /// An annotation of the Namespace lists the name.
    Present,
    /// This command has added the name.
    Given,
    /// No annotation lists it.
    Missing,
    /// The caller may not read the Namespace.
    Unknown,
}

/// What the Namespace says. `None`: the caller may not read it.
pub(super) struct Target(Option<Brief<Namespace>>);

impl Target {
    /// Reads the Namespace of the session.
    ///
    /// # Errors
    /// If it does not exist, is being deleted, or the API server does not respond.
    pub(super) async fn read(session: &Session) -> Result<Self, Trouble> {
        let name = &session.namespace;
        match api(session).get_opt(name).await {
            Ok(Some(found)) if found.metadata.deletion_timestamp.is_some() => {
                Err(Trouble::wrong(format!("the namespace {name} is being deleted")))
            }
            Ok(Some(found)) => Ok(Self(Some(found))),
            Ok(None) => Err(Trouble::wrong(format!("there is no namespace {name}: {} shows all", session.flags.cluster("get namespaces")))),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(Self(None)),
            Err(error) => Err(session.trouble("get", "", &error)),
        }
    }

    /// The role of the namespace.
    pub(super) fn role(&self) -> Option<&str> {
        self.annotation(ROLE_ARN)
    }

    /// Whether the annotations allow this name, by the rules of the operator.
    pub(super) fn consent(&self, aws_name: &str) -> Consent {
        let allows = if aws_name.starts_with("arn:") { glob_allows_arn } else { glob_allows };
        let lists = |annotation| allows(self.annotation(annotation).unwrap_or_default(), aws_name);
        match &self.0 {
            None => Consent::Unknown,
            Some(_) if lists(MIRROR_NAMES) || lists(ALLOWED_NAMES) => Consent::Present,
            Some(_) => Consent::Missing,
        }
    }

    /// The command with which an administrator allows the name. It keeps what the annotation lists, and fails if the
    /// Namespace has changed since: what was revoked meanwhile stays revoked.
    pub(super) fn command(&self, session: &Session, aws_name: &str) -> String {
        let listed = self.annotation(MIRROR_NAMES);
        let setting = format!("{MIRROR_NAMES}={}", with(listed, aws_name));
        let mut words = vec!["annotate", "namespace", &session.namespace, &setting];
        let version = self.0.as_ref().and_then(ResourceExt::resource_version).map(|version| format!("--resource-version={version}"));
        if listed.is_some() {
            words.push("--overwrite");
            words.extend(version.as_deref());
        }
        session.flags.cluster_words(&words)
    }

    /// Adds the name to the annotation.
    ///
    /// # Errors
    /// If the caller may not read or change the Namespace, or the Namespace has changed since it was read.
    pub(super) async fn give(&self, session: &Session, aws_name: &str) -> Result<(), Trouble> {
        let name = &session.namespace;
        // What it lists would be lost.
        let Some(found) = &self.0 else {
            return Err(Trouble::unreachable(format!(
                "you may not get the Namespace {name}, so nothing was written: ask for that permission"
            )));
        };
        let version = found.resource_version();
        let listed = with(self.annotation(MIRROR_NAMES), aws_name);
        let patch = json!({"metadata": {"resourceVersion": version, "annotations": {MIRROR_NAMES: listed}}});
        let parameters = PatchParams { field_manager: Some(REQUEST_MANAGER.to_owned()), ..PatchParams::default() };
        api(session).patch(name, &parameters, &Patch::Merge(patch)).await.map(drop).map_err(|error| match &error {
            kube::Error::Api(status) if status.code == 403 && !status.message.contains("denied") => Trouble::unreachable(format!(
                "you may not patch the Namespace {name}, so nothing was written: an administrator runs {}",
                self.command(session, aws_name)
            )),
            kube::Error::Api(status) if status.code == 409 => {
                Trouble::wrong(format!("the Namespace {name} was changed at the same time, so nothing was written: run the command again"))
            }
            error => session.trouble("patch", "", error),
        })
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.0.as_ref()?.annotations().get(key).map(String::as_str)
    }
}

fn api(session: &Session) -> Api<Brief<Namespace>> {
    Api::all(session.client.clone())
}

/// The list with one more entry, separated as the operator reads it.
fn with(listed: Option<&str>, name: &str) -> String {
    let entries = listed.unwrap_or_default().split([',', '\n', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
    entries.chain([name]).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(annotations: &serde_json::Value) -> Target {
        let metadata = json!({"name": "billing", "resourceVersion": "7", "annotations": annotations});
        Target(Some(serde_json::from_value(json!({"metadata": metadata})).unwrap()))
    }

    #[test]
    fn consent_is_what_the_operator_takes_for_it() {
        let name = "k8s/shop/db";
        let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:k8s/shop/db-AbCdEf";
        for (annotations, asked, expected) in [
            (json!({}), name, Consent::Missing),
            (json!({MIRROR_NAMES: "k8s/shop/db"}), name, Consent::Present),
            (json!({MIRROR_NAMES: "other, k8s/shop/*"}), name, Consent::Present),
            (json!({ALLOWED_NAMES: "*"}), name, Consent::Present),
            (json!({MIRROR_NAMES: "k8s/shop/db-2"}), name, Consent::Missing),
            (json!({MIRROR_NAMES: "*"}), arn, Consent::Missing),
            (json!({MIRROR_NAMES: "arn:aws:secretsmanager:*:123456789012:secret:k8s/shop/*"}), arn, Consent::Present),
        ] {
            assert_eq!(target(&annotations).consent(asked), expected, "{annotations} {asked}");
        }
        assert_eq!(Target(None).consent(name), Consent::Unknown);
    }

    #[test]
    fn an_entry_more_keeps_the_others() {
        for (listed, expected) in
            [(None, "n"), (Some(""), "n"), (Some("a/*"), "a/*,n"), (Some("a/*, b\nc ,"), "a/*,b,c,n"), (Some("it's"), "it's,n")]
        {
            assert_eq!(with(listed, "n"), expected);
        }
    }
}
