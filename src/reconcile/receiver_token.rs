//! The token that a receiver knows the operator by. Those who write the object name the ServiceAccount, the audience and the
//! host, and what the status records is untrusted too, so everything is decided here, before each request.

use super::reconciler::Reconciler;
use crate::api::condition::Reason;
use crate::backoff::Class;
use crate::desired::{Strategy, is_subdomain};
use crate::failure::Failure;
use crate::kubernetes::service_account::{self, is_only_for};
use crate::plaintext::Plaintext;

impl Reconciler<'_> {
    /// A token of a ServiceAccount of the namespace that only this receiver accepts.
    pub(super) async fn receiver_token(
        &self,
        namespace: &str,
        account: &str,
        audience: &str,
        target: &Strategy,
    ) -> Result<Plaintext, Failure> {
        let policy = &self.ctx.policy;
        if !policy.service_accounts {
            let why = "is not enabled in this cluster: use signingKeyRef, or ask the administrator to set --allow-service-account-identity";
            return Err(refused(Reason::IdentityNotAllowed, why));
        }
        if !target.may_have_token(audience, policy.local_targets) {
            let why = "requires a Service of the namespace as host of the url, as NAME.NAMESPACE.svc, and an audience that is the url or \
                       its beginning up to a slash: correct them, or use signingKeyRef";
            return Err(refused(Reason::ApplyFailed, why));
        }
        // The name becomes a part of a path.
        let found = if is_subdomain(account) { service_account::read(&self.ctx.client, namespace, account).await? } else { None };
        if found.is_none() {
            let shown = if is_subdomain(account) { account } else { "with this name" };
            let why = format!("the ServiceAccount {shown} does not exist in namespace {namespace}: create it, or correct the name");
            return Err(refused(Reason::ApplyFailed, &why));
        }
        let token = service_account::token_for(&self.ctx.client, namespace, account, audience).await?;
        if is_only_for(&token, audience) {
            Ok(token)
        } else {
            let why = "the token would be valid for the API server or another audience, so it is not sent: use another audience";
            Err(refused(Reason::ApplyFailed, why))
        }
    }
}

fn refused(reason: Reason, why: &str) -> Failure {
    Failure { class: Class::Denied, reason, message: format!("spec.rotation.webhook.serviceAccountToken: {why}"), request_id: None }
}
