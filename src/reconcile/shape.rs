//! Whether a value has the form that the object declares. One that has not is not mirrored: the Secret keeps the last
//! version that had.

use super::reconciler::Reconciler;
use crate::api::Cause;
use crate::api::condition::Reason;
use crate::aws::{Address, Selector};
use crate::command::Command;
use crate::compare::{MirrorState, Observation};
use crate::desired::{Desired, Pin};
use crate::failure::Failure;
use crate::journal::{Remedy, Unfit};
use crate::refusal::Refusal;
use crate::value::{Data, DeclaredValue, Lack, Layout, LayoutError, Payload, TemplateError, WHOLE_VALUE_KEY};
use crate::version_id::VersionId;

impl Reconciler<'_> {
    /// The data of the Secret, or why this value must not be mirrored.
    pub(super) fn render(&self, want: &Desired, seen: &Observation, version: &VersionId, value: &Payload) -> Result<Data, Unfit> {
        let unfit = |(reason, message): (Reason, String), remedy| Unfit {
            refusal: Refusal::new(reason, format!("{message}; {}", held(seen))),
            remedy,
        };
        let Some(target) = &want.target else { return Ok(Data::new()) };
        if let Some(fields) = expected(want, seen, version)
            && let Some(lack) = value.lack(&fields)
        {
            return Err(unfit(lacking(want, seen, version, &lack, &fields), Remedy::Write));
        }
        let mirror = self.mirror.as_ref().filter(|mirror| mirror.facts.ours);
        let has_fields = mirror.is_some_and(|mirror| mirror.keys().iter().any(|key| !Layout::is_of_whole_value(key)));
        if want.value.is_none() && target.layout.is_default() && has_fields && !value.is_object() {
            return Err(unfit(formless(want, version), Remedy::Value));
        }
        let plain_text = matches!(want.value, Some(DeclaredValue::PlainText(_)));
        let whole = plain_text && !shape_changes(want, seen);
        let data = target.layout.render_as(value, whole);
        data.map_err(|error| {
            let (reason, message) = layout(error, want.value.as_ref());
            let Some(declared) = &want.value else { return unfit((reason, message), Remedy::Value) };
            let next = declared.outline(value, &seen.status.declared.all);
            let cured = target.layout.render_as(&next, plain_text);
            match cured {
                Ok(_) => unfit((reason, format!("{message}; {}", next_version(want))), Remedy::Write),
                Err(_) => unfit((reason, message), Remedy::Value),
            }
        })
    }

    /// The value on which the next version is made: the current one, or, if its fields cannot be read, the last one whose
    /// fields can be. `Err`: fields that others added would be lost, and no person requested this version.
    pub(super) async fn base(
        &mut self,
        want: &Desired,
        seen: &Observation,
        at: Address<'_>,
        current: &VersionId,
        cause: Cause,
    ) -> Result<Result<Payload, Unfit>, Failure> {
        let value = self.read(at, Selector::Version(current)).await?.value;
        let fields = matches!(want.value, Some(DeclaredValue::Fields { .. }));
        if !fields || shape_changes(want, seen) || seen.status.adopting() == Some(current) || value.is_object() {
            return Ok(Ok(value));
        }
        // A person put this value on purpose. A change of the spec does not bring an older one back.
        if cause != Cause::SpecChanged {
            for older in older_versions(seen, current) {
                let found = self.find(at, &older).await?;
                if let Some(found) = found.filter(|found| found.value.is_object()) {
                    return Ok(Ok(found.value));
                }
            }
            if cause == Cause::Requested {
                return Ok(Ok(value));
            }
        }
        let names = want.value.as_ref().map(DeclaredValue::field_names).unwrap_or_default();
        let (reason, message) = lacking(want, seen, current, &Lack::Object, &names);
        Ok(Err(Unfit { refusal: Refusal::new(reason, format!("{message}; {}", held(seen))), remedy: Remedy::Request }))
    }
}

/// What a person can do if the next version has what this one lacks.
fn next_version(want: &Desired) -> String {
    format!("or create a new version, which has it ({})", Command::RotateByPlugin(want.object_ref()))
}

/// Whether the Secret could hold the value of this older version.
pub(super) fn restorable(want: &Desired, seen: &Observation, version: &VersionId, value: &Payload) -> Result<(), Unfit> {
    let Some(fields) = declared_fields(want, seen) else { return Ok(()) };
    let Some(lack) = value.lack(&fields) else { return Ok(()) };
    let (reason, message) = lacking(want, seen, version, &lack, &fields);
    Err(Unfit { refusal: Refusal::new(reason, message), remedy: Remedy::Value })
}

/// The declared fields that this version must have; `None`: it need not have any. An adopted value stays as it is until a
/// rotation is due, and a changed declaration has a version of its own. A Secret that is pinned to an older version gets
/// what that version has: the declaration of its time is not known.
fn expected(want: &Desired, seen: &Observation, version: &VersionId) -> Option<Vec<String>> {
    if seen.status.adopting() == Some(version) {
        return None;
    }
    let fields = declared_fields(want, seen)?;
    let current = seen.secret.as_ref().and_then(|secret| secret.current.as_ref());
    if current.is_some_and(|current| current.version != *version) {
        match want.target.as_ref().map(|target| &target.pin) {
            Some(Pin::Version(_)) => return None,
            // A label can move to a value that is no JSON object, which would remove every key of the Secret.
            Some(Pin::Stage(_)) => return Some(Vec::new()),
            Some(Pin::Current) | None => {}
        }
    }
    Some(fields)
}

