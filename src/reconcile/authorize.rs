//! What the namespace may do, and which identity acts for the object: decided once in a reconcile, before AWS is called.

use super::access::hash;
use super::reconciler::Reconciler;
use crate::api::{ALLOWED_FUNCTIONS, ALLOWED_NAMES, EXCLUDE_PERIODS, EXTERNAL_ID, MIRROR_NAMES, ROLE_ARN};
use crate::desired::{Desired, Rotation, glob_allows, glob_allows_arn};
use crate::facts::Access;
use crate::failure::Failure;
use crate::identity::{self, Identity, NamespaceSays, Session};
use crate::kubernetes::namespace::NamespacePolicy;
use crate::kubernetes::service_account;
use crate::refusal::Refusal;
use crate::schedule::ExcludedDays;

/// For whom an identity is chosen.
#[derive(Clone, Copy)]
pub(super) struct Actor<'a> {
    pub(super) namespace: &'a str,
    pub(super) session: &'a Session,
    /// The ServiceAccount that the object names.
    pub(super) service_account: Option<&'a str>,
}

impl Reconciler<'_> {
    /// The desired state with the uid of its namespace, which is part of the ownership tags.
    pub(super) async fn identified(&mut self, want: Desired) -> Result<Desired, Failure> {
        let namespace = self.namespace(&want).await?;
        Ok(want.within(namespace.uid))
    }

    /// The desired state, suspended if the Namespace suspends its objects.
    pub(super) async fn unless_suspended(&mut self, want: Desired) -> Result<Desired, Failure> {
        if want.suspended {
            return Ok(want);
        }
        let suspension = self.namespace(&want).await?.suspension();
        Ok(Desired { suspended: suspension.is_some(), suspended_by_namespace: suspension, ..want })
    }

    /// The Namespace, as it is in this reconcile.
    async fn namespace(&mut self, want: &Desired) -> Result<NamespacePolicy, Failure> {
        if let Some(namespace) = &self.namespace {
            return Ok(namespace.clone());
        }
        let namespace = self.watched_namespace(&want.namespace).await?;
        self.namespace = Some(namespace.clone());
        Ok(namespace)
    }

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
        let policy = self.namespace(want).await?;
        self.access_hash = Some(hash(&policy, None));
        let allows = if want.secret_name.starts_with("arn:") { glob_allows_arn } else { glob_allows };
        let lists = |annotation| allows(policy.get(annotation).unwrap_or_default(), &want.secret_name);
        let listed = lists(ALLOWED_NAMES) || (!want.manages() && lists(MIRROR_NAMES));
        if !want.own_prefix && !listed && !self.weaknesses.reads_first() {
            return Ok(Access { name_allowed: false, listed, function_allowed: false, ..Access::default() });
        }
        let function_allowed = match &want.rotation {
            Rotation::Lambda(lambda) => glob_allows(policy.get(ALLOWED_FUNCTIONS).unwrap_or_default(), &lambda.function),
            _ => true,
        };
        let host_allowed = match &want.strategy {
            Some(strategy) => self.allows_host(&want.namespace, &policy, strategy).await?,
            None => true,
        };
        let excluded = ExcludedDays::parse_list(policy.get(EXCLUDE_PERIODS).unwrap_or_default());
        let name_allowed = want.own_prefix || listed;
        let access = Access { name_allowed, listed, function_allowed, host_allowed, refused: None, excluded };
        let actor = Actor { namespace: &want.namespace, session: &want.session, service_account: want.service_account.as_deref() };
        let refused = self.become_identity(actor, &policy).await?.err();
        Ok(Access { refused, ..access })
    }

    /// Prepares AWS for the identity that acts, or says why none may.
    pub(super) async fn become_identity(&mut self, actor: Actor<'_>, policy: &NamespacePolicy) -> Result<Result<(), Refusal>, Failure> {
        Ok(match self.identity(actor, policy).await? {
            Err(refusal) => Err(refusal),
            Ok(identity) => {
                self.aws = Some(self.ctx.aws.client_for(&identity, async || self.token(actor).await).await?);
                Ok(())
            }
        })
    }

    async fn identity(&mut self, actor: Actor<'_>, policy: &NamespacePolicy) -> Result<Result<Identity, Refusal>, Failure> {
        let session = actor.session.clone();
        let Some(name) = actor.service_account else {
            let says = NamespaceSays { role_arn: policy.get(ROLE_ARN), external_id: policy.get(EXTERNAL_ID) };
            return Ok(identity::of_namespace(session, says));
        };
        if !self.ctx.policy.service_accounts {
            return Ok(Err(identity::accounts_not_allowed()));
        }
        let account = service_account::read(&self.ctx.client, actor.namespace, name).await?;
        self.access_hash = Some(hash(policy, account.as_ref()));
        Ok(identity::of_account(session, name, account))
    }

    async fn token(&self, actor: Actor<'_>) -> Result<crate::plaintext::Plaintext, Failure> {
        let name = actor.service_account.ok_or_else(|| Failure::bug("a token of no ServiceAccount"))?;
        service_account::token(&self.ctx.client, actor.namespace, name).await
    }
}
