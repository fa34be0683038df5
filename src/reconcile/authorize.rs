//! What the namespace may, and who acts for it: asked once a turn, before AWS is asked anything.

use super::Work;
use crate::api::{ALLOWED_FUNCTIONS, ALLOWED_NAMES, EXTERNAL_ID, ROLE_ARN};
use crate::kubernetes::namespace::NamespacePolicy;
use crate::kubernetes::service_account;
use crate::desired::{Desired, Refusal, Rotation, glob_allows};
use crate::failure::Failure;
use crate::identity::{self, Identity, NamespaceSays};
use crate::plan::{Observed, Ownership, Place};
use crate::status::EventNote;

/// What was found.
#[derive(Debug, Clone)]
pub(super) struct Authorization {
    /// Whether the namespace may use the AWS name.
    pub(super) name_allowed: bool,
    /// Whether it may use the rotation function, if one is declared.
    pub(super) function_allowed: bool,
    /// Why nobody may act.
    pub(super) refused: Option<Refusal>,
    /// The account of the role that acts; not known of the operator itself.
    pub(super) account: Option<String>,
}

/// What is to be said where an object goes, its AWS secret was to go too, and nobody may touch that. A namespace that goes takes its
/// ServiceAccounts along in any order, so this must not hold it up.
pub(super) fn orphaned_secret_event(want: &Desired, seen: &Observed) -> Option<EventNote> {
    let barred = seen.refused.is_some() || !seen.name_allowed;
    let note = match &seen.place {
        _ if barred => format!(
            "the AWS secret {} stays: nobody may delete it for this object any more; type: aws secretsmanager delete-secret --secret-id {}",
            want.secret_name, want.secret_name
        ),
        Place::Unproved(refusal) if seen.remote.as_ref().is_none_or(|remote| remote.ownership != Ownership::Ours) => {
            format!("no AWS secret is deleted: {}", refusal.message)
        }
        _ => return None,
    };
    (want.value.is_some() && want.delete_after_days.is_some()).then(|| EventNote {
        warning: true,
        reason: "AwsSecretKept".to_owned(),
        action: "Delete",
        note,
    })
}

impl Work<'_> {
    /// Finds out, and prepares AWS for whoever acts.
    pub(super) async fn permit(&mut self, want: &Desired) -> Result<Authorization, Failure> {
        if let Some(permit) = &self.permit {
            return Ok(permit.clone());
        }
        let permit = self.ask(want).await?;
        self.permit = Some(permit.clone());
        Ok(permit)
    }

    async fn ask(&mut self, want: &Desired) -> Result<Authorization, Failure> {
        if want.suspended {
            return Ok(Authorization { name_allowed: want.own_prefix, function_allowed: true, refused: None, account: None });
        }
        let leave = NamespacePolicy::of(&self.ctx.client, &want.namespace).await?;
        if !want.own_prefix && !glob_allows(leave.get(ALLOWED_NAMES).unwrap_or_default(), &want.secret_name) {
            return Ok(Authorization { name_allowed: false, function_allowed: false, refused: None, account: None });
        }
        let function_allowed = match &want.rotation {
            Rotation::Lambda(lambda_rotation) => glob_allows(leave.get(ALLOWED_FUNCTIONS).unwrap_or_default(), &lambda_rotation.function),
            _ => true,
        };
        match self.identity(want, &leave).await? {
            Err(refusal) => Ok(Authorization { name_allowed: true, function_allowed, refused: Some(refusal), account: None }),
            Ok(identity) => {
                self.acting = Some(self.ctx.aws.client_for(&identity, async || self.token(want).await).await?);
                let account = identity.role().map(|role| role.account().to_owned());
                Ok(Authorization { name_allowed: true, function_allowed, refused: None, account })
            }
        }
    }

    async fn identity(&self, want: &Desired, leave: &NamespacePolicy) -> Result<Result<Identity, Refusal>, Failure> {
        let session = want.session.clone();
        let Some(name) = &want.service_account else {
            let says = NamespaceSays { role_arn: leave.get(ROLE_ARN), external_id: leave.get(EXTERNAL_ID) };
            return Ok(identity::of_namespace(session, says));
        };
        if !self.ctx.policy.service_accounts {
            return Ok(Err(identity::accounts_not_allowed()));
        }
        let account = service_account::look(&self.ctx.client, &want.namespace, name).await?;
        Ok(identity::of_account(session, name, account))
    }

    async fn token(&self, want: &Desired) -> Result<crate::plaintext::Plaintext, Failure> {
        let name = want.service_account.as_deref().ok_or_else(|| Failure::bug("a token of no ServiceAccount"))?;
        service_account::token(&self.ctx.client, &want.namespace, name).await
    }
}
