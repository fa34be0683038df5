//! What the namespace may do, and which identity acts for the object: decided once in a reconcile, before AWS is called.

use super::reconciler::Reconciler;
use crate::api::{ALLOWED_FUNCTIONS, ALLOWED_NAMES, EXTERNAL_ID, ROLE_ARN};
use crate::desired::{Desired, Rotation, glob_allows};
use crate::facts::Access;
use crate::failure::Failure;
use crate::identity::{self, Identity, NamespaceSays};
use crate::kubernetes::namespace::NamespacePolicy;
use crate::kubernetes::service_account;
use crate::refusal::Refusal;

impl Reconciler<'_> {
    /// Decides, and prepares AWS for the identity that acts.
    pub(super) async fn access(&mut self, want: &Desired) -> Result<Access, Failure> {
        if let Some(access) = &self.access {
            return Ok(access.clone());
        }
        let access = self.authorize(want).await?;
        self.access = Some(access.clone());
        Ok(access)
    }

    async fn authorize(&mut self, want: &Desired) -> Result<Access, Failure> {
        if want.suspended {
            return Ok(Access { name_allowed: want.own_prefix, ..Access::default() });
        }
        let policy = NamespacePolicy::of(&self.ctx.client, &want.namespace).await?;
        if !want.own_prefix && !glob_allows(policy.get(ALLOWED_NAMES).unwrap_or_default(), &want.secret_name) {
            return Ok(Access { name_allowed: false, function_allowed: false, refused: None });
        }
        let function_allowed = match &want.rotation {
            Rotation::Lambda(lambda) => glob_allows(policy.get(ALLOWED_FUNCTIONS).unwrap_or_default(), &lambda.function),
            _ => true,
        };
        let access = Access { name_allowed: true, function_allowed, refused: None };
        match self.identity(want, &policy).await? {
            Err(refusal) => Ok(Access { refused: Some(refusal), ..access }),
            Ok(identity) => {
                self.account = identity.role().map(|role| role.account().to_owned());
                self.aws = Some(self.ctx.aws.client_for(&identity, async || self.token(want).await).await?);
                Ok(access)
            }
        }
    }

    async fn identity(&self, want: &Desired, policy: &NamespacePolicy) -> Result<Result<Identity, Refusal>, Failure> {
        let session = want.session.clone();
        let Some(name) = &want.service_account else {
            let says = NamespaceSays { role_arn: policy.get(ROLE_ARN), external_id: policy.get(EXTERNAL_ID) };
            return Ok(identity::of_namespace(session, says));
        };
        if !self.ctx.policy.service_accounts {
            return Ok(Err(identity::accounts_not_allowed()));
        }
        let account = service_account::read(&self.ctx.client, &want.namespace, name).await?;
        Ok(identity::of_account(session, name, account))
    }

    async fn token(&self, want: &Desired) -> Result<crate::plaintext::Plaintext, Failure> {
        let name = want.service_account.as_deref().ok_or_else(|| Failure::bug("a token of no ServiceAccount"))?;
        service_account::token(&self.ctx.client, &want.namespace, name).await
    }
}
