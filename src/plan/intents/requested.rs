//! A person asks for a rotation (annotation `rotated-secrets.io/rotate`).

use super::intent::{Intent, Proposal};
use crate::api::Cause;
use crate::plan::assessment::Examined;
use crate::plan::situation::Situation;
use crate::step::Source;
use crate::version_id::VersionId;

/// Rotates once for each token.
pub(super) fn requested(situation: &Situation<'_>, examined: &mut Examined) -> Proposal {
    let Some(value) = &situation.want.value else { return Proposal::Nothing };
    let staged = situation.want.rotate_request.as_ref().is_some_and(|token| situation.is_staged(&situation.want.ids.request(token)));
    if staged {
        return Proposal::Nothing;
    }
    let Some(version) = open_request(situation).filter(|_| value.generates()) else {
        examined.requests.rotate.clone_from(&situation.want.rotate_request);
        return Proposal::Nothing;
    };
    Proposal::Version(Intent { version, source: Some(Source::Compose), cause: Cause::Requested })
}

/// The version of a request that was not handled.
pub(in crate::plan) fn open_request(situation: &Situation<'_>) -> Option<VersionId> {
    let token = situation.want.rotate_request.as_ref()?;
    let version = situation.want.ids.request(token);
    let handled = situation.seen.status.requests.rotate.as_ref() == Some(token) || situation.known(&version);
    (!handled).then_some(version)
}
