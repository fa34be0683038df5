//! Looks for the AWS secret of an object that is being deleted. No value is read.

use super::authorize::Actor;
use super::reconciler::Reconciler;
use crate::api::{ALLOWED_NAMES, SUSPEND};
use crate::aws::Address;
use crate::backoff::Class;
use crate::desired::{AwsRemoval, Owner, Removal, SecretArn, SecretPlace, glob_allows};
use crate::facts::{AwsSecret, SecretLeft, StagedLeft};
use crate::failure::Failure;
use crate::kubernetes::mirror;
use crate::kubernetes::namespace::NamespacePolicy;

impl Reconciler<'_> {
    /// Looks at each place where the secret may be. What the administrator has forbidden since is left alone.
    pub(super) async fn look_for_secret(&mut self, removal: &Removal) -> Result<SecretLeft, Failure> {
        let Some(aws) = &removal.aws else { return Ok(SecretLeft::Absent) };
        let namespace = NamespacePolicy::of(&self.ctx.client, &removal.namespace).await?;
        if let Some(because) = namespace.suspension() {
            return Ok(SecretLeft::OutOfReach(format!(
                "the annotation {SUSPEND} on the Namespace says {because:?}, so nothing is changed in AWS"
            )));
        }
        let recorded = match &aws.recorded {
            Some(recorded) => Some(recorded.clone()),
            None => self.mirrored_arn(removal).await,
        };
        let mut first = None;
        for place in aws.places(recorded.as_ref()) {
            let found = match self.forbidden(&place, &namespace) {
                Some(why) => SecretLeft::OutOfReach(why),
                None => self.look_at(aws, removal, &place, recorded.as_ref(), &namespace).await?,
            };
            if matches!(found, SecretLeft::Ours { .. }) {
                return Ok(found);
            }
            // The recorded place comes first, and says most.
            first.get_or_insert(found);
        }
        Ok(first.unwrap_or_else(|| {
            SecretLeft::OutOfReach("its name would be longer than 512 characters with today's --name-prefix".to_owned())
        }))
    }

    fn forbidden(&self, place: &SecretPlace, namespace: &NamespacePolicy) -> Option<String> {
        let regions = &self.ctx.policy.allowed_regions;
        if !regions.is_empty() && !regions.contains(&place.region) {
            return Some(format!("the region {} is not among the regions that the operator allows", place.region));
        }
        let allowed = place.own_name || glob_allows(namespace.get(ALLOWED_NAMES).unwrap_or_default(), &place.name);
        (!allowed).then(|| format!("the namespace may not use the name {} (annotation {ALLOWED_NAMES} on the Namespace)", place.name))
    }

    async fn look_at(
        &mut self,
        aws: &AwsRemoval,
        removal: &Removal,
        place: &SecretPlace,
        recorded: Option<&SecretArn>,
        policy: &NamespacePolicy,
    ) -> Result<SecretLeft, Failure> {
        let (namespace, announced) = (removal.namespace.as_str(), removal.staged.as_ref());
        let actor = Actor { namespace, session: &aws.session, service_account: aws.service_account.as_deref() };
        if let Err(refusal) = self.become_identity(actor, policy).await? {
            return Ok(SecretLeft::OutOfReach(format!("no identity may act for this object: {}", refusal.message)));
        }
        let here = recorded.filter(|arn| arn.region == place.region && arn.name == place.name);
        let elsewhere = |arn: &&SecretArn| self.account().is_some_and(|account| account != arn.account);
        let found = self.describe_left(aws, place, here.filter(|arn| !elsewhere(arn))).await?;
        let owner = |found: &AwsSecret| match aws.owner(&found.tags, policy.uid.as_deref()) {
            _ if found.name != place.name => Owner::Another,
            // The adoption is reported before the secret is restored and tagged, so it may have been restored.
            Owner::Former if aws.adopting => Owner::This,
            owner => owner,
        };
        Ok(match (found, here.filter(elsewhere)) {
            (Some(found), _) if owner(&found) == Owner::This => SecretLeft::Ours {
                staged: StagedLeft::of(&found, announced),
                arn: found.arn,
                place: place.clone(),
                deleted: found.deleted,
                replicas: found.replicas.into_iter().map(|replica| replica.region).collect(),
            },
            (_, Some(arn)) => SecretLeft::OutOfReach(format!(
                "it is in account {}, and the identity that acts for this object belongs to another account",
                arn.account
            )),
            (Some(found), None) if owner(&found) == Owner::Former => {
                SecretLeft::Former { arn: found.arn, place: place.clone(), deleted: found.deleted }
            }
            (Some(_), None) => SecretLeft::Foreign,
            (None, None) => SecretLeft::Absent,
        })
    }

    /// By the recorded ARN if there is one, and by name: an ARN may be of a secret that was replaced, or of another account,
    /// where AWS denies the call. As long as the account of the identity is not known, what only an ARN leads to is not ours:
    /// the ARN may be forged, and tags can be copied to another account that lets this identity read and delete.
    async fn describe_left(
        &self,
        removal: &AwsRemoval,
        place: &SecretPlace,
        arn: Option<&SecretArn>,
    ) -> Result<Option<AwsSecret>, Failure> {
        let aws = self.aws()?;
        let by_name = Address { region: &place.region, id: &place.name };
        let Some(arn) = arn else { return aws.describe(by_name).await };
        if self.account().is_none()
            && let Some(found) = aws.describe(by_name).await?
        {
            // A name never leads to another account, so the answer also tells which account this is.
            return Ok(Some(found));
        }
        match aws.describe(Address { region: &place.region, id: &arn.text }).await {
            Ok(Some(found)) if self.account().is_none() && found.name == place.name => Err(Failure::conflict(
                "AWS does not show the secret by its name, so whether it is in the account of the operator is not known",
            )),
            Ok(Some(found)) if found.name == place.name => Ok(Some(found)),
            Ok(_) => aws.describe(by_name).await,
            Err(failure) if failure.class == Class::Denied => match aws.describe(by_name).await {
                Ok(Some(found)) if removal.owns(&found.tags) => Ok(Some(found)),
                _ => Err(failure),
            },
            Err(failure) => Err(failure),
        }
    }

    /// The ARN on the mirrored Secret, if the status has lost it. A Secret that cannot be read has none.
    async fn mirrored_arn(&self, removal: &Removal) -> Option<SecretArn> {
        let name = removal.target.as_deref()?;
        let found = mirror::read_by_name(&self.ctx.client, &self.object, name).await.ok().flatten()?;
        SecretArn::parse(found.arn.filter(|_| found.facts.ours)?.as_str())
    }
}
