//! Whether a value has the form that the object declares. One that has not is not mirrored: the Secret keeps the last version that had.

use super::Work;
use super::observe::Sight;
use crate::api::Cause;
use crate::api::condition::Reason;
use crate::aws::{Address, Selector};
use crate::desired::Desired;
use crate::failure::Failure;
use crate::version_id::VersionId;
use crate::plan::{Cure, Mirror, Unfit};
use crate::value::{DeclaredValue, Lack, LayoutError, Payload, WHOLE_VALUE_KEY};

impl Work<'_> {
    /// The data of the Secret; or why this value must not get there.
    pub(super) fn render(&self, want: &Desired, sight: &Sight, version: &VersionId, value: &Payload) -> Result<crate::value::Data, Unfit> {
        let unfit = |(reason, message): (Reason, String), cure| Unfit {
            refusal: crate::desired::Refusal::new(reason, format!("{message}; {}", holds(sight))),
            cure,
        };
        let Some(target) = &want.target else { return Ok(crate::value::Data::new()) };
        let whole = match &want.value {
            Some(DeclaredValue::PlainText(_)) => !self.shape_changes(want),
            Some(DeclaredValue::Fields { .. }) => {
                let lack = self.expected(want, sight, version).and_then(|fields| value.lack(&fields).map(|lack| (lack, fields)));
                if let Some((lack, fields)) = lack {
                    return Err(unfit(lacking(want, version, &lack, &fields), Cure::Write));
                }
                false
            }
            None => false,
        };
        let fielded = sight.mirror.as_ref().is_some_and(|mirror| mirror.ours && mirror.keys().iter().any(|key| key != WHOLE_VALUE_KEY));
        if want.value.is_none() && target.layout.keys.is_empty() && fielded && !value.is_object() {
            return Err(unfit(formless(want, version, &target.name), Cure::Value));
        }
        let data = if whole { target.layout.render_whole(value) } else { target.layout.render(value) };
        data.map_err(|error| unfit(layout(error), Cure::Value))
    }

    /// The declared fields that this version must have. `None`: it need not have them. An adopted value stays as it is until a rotation is due,
    /// and a declaration that was changed has a version of its own.
    fn expected(&self, want: &Desired, sight: &Sight, version: &VersionId) -> Option<Vec<String>> {
        if sight.seen.reported.adopting.as_ref() == Some(version) || self.shape_changes(want) {
            return None;
        }
        let mut fields = want.value.as_ref()?.field_names();
        if let Some(before) = self.object.status.as_ref().and_then(|status| status.declared.as_ref()) {
            fields.retain(|field| before.fields.contains(field));
        }
        Some(fields)
    }

    /// The spec went from fields to a plain text, or back, and no version says so yet.
    fn shape_changes(&self, want: &Desired) -> bool {
        let before = self.object.status.as_ref().and_then(|status| status.declared.as_ref());
        let (Some(before), Some(declared)) = (before, &want.value) else { return false };
        declared.is_plain_text() != before.fields.is_empty()
    }

    /// The value on which the next version is made: the current one, or, if its fields cannot be read, the last one whose fields can be.
    /// `None`: fields that others added would be lost, and nobody asked for this version; it is not made.
    pub(super) async fn carried(
        &mut self,
        want: &Desired,
        sight: &Sight,
        at: Address<'_>,
        current: &VersionId,
        cause: Cause,
    ) -> Result<Option<Payload>, Failure> {
        let value = self.read(at, Selector::Version(current)).await?.value;
        let fields = matches!(want.value, Some(DeclaredValue::Fields { .. }));
        if !fields || self.shape_changes(want) || sight.seen.reported.adopting.as_ref() == Some(current) || value.is_object() {
            return Ok(Some(value));
        }
        // A person put this value and meant something by it. A change of the spec does not bring an older one back.
        if cause != Cause::SpecChanged {
            for older in last_good(sight, current) {
                let found = self.find(at, Selector::Version(&older)).await?;
                if let Some(found) = found.filter(|found| found.value.is_object()) {
                    return Ok(Some(found.value));
                }
            }
            if cause == Cause::Requested {
                return Ok(Some(value));
            }
        }
        let names = want.value.as_ref().map(DeclaredValue::field_names).unwrap_or_default();
        let (reason, message) = lacking(want, current, &Lack::Object, &names);
        let refusal = crate::desired::Refusal::new(reason, format!("{message}; {}", holds(sight)));
        self.unfit.insert(current.clone(), Unfit { refusal, cure: Cure::Request });
        self.in_vain = true;
        Ok(None)
    }
}