/// The fields that are declared and were when a version was last written; `None`: no fields are declared.
fn declared_fields(want: &Desired, seen: &Observation) -> Option<Vec<String>> {
    let Some(value @ DeclaredValue::Fields { .. }) = &want.value else { return None };
    if shape_changes(want, seen) {
        return None;
    }
    let mut fields = value.field_names();
    if seen.status.declared.hash.is_some() {
        fields.retain(|field| seen.status.declared.all.contains(field));
    }
    Some(fields)
}

/// The spec changed from fields to a plain text, or back, and no version has the new form yet.
fn shape_changes(want: &Desired, seen: &Observation) -> bool {
    let (Some(_), Some(declared)) = (&seen.status.declared.hash, &want.value) else { return false };
    declared.is_plain_text() != seen.status.declared.all.is_empty()
}

/// Versions that may have the fields that others added: what the Secret holds, and the previous one.
fn older_versions(seen: &Observation, current: &VersionId) -> Vec<VersionId> {
    let held = match &seen.mirror {
        MirrorState::Ours { version, .. } => version.clone(),
        _ => None,
    };
    let previous = seen.secret.as_ref().and_then(|secret| secret.previous().cloned());
    let mut versions: Vec<VersionId> = held.into_iter().chain(previous).filter(|version| version != current).collect();
    versions.dedup();
    versions
}

fn held(seen: &Observation) -> String {
    match &seen.mirror {
        MirrorState::Ours { version: Some(held), .. } => format!("the Secret keeps version {held}"),
        MirrorState::Unwanted | MirrorState::Surplus => "no Secret is declared".to_owned(),
        _ => "there is no Secret of this object yet".to_owned(),
    }
}

fn lacking(want: &Desired, seen: &Observation, version: &VersionId, lack: &Lack, declared: &[String]) -> (Reason, String) {
    let what = match lack {
        Lack::Object => format!("is not a JSON object, so it has none of the fields that spec.value declares ({})", declared.join(", ")),
        Lack::Fields(fields) => format!("lacks fields that spec.value declares ({})", fields.join(", ")),
    };
    let object = want.object_ref();
    // Only what works: an older value exists, the declaration generates one.
    let older = seen.secret.as_ref().is_some_and(|secret| secret.previous().is_some());
    let rollback = if older { format!(", or restore an older value ({})", Command::Rollback(object)) } else { String::new() };
    let generates = want.value.as_ref().is_some_and(DeclaredValue::generates);
    let rotate = if generates { format!(", or create a new version ({})", Command::RotateByPlugin(object)) } else { String::new() };
    (
        Reason::FieldMissing,
        format!(
            "version {version} in AWS {what}: put a correct value in AWS ({}){rollback}{rotate}; it is read again at the next resync, or \
             immediately after {}",
            Command::PutSecretValue(want.secret_ref()),
            Command::RefreshByPlugin(object)
        ),
    )
}

fn formless(want: &Desired, version: &VersionId) -> (Reason, String) {
    let secret = want.mirror_ref();
    (
        Reason::FieldMissing,
        format!(
            "version {version} in AWS is not a JSON object, and the Secret {} has the fields of one: put a correct value in AWS ({}); if the new \
             form is intended, delete the Secret ({}), and the operator creates it again with the one key {WHOLE_VALUE_KEY}; it is read again at the \
             next resync, or immediately after {}",
            secret.name,
            Command::PutSecretValue(want.secret_ref()),
            Command::DeleteKubernetesSecret(secret),
            Command::RefreshByPlugin(want.object_ref())
        ),
    )
}

fn layout(error: LayoutError, declared: Option<&DeclaredValue>) -> (Reason, String) {
    match error {
        LayoutError::FieldMissing(field) => {
            let declared = match declared {
                Some(declared @ DeclaredValue::Fields { .. }) => {
                    format!("; it maps each key of the Secret to a field, and spec.value declares {}", declared.field_names().join(", "))
                }
                _ => String::new(),
            };
            let whole = "for the whole value under one key set spec.target.wholeValueKey instead";
            let what = format!(
                "spec.target.keys asks for the field {field}, which the value does not have: correct spec.target.keys, or add the field in \
                 AWS{declared}; {whole}"
            );
            (Reason::FieldMissing, what)
        }
        LayoutError::KeyMissing(key) => (
            Reason::TypeMismatch,
            format!("a Secret of this spec.target.type needs the key {key}: map a field to it in spec.target.keys, or choose another type"),
        ),
        LayoutError::NotAnObject => (
            Reason::FieldMissing,
            "spec.target.keys asks for fields, and the value is no JSON object: set spec.target.wholeValueKey instead, \
             for the whole value under one key"
                .to_owned(),
        ),
        LayoutError::UnusableKey(field) => (
            Reason::FieldMissing,
            format!(
                "the value has the field \"{field}\", whose name cannot be the key of a Secret: list the fields to mirror in spec.target.keys, or \
                 set spec.target.wholeValueKey"
            ),
        ),
        LayoutError::Template(key, error) => {
            let what = match error {
                TemplateError::Missing(field) => format!(
                    "asks for {}, which the value does not have: correct it, add the field in AWS, or append | default('')",
                    field.chars().take(128).flat_map(char::escape_default).collect::<String>()
                ),
                TemplateError::NotText => "asks for the whole value (document), which is no text".to_owned(),
                TemplateError::TooLarge => "makes a text that is larger than a Secret may be (1 MiB)".to_owned(),
            };
            (Reason::FieldMissing, format!("spec.target.template.{key} {what}"))
        }
        LayoutError::Malformed(key) => (
            Reason::TypeMismatch,
            format!(
                "a Secret of this spec.target.type needs something else under the key {key} (a JSON object, or a key that is not empty): put it in \
                 AWS, or choose another type"
            ),
        ),
    }
}
