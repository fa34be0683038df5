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
    if let Some(version) = open_request(situation).filter(|_| value.generates()) {
        return Proposal::Version(Intent { version, source: Some(Source::Compose), cause: Cause::Requested });
    }
    examined.requests.rotate.clone_from(&situation.want.rotate_request);
    Proposal::Nothing
}

/// The version of a request that was not handled.
pub(in crate::plan) fn open_request(situation: &Situation<'_>) -> Option<VersionId> {
    let token = situation.want.rotate_request.as_ref()?;
    let version = situation.want.ids.request(token);
    let handled = situation.seen.status.requests.rotate.as_ref() == Some(token) || situation.known(&version);
    (!handled).then_some(version)
}
