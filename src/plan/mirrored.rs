//! What the mirrored Secret is to hold, and when it may be written.

use jiff::{SignedDuration, Timestamp};

use super::{Current, Mirror, Observed, Remote, Step, pin, settled};
use crate::api::condition::Reason;
use crate::desired::{Desired, Refusal};
use crate::version_id::VersionId;

/// How the mirror stands once there is nothing to do for it now.
pub(super) struct Settled {
    pub(super) refusal: Option<Refusal>,
    pub(super) wake: Option<Timestamp>,
    pub(super) unsettled: bool,
}

/// The next write of the mirrored Secret, or how it stands.
pub(super) fn mirror(want: &Desired, seen: &Observed, remote: &Remote, current: &Current, now: Timestamp) -> Result<Settled, Step> {
    let fine = Settled { refusal: None, wake: None, unsettled: false };
    match &seen.mirror {
        Mirror::Unwanted => return Ok(fine),
        Mirror::Foreign => return Ok(Settled { refusal: Some(secret_not_owned(want)), ..fine }),
        Mirror::Absent | Mirror::Adoptable | Mirror::Ours { .. } => {}
    }
    let version = match pin::wanted(want, seen, remote, current) {
        Ok(version) => version,
        Err(refusal) => return Ok(Settled { refusal: Some(refusal), ..fine }),
    };
    let unfit = seen.unfit.get(&version).map(|unfit| unfit.refusal.clone());
    match (write(want, seen, remote, version, now), unfit) {
        (Err(_), Some(refusal)) => Ok(Settled { refusal: Some(refusal), ..fine }),
        (settled, _) => settled,
    }
}

/// The write that makes the Secret hold this version.
fn write(want: &Desired, seen: &Observed, remote: &Remote, version: VersionId, now: Timestamp) -> Result<Settled, Step> {
    let fine = Settled { refusal: None, wake: None, unsettled: false };
    match &seen.mirror {
        Mirror::Unwanted | Mirror::Foreign => Ok(fine),
        Mirror::Absent => Err(Step::CreateMirror { version }),
        Mirror::Adoptable => Err(Step::AdoptMirror { version }),
        Mirror::Ours { version: Some(held), intact, .. } if *held == version => {
            // Written a moment ago and still not as asked: somebody owns fields in a way that a write cannot mend. Once a turn is enough.
            if *intact || seen.mirror_written { Ok(fine) } else { Err(Step::ReplaceMirror { version, confirm: false }) }
        }
        Mirror::Ours { version: None, .. } => Err(Step::ReplaceMirror { version, confirm: false }),
        Mirror::Ours { .. } if pin::by_id(want) => Err(Step::ReplaceMirror { version, confirm: false }),
        Mirror::Ours { written, .. } => {
            // Another version than the mirror's. AWS may be showing an old state: only a change that is younger than the mirror goes at once.
            // A time to come was not written by us.
            let Some(written) = written.filter(|written| *written <= settled(now)) else {
                return Err(Step::ReplaceMirror { version, confirm: true });
            };
            // Kubernetes keeps whole seconds.
            let settled_at = settled(written);
            let ours = seen.wrote.as_ref().is_some_and(|(wrote, _)| *wrote == version);
            if ours || remote.last_changed.is_some_and(|changed| changed.duration_since(written) > SignedDuration::from_secs(1)) {
                Err(Step::ReplaceMirror { version, confirm: false })
            } else if now >= settled_at {
                Err(Step::ReplaceMirror { version, confirm: true })
            } else {
                Ok(Settled { refusal: None, wake: Some(settled_at), unsettled: true })
            }
        }
    }
}

pub(super) fn secret_not_owned(want: &Desired) -> Refusal {
    let name = want.target.as_ref().map_or(want.name.as_str(), |target| target.name.as_str());
    Refusal::new(
        Reason::SecretNotOwned,
        format!(
            "the Secret {name} exists and is not ours; it is left as it is: delete it (kubectl delete secret {name}), choose another \
             spec.target.name in a new object, or let the object adopt it: spec.target.adoptionPolicy IfAnnotated, and kubectl annotate secret \
             {name} {}={}",
            crate::api::ADOPT_BY,
            want.name
        ),
    )
}
