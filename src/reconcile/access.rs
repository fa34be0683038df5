//! What decides about access: the administrator's annotations on the Namespace, and the ServiceAccount. A change ends the
//! backoffs of an object.

use super::reconciler::Reconciler;
use crate::desired::Desired;
use crate::failure::Failure;
use crate::identity::Account;
use crate::kubernetes::namespace::NamespacePolicy;
use crate::kubernetes::service_account;
use crate::value::short_hash;

impl Reconciler<'_> {
    /// Whether it changed since `before` was recorded. `false` if it cannot be read.
    pub(super) async fn access_changed(&self, want: &Desired, before: Option<&str>) -> bool {
        self.read_access(want).await.is_ok_and(|now| Some(now.as_str()) != before)
    }

    async fn read_access(&self, want: &Desired) -> Result<String, Failure> {
        let policy = NamespacePolicy::of(&self.ctx.client, &want.namespace).await?;
        let account = match &want.service_account {
            Some(name) if self.ctx.policy.service_accounts => service_account::read(&self.ctx.client, &want.namespace, name).await?,
            _ => None,
        };
        Ok(hash(&policy, account.as_ref()))
    }
}

/// A hash of what decides about access.
pub(super) fn hash(policy: &NamespacePolicy, account: Option<&Account>) -> String {
    let account = account.map(|account| (&account.uid, &account.role_arn));
    short_hash(format!("{policy:?}\n{account:?}").as_bytes()).chars().take(16).collect()
}
