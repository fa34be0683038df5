//! Whether a target has the value that a rollback request names. Then a staged version is not in force there.

use super::reconciler::Reconciler;
use crate::aws::{Address, Selector};
use crate::compare::Observation;
use crate::desired::{Desired, RollbackRequest, RollbackTo, Strategy};
use crate::strategy::{Credential, Tried};
use crate::version_id::VersionId;

impl Reconciler<'_> {
    /// Whether the user of a staged version, which has one password, logs in with that of the version that an open rollback
    /// request names. The server refuses the staged password then.
    pub(super) async fn has_requested(
        &mut self,
        want: &Desired,
        seen: &Observation,
        strategy: &Strategy,
        at: Address<'_>,
        staged: &VersionId,
    ) -> bool {
        let Some(RollbackRequest { token, to: Some(RollbackTo::Version(to)) }) = &want.rollback_request else { return false };
        let handled = seen.status.requests.rollback.as_ref().is_some_and(|(handled, _)| handled == token);
        if handled || to == staged || !strategy.replaces() || !strategy.needs_credential() {
            return false;
        }
        let read = async |this: &mut Self| Some((this.find(at, to).await.ok()??, this.read(at, Selector::Version(staged)).await.ok()?));
        let read = read(self).await;
        // What the target answered is reported.
        self.value_unread = false;
        let Some((requested, staged)) = read else { return false };
        let [Ok(wanted), Ok(staged)] = [&requested.value, &staged.value].map(Credential::of) else { return false };
        if wanted.user != staged.user || wanted.is(&staged) {
            return false;
        }
        let tried = Tried::default();
        match self.target(want.object_ref(), strategy, &tried).await {
            Ok(target) => target.check(to, &requested.value).await.is_ok(),
            Err(_) => false,
        }
    }
}
