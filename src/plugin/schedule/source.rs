//! What `schedule` reads the schedule from.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::Api;
use serde_json::json;

use crate::api::{EXCLUDE_PERIODS, OnMissedWindow, RotatedSecret};
use crate::command::Command;
use crate::desired::{Desired, Policy, Rotation};
use crate::kubernetes::stored::Brief;
use crate::manifest;
use crate::plugin::connect::Session;
use crate::plugin::{Trouble, files};
use crate::schedule::{Clock, ExcludedDays, Schedule};
use crate::version_id::VersionIds;

/// A rotation, and what else determines its times.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) file: Option<String>,
    pub(super) rotation: Rotation,
    /// The periods of the Namespace.
    pub(super) excluded: Vec<ExcludedDays>,
    /// Last change of the value. `None`: not known.
    pub(super) change: Option<Timestamp>,
    /// Since when the schedule applies.
    since: Option<Timestamp>,
    /// Whether the offset in the window is known.
    pub(super) uid_known: bool,
    pub(super) notes: Vec<String>,
}

impl Source {
    /// The first due time of the list.
    pub(super) fn first(&self, clock: &Clock, now: Timestamp) -> Option<Timestamp> {
        match self.change {
            Some(change) => clock.due_after(change, self.since),
            None => clock.next_after(now),
        }
    }

    /// A message about this source.
    pub(super) fn named(&self, message: &str) -> String {
        match (&self.file, &self.name) {
            (Some(file), Some(name)) => format!("{file}: {name}: {message}"),
            (None, Some(name)) => format!("{name}: {message}"),
            _ => message.to_owned(),
        }
    }
}

/// An object of the cluster.
pub(super) async fn object(session: &Session, name: &str) -> Result<Source, Trouble> {
    let object = session.object(name).await?;
    let status = object.status.clone().unwrap_or_default();
    let mut source = of(&object)?;
    source.namespace = Some(session.namespace.clone());
    source.uid_known = true;
    let at = |time: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| time.map(|time| time.0);
    source.change = at(status.last_rotation_time);
    source.since = at(status.schedule.and_then(|schedule| schedule.since));
    if object.spec.suspend {
        source.notes.push("spec.suspend is true: nothing is written until it is false".to_owned());
    }
    let namespaces = Api::<Brief<Namespace>>::all(session.client.clone());
    match namespaces.get_opt(&session.namespace).await {
        Ok(found) => {
            let annotation = found.as_ref().and_then(|found| found.annotations().get(EXCLUDE_PERIODS));
            match ExcludedDays::parse_list(annotation.map_or("", String::as_str)) {
                Ok(excluded) => source.excluded = excluded,
                Err(error) => {
                    let namespace = &session.namespace;
                    source.notes.push(format!("the annotation {EXCLUDE_PERIODS} on Namespace {namespace} stops all rotations: {error}"));
                }
            }
        }
        Err(_) => source.notes.push(format!(
            "the Namespace {} cannot be read (permission get on namespaces), so that periods in its annotation {EXCLUDE_PERIODS} are not \
             considered",
            session.namespace
        )),
    }
    Ok(source)
}

/// The RotatedSecrets of files.
pub(super) fn manifests(paths: &[PathBuf]) -> Result<Vec<Source>, Trouble> {
    let mut sources = Vec::new();
    for file in files::read(paths, false, files::MANIFESTS)? {
        let read = manifest::read(&file.text);
        if let Some(defect) = read.defect {
            let place = defect.place;
            return Err(Trouble::wrong(format!("{}:{}:{}: {}", file.path, place.line, place.column, defect.message)));
        }
        for node in manifest::rotated_secrets(&read.documents) {
            let place = node.place;
            let object: RotatedSecret = serde_json::from_value(node.to_json()).map_err(|_| {
                let lint = Command::TryManifest(&file.path);
                Trouble::wrong(format!("{}:{}:{}: this object cannot be read: {lint} shows why", file.path, place.line, place.column))
            })?;
            sources.push(Source { file: Some(file.path.clone()), ..of(&object)? });
        }
    }
    if sources.is_empty() {
        return Err(Trouble::wrong("there is no RotatedSecret in these files"));
    }
    Ok(sources)
}

/// A schedule alone.
pub(super) fn expression(expression: &str, time_zone: Option<&str>) -> Result<Source, Trouble> {
    let rotation = json!({"schedule": expression, "timeZone": time_zone});
    let object = json!({"apiVersion": "rotated-secrets.io/v1alpha1", "kind": "RotatedSecret", "metadata": {"name": "expression"},
        "spec": {"value": {"plainText": {}}, "rotation": rotation}});
    let object = serde_json::from_value(object).map_err(|_| Trouble::wrong("the expression cannot be read"))?;
    Ok(Source { name: None, ..of(&object)? })
}

/// A clock without a window and without an offset.
pub(super) fn plain(schedule: Schedule) -> Result<Clock, Trouble> {
    let clock = Clock::new(schedule, SignedDuration::ZERO, OnMissedWindow::RotateNow, VersionIds::of(""));
    clock.map_err(|error| Trouble::wrong(error.to_string()))
}

fn of(object: &RotatedSecret) -> Result<Source, Trouble> {
    let mut complete = object.clone();
    complete.metadata.uid.get_or_insert_default();
    complete.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    let desired = Desired::parse(&complete, &Policy::lenient(&complete))
        .map_err(|refusal| Trouble::wrong(format!("{}: {}", object.name_any(), refusal.message)))?;
    Ok(Source {
        namespace: object.namespace(),
        name: Some(object.name_any()),
        file: None,
        rotation: desired.rotation,
        excluded: Vec::new(),
        change: None,
        since: None,
        uid_known: false,
        notes: Vec::new(),
    })
}
