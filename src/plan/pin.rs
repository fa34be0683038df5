//! Which version the mirror is to hold.

use super::{Current, Mirror, Observed, Remote};
use crate::api::condition::Reason;
use crate::desired::{Desired, Pin, Refusal};
use crate::version_id::VersionId;

/// The version, or why there is none. What the mirror holds stays then.
pub(super) fn wanted(want: &Desired, seen: &Observed, remote: &Remote, current: &Current) -> Result<VersionId, Refusal> {
    let Some(target) = &want.target else { return Ok(current.version.clone()) };
    match &target.pin {
        Pin::Current => Ok(current.version.clone()),
        Pin::Stage(stage) => remote.labels.get(stage).cloned().ok_or_else(|| {
            missing(format!(
                "spec.target.versionStage: no version of {} carries the label {stage}; put it on one (aws secretsmanager \
                 update-secret-version-stage), or choose another",
                want.secret_name
            ))
        }),
        Pin::Version(version) => {
            let held = matches!(&seen.mirror, Mirror::Ours { version: Some(held), .. } if held == version);
            if seen.missing.contains(version) && !held {
                return Err(missing(format!(
                    "spec.target.versionId: AWS has no version {version} of {}, or has removed it; choose one of kubectl rotatedsecret history \
                     {}, or remove versionId to follow AWSCURRENT",
                    want.secret_name, want.name
                )));
            }
            Ok(version.clone())
        }
    }
}

fn missing(message: String) -> Refusal {
    Refusal::new(Reason::VersionNotFound, message)
}

/// A version id means one value for ever, so a look cannot be too old for it.
pub(super) fn by_id(want: &Desired) -> bool {
    want.target.as_ref().is_some_and(|target| matches!(target.pin, Pin::Version(_)))
}