/// Versions that may have the fields that others added: what the Secret holds, and the one before.
fn last_good(sight: &Sight, current: &VersionId) -> Vec<VersionId> {
    let held = match &sight.seen.mirror {
        Mirror::Ours { version, .. } => version.clone(),
        _ => None,
    };
    let previous = sight.seen.remote.as_ref().and_then(|remote| remote.previous.clone());
    let mut versions: Vec<VersionId> = held.into_iter().chain(previous).filter(|version| version != current).collect();
    versions.dedup();
    versions
}

fn holds(sight: &Sight) -> String {
    match &sight.seen.mirror {
        Mirror::Ours { version: Some(held), .. } => format!("the Secret keeps version {held}"),
        Mirror::Unwanted => "no Secret is asked for".to_owned(),
        _ => "there is no Secret of this object yet".to_owned(),
    }
}

fn lacking(want: &Desired, version: &VersionId, lack: &Lack, declared: &[String]) -> (Reason, String) {
    let what = match lack {
        Lack::Object => format!("is not a JSON object, so it has none of the fields that spec.value declares ({})", declared.join(", ")),
        Lack::Fields(fields) => format!("lacks fields that spec.value declares ({})", fields.join(", ")),
    };
    let name = &want.name;
    let anew = if want.value.as_ref().is_some_and(DeclaredValue::generates) {
        format!(", or make a new one (kubectl rotatedsecret rotate {name})")
    } else {
        String::new()
    };
    (
        Reason::FieldMissing,
        format!(
            "version {version} in AWS {what}: put a correct value in AWS (aws secretsmanager put-secret-value --secret-id {} --secret-string \
             file://value.json), go back to an older value (kubectl rotatedsecret rollback {name}){anew}; it is read again at the next resync, \
             at once after kubectl rotatedsecret refresh {name}",
            want.secret_name
        ),
    )
}

fn formless(want: &Desired, version: &VersionId, secret: &str) -> (Reason, String) {
    (
        Reason::FieldMissing,
        format!(
            "version {version} in AWS is not a JSON object, and the Secret {secret} has the fields of one: put a correct value in AWS (aws \
             secretsmanager put-secret-value --secret-id {}); if the new form is meant, kubectl delete secret {secret}, it is made again with \
             the one key {WHOLE_VALUE_KEY}; it is read again at the next resync, at once after kubectl rotatedsecret refresh {}",
            want.secret_name, want.name
        ),
    )
}

fn layout(error: LayoutError) -> (Reason, String) {
    match error {
        LayoutError::FieldMissing(field) => (
            Reason::FieldMissing,
            format!("spec.target.keys asks for the field {field}, which the value does not have: correct spec.target.keys, or add the field in AWS"),
        ),
        LayoutError::KeyMissing(key) => (
            Reason::TypeMismatch,
            format!("a Secret of this spec.target.type needs the key {key}: map a field to it in spec.target.keys, or choose another type"),
        ),
        LayoutError::NotAnObject => (
            Reason::FieldMissing,
            "spec.target.keys asks for fields, and the value is no JSON object: leave spec.target.keys out, or map one key to the field `value`"
                .to_owned(),
        ),
        LayoutError::UnusableKey => (
            Reason::FieldMissing,
            "a field of the value has a name that cannot be the key of a Secret: name the fields to mirror in spec.target.keys".to_owned(),
        ),
        LayoutError::Malformed(key) => (
            Reason::TypeMismatch,
            format!(
                "a Secret of this spec.target.type needs something else under the key {key} (a JSON object, or a key that is not empty): put it in \
                 AWS, or choose another type"
            ),
        ),
    }
}
