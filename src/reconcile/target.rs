//! Steps that call a target: the staged value is read back from AWS, and the target's closed answer becomes an effect or
//! a failure. A strategy knows nothing of AWS, and the plan nothing of a strategy.

use std::net::IpAddr;
use std::time::Instant;

use super::act::NewVersion;
use super::dispatch::may_have;
use super::job::{self, ByJob, Progress};
use super::reconciler::Reconciler;
use crate::api::condition::Reason;
use crate::api::{ABANDONED_LABEL, ALLOWED_HOSTS, AWSCURRENT, AWSPENDING, AWSPREVIOUS, STAGED_LABEL};
use crate::aws::{Address, Selector};
use crate::backoff::Class;
use crate::command::{Command, ObjectRef, SecretRef};
use crate::compare::Observation;
use crate::desired::{Alternation, Desired, Strategy, TargetServer, glob_allows};
use crate::failure::Failure;
use crate::journal::Effect;
use crate::kubernetes::namespace::NamespacePolicy;
use crate::kubernetes::service;
use crate::step::Step;
use crate::strategy::webhook::Failure as Obstacle;
use crate::strategy::{Applied, Credential, Problem, Refused, Tried};
use crate::value::Payload;
use crate::version_id::VersionId;

/// A staged version that is abandoned.
pub(super) struct Abandoned<'a> {
    pub(super) version: &'a VersionId,
    /// The version that the target is to accept again.
    pub(super) current: &'a VersionId,
    /// The version before that, which the target accepts if it never had either.
    pub(super) previous: Option<&'a VersionId>,
    /// The version that was abandoned last.
    pub(super) last: Option<&'a VersionId>,
}

impl Reconciler<'_> {
    /// Makes the target accept a staged version. What is applied is what AWS has, not what this process composed.
    pub(super) async fn apply(
        &mut self,
        want: &Desired,
        seen: &Observation,
        at: Address<'_>,
        version: &VersionId,
        from: &VersionId,
    ) -> Result<Effect, Failure> {
        let strategy = declared(want)?;
        let tried = Tried::default();
        let labels = seen.secret.as_ref().map(|secret| &secret.labels);
        let labelled = [ABANDONED_LABEL, AWSPREVIOUS].map(|label| labels.and_then(|labels| labels.get(label)));
        let previous = labelled.into_iter().flatten().find(|previous| ![version, from].contains(previous));
        if strategy.runs_jobs() {
            let step = Step::Apply { version: version.clone(), from: from.clone() };
            let asked = ByJob { step: &step, version, current: Some(from), previous };
            return self.by_job(want.object_ref(), strategy, at, asked, Reason::ApplyFailed).await;
        }
        let current = self.read(at, Selector::Version(from)).await?.value;
        let (previous, previous_is_later) = self.previous(at, previous, from).await?;
        let mut target = self.target(want.object_ref(), strategy, &tried).await?;
        target.previous_is_later = previous_is_later;
        // Last of all that is read.
        let pending = self.staged(at, version).await?;
        self.changes_user_in_use = strategy.replaces() || (strategy.alternation().is_some() && same_user(&pending.value, &current));
        let unsure = self.changes_user_in_use;
        let failed = |obstacle: &Obstacle| {
            let host = named(&strategy.server, obstacle.problem, tried.last());
            failure_of(want.object_ref(), unsure, Reason::ApplyFailed, obstacle, &host)
        };
        let applied = target.apply(&pending, &current, previous.as_ref()).await;
        let applied = applied.map_err(|obstacle| target.waits(obstacle.problem, failed(&obstacle)))?;
        let gap = applied == Applied::Now && unsure;
        self.applied_version = gap.then(|| (version.clone(), Instant::now()));
        tracing::info!(?applied, "the target accepts the staged version");
        Ok(self.applied())
    }

    /// Makes sure that the target accepts a staged version, in a new session.
    pub(super) async fn verify(&mut self, want: &Desired, at: Address<'_>, version: &VersionId) -> Result<Effect, Failure> {
        let strategy = declared(want)?;
        let tried = Tried::default();
        if strategy.runs_jobs() {
            let step = Step::Verify { version: version.clone() };
            let asked = ByJob { step: &step, version, current: None, previous: None };
            let effect = self.by_job(want.object_ref(), strategy, at, asked, Reason::VerifyFailed).await?;
            if matches!(effect, Effect::Applied { .. }) {
                self.target_verified(want, strategy, None);
            }
            return Ok(effect);
        }
        let target = self.target(want.object_ref(), strategy, &tried).await?;
        let pending = self.staged(at, version).await?;
        let verified = target.verify(&pending).await;
        verified.map_err(|obstacle| failure(want.object_ref(), strategy, Reason::VerifyFailed, &obstacle, tried.last()))?;
        // The version becomes current next.
        self.target_verified(want, strategy, Credential::of(&pending.value).ok().as_ref());
        Ok(self.applied())
    }

    /// A step as a Job. What was not done is a failure with this reason, if the program of the Job says so.
    async fn by_job(
        &mut self,
        of: ObjectRef<'_>,
        strategy: &Strategy,
        at: Address<'_>,
        asked: ByJob<'_>,
        refused: Reason,
    ) -> Result<Effect, Failure> {
        match self.ask_job(of, strategy, at, asked).await? {
            Progress::Done => Ok(self.applied()),
            Progress::GoesOn(effect) => Ok(effect),
            Progress::Stopped(obstacle, who) => Err(failure_of(of, strategy.replaces(), refused, &obstacle, &who)),
        }
    }

    /// Abandons a staged version at the target that may accept it: the recorded one, or the declared one if the status was lost.
    pub(super) async fn abandon(
        &mut self,
        want: &Desired,
        seen: &Observation,
        at: Address<'_>,
        version: &VersionId,
        current: &VersionId,
    ) -> Result<Effect, Failure> {
        let recorded = seen.status.staging.target_of(version).map(|target| Strategy::recorded(target, &want.namespace));
        let strategy = match (recorded, &want.strategy) {
            (Some(recorded), Some(declared)) => recorded.corrected(declared),
            (recorded, declared) => {
                recorded.or_else(|| declared.clone()).ok_or_else(|| Failure::bug("a version of no target is abandoned"))?
            }
        };
        let labelled = |label: &str| seen.secret.as_ref().and_then(|secret| secret.labels.get(label));
        let staged = Abandoned { version, current, previous: labelled(AWSPREVIOUS), last: labelled(ABANDONED_LABEL) };
        let undone = self.undo(want.object_ref(), &strategy, at, staged).await;
        match undone {
            Err(failure) if failure.reason == Reason::AbandonFailed && self.has_requested(want, seen, &strategy, at, version).await => {
                tracing::info!(%version, "the target accepts the version to which a rollback is requested, and so not this one");
                self.unstage(at, version).await
            }
            undone => undone,
        }
    }

    /// Sets the current value back, sees that the target accepts it and refuses the staged one, and removes `AWSPENDING`.
    pub(super) async fn undo(
        &mut self,
        of: ObjectRef<'_>,
        strategy: &Strategy,
        at: Address<'_>,
        staged: Abandoned<'_>,
    ) -> Result<Effect, Failure> {
        let policy = NamespacePolicy::of(&self.ctx.client, of.namespace).await?;
        if !self.allows_host(of.namespace, &policy, strategy).await? {
            if strategy.runs_jobs() {
                let failure = job::not_allowed();
                return Err(Failure { message: failure.message + &by_hand(at, staged.version), ..failure });
            }
            let message = format!("{} is not allowed any more, so the staged version cannot be abandoned there", strategy.host_and_port());
            return Err(Failure {
                class: Class::Denied,
                reason: Reason::HostNotAllowed,
                message: message + &by_hand(at, staged.version),
                request_id: None,
            });
        }
        let tried = Tried::default();
        let failed = |obstacle: &Obstacle| {
            let failure = failure(of, strategy, Reason::AbandonFailed, obstacle, tried.last());
            Failure { message: failure.message + &by_hand(at, staged.version), ..failure }
        };
        let pending = self.staged(at, staged.version).await?;
        let current = self.labelled(at, staged.current, &[AWSCURRENT]).await?.value;
        if may_have(strategy, &pending.value, &current).map_err(|problem| failed(&problem.into()))? {
            // A late replica may have applied the version that was abandoned before. It is read before its label moves.
            let [version, current_version] = [staged.version, staged.current];
            let labelled = [staged.last, staged.previous].into_iter().flatten();
            let previous = labelled.into_iter().find(|previous| ![version, current_version].contains(previous));
            let (previous_value, previous_is_later) =
                if strategy.runs_jobs() { (None, false) } else { self.previous(at, previous, staged.current).await? };
            // A replica that was stopped could still apply the version: until another one is current, AWS keeps it.
            if staged.last != Some(staged.version) {
                self.aws()?.move_label(at, ABANDONED_LABEL, staged.last, Some(staged.version)).await?;
            }
            if strategy.runs_jobs() {
                let step = Step::Abandon { version: staged.version.clone(), current: staged.current.clone() };
                let asked = ByJob { step: &step, version: staged.version, current: Some(staged.current), previous };
                let undone = self.by_job(of, strategy, at, asked, Reason::AbandonFailed).await;
                let undone = undone.map_err(|failure| Failure { message: failure.message + &by_hand(at, staged.version), ..failure })?;
                return if matches!(undone, Effect::GoesOn(_)) { Ok(undone) } else { self.unstage(at, staged.version).await };
            }
            let mut target = self.target(of, strategy, &tried).await?;
            target.previous_is_later = previous_is_later;
            let undone = target.undo(&pending, &current, previous_value.as_ref()).await;
            let undone = undone.map_err(|obstacle| target.waits(obstacle.problem, failed(&obstacle)))?;
            tracing::info!(?undone, "the target accepts the current version again");
        }
        self.unstage(at, staged.version).await
    }

    /// Takes the labels of a staged version away, first the one that other writers move too.
    pub(super) async fn unstage(&self, at: Address<'_>, version: &VersionId) -> Result<Effect, Failure> {
        let pending = self.move_label(at, AWSPENDING, Some(version), None).await?;
        let staged = self.move_label(at, STAGED_LABEL, Some(version), None).await?;
        Ok(if pending == Effect::Absent { staged } else { pending })
    }

    /// Whether the namespace may use the host of the target: a Service that leads to its own pods, or what the administrator
    /// allows.
    pub(super) async fn allows_host(&self, namespace: &str, policy: &NamespacePolicy, strategy: &Strategy) -> Result<bool, Failure> {
        if strategy.runs_jobs() {
            return Ok(self.ctx.policy.rotation_jobs);
        }
        for server in strategy.servers() {
            let listed = glob_allows(policy.get(ALLOWED_HOSTS).unwrap_or_default(), &server.host_and_port());
            let allowed = match server.own_service() {
                _ if listed => true,
                Some(service) => service::leads_to_pods(&self.ctx.client, namespace, service).await?,
                None => false,
            };
            if !allowed {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Before a version is staged: what could not be mirrored, or what the target could never accept, is not written, since
    /// a staged version stays until it is applied.
    pub(super) async fn admit(
        &mut self,
        want: &Desired,
        seen: &Observation,
        at: Address<'_>,
        new: &NewVersion<'_>,
        value: &Payload,
    ) -> Result<(), Failure> {
        let current = match new.predecessor {
            Some(predecessor) => Some(self.read(at, Selector::Version(predecessor)).await?.value),
            None => None,
        };
        suits(want, value, current.as_ref())?;
        self.render(want, seen, new.version, value).map(drop).map_err(|unfit| Failure {
            class: Class::Invalid,
            reason: unfit.refusal.reason,
            message: format!("no version is staged, because it could not be mirrored: {}", unfit.refusal.message),
            request_id: None,
        })
    }
}

/// Whether the target could accept this value after that one.
fn suits(want: &Desired, next: &Payload, current: Option<&Payload>) -> Result<(), Failure> {
    let Some(strategy) = want.strategy.as_ref().filter(|strategy| strategy.needs_credential()) else { return Ok(()) };
    let invalid = |refused: Refused| Failure {
        class: Class::Invalid,
        reason: Reason::InvalidSpec,
        message: format!("no version is staged, because the server {}", Problem::from(refused).explanation()),
        request_id: None,
    };
    let unusable = |_| invalid(Refused::ValueUnusable);
    let next = Credential::of(next).map_err(unusable)?;
    let current = current.map(Credential::of).transpose().map_err(unusable)?;
    let fits = match (strategy.alternation(), &current) {
        (Some(Alternation { turns, .. }), current) => {
            turns.is(&next.user) && current.as_ref().is_none_or(|current| turns.is(&current.user))
        }
        (None, current) => current.as_ref().is_none_or(|current| current.user == next.user),
    };
    if fits { Ok(()) } else { Err(invalid(Refused::UserChanged)) }
}

pub(super) fn declared(want: &Desired) -> Result<&Strategy, Failure> {
    want.strategy.as_ref().ok_or_else(|| Failure::bug("a target is called that is not declared"))
}

/// What a person can do if the target does not exist any more.
fn by_hand(at: Address<'_>, version: &VersionId) -> String {
    let secret = SecretRef { region: at.region, id: at.id };
    let [pending, staged] = [AWSPENDING, STAGED_LABEL].map(|label| Command::RemoveLabel { secret, label, version: version.as_str() });
    format!("; if the server does not exist any more, or never had the version, remove its labels: {pending}; {staged}")
}

/// `tried`: the address that the name led to.
fn failure(of: ObjectRef<'_>, strategy: &Strategy, refused: Reason, obstacle: &Obstacle, tried: Option<IpAddr>) -> Failure {
    failure_of(of, strategy.replaces(), refused, obstacle, &named(&strategy.server, obstacle.problem, tried))
}

/// Whether two values are for one user of a server.
fn same_user(one: &Payload, other: &Payload) -> bool {
    let user = |value: &Payload| Credential::of(value).ok().map(|credential| credential.user);
    user(one).is_some_and(|name| Some(name) == user(other))
}

/// `host`: who does not do it. `unsure`: the user in use has one password, which may be the staged one if the server's answer
/// was lost.
pub(super) fn failure_of(of: ObjectRef<'_>, unsure: bool, refused: Reason, obstacle: &Obstacle, host: &str) -> Failure {
    let problem = obstacle.problem;
    let (class, reason) = match problem {
        // Few attempts, so that no user is locked.
        Problem::Refused(_) => (Class::Denied, refused),
        Problem::Unknown(_) if unsure => (Class::Urgent, Reason::TargetUnreachable),
        Problem::Unknown(_) => (Class::Retry, Reason::TargetUnreachable),
    };
    let retries = Command::RefreshByPlugin(of);
    let next = match reason {
        Reason::VerifyFailed => "the operator sets the password of the current version again".to_owned(),
        Reason::TargetUnreachable if unsure => format!(
            "the operator tries again ({retries}); if the server had the new password before, it refuses the one in the Secret until then"
        ),
        _ => format!("the current version stays, and the operator tries again: {retries}"),
    };
    let message = format!("{host} {} ({}); {next}", problem.explanation(), words(obstacle));
    Failure { class, reason, message, request_id: None }
}

/// The word of the target, and that of a receiver.
pub(super) fn words(obstacle: &Obstacle) -> String {
    let word = obstacle.problem.word();
    obstacle.reason.as_ref().map_or_else(|| word.to_owned(), |reason| format!("{word}: {}", reason.as_str()))
}

/// The host, and if nothing answered, the address that was tried.
pub(super) fn named(server: &TargetServer, problem: Problem, tried: Option<IpAddr>) -> String {
    let host = server.host_and_port();
    let unanswered = tried.filter(|_| matches!(problem, Problem::Unknown(_))).map(|address| address.to_string());
    match unanswered.filter(|address| !host.contains(address)) {
        Some(address) => format!("{host} (address {address})"),
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{Kind, fixture};
    use crate::plaintext::Plaintext;
    use crate::strategy::Unknown;
    use crate::value::Turns;

    fn with_strategy() -> Desired {
        Desired { strategy: Some(fixture::strategy()), ..fixture::desired(crate::desired::Rotation::Never) }
    }

    #[test]
    fn the_servers_word_is_retried_rarely_and_the_networks_soon() {
        let want = with_strategy();
        let strategy = want.strategy.as_ref().unwrap();
        let refused = failure(want.object_ref(), strategy, Reason::VerifyFailed, &Refused::NotPermitted.into(), None);
        assert_eq!((refused.class, refused.reason), (Class::Denied, Reason::VerifyFailed));
        let unknown = failure(want.object_ref(), strategy, Reason::ApplyFailed, &Unknown::Timeout.into(), None);
        assert_eq!((unknown.class, unknown.reason), (Class::Urgent, Reason::TargetUnreachable));
        assert!(!unknown.message.contains("stays") && unknown.message.contains("refuses the one in the Secret"), "{}", unknown.message);
        assert!(unknown.message.starts_with("db.shop.svc:5432 did not answer in time (Timeout)"), "{}", unknown.message);
    }

    #[test]
    fn what_did_not_answer_is_named_with_the_address_that_was_tried() {
        let want = with_strategy();
        let strategy = want.strategy.as_ref().unwrap();
        let says = |problem: Problem, tried: &str| {
            failure(want.object_ref(), strategy, Reason::ApplyFailed, &problem.into(), Some(tried.parse().unwrap())).message
        };
        for (tried, words) in [
            ("10.96.0.7", "db.shop.svc:5432 (address 10.96.0.7) cannot be reached (Unreachable); "),
            ("fd12::7", "db.shop.svc:5432 (address fd12::7) cannot be reached (Unreachable); "),
        ] {
            let message = says(Unknown::Unreachable.into(), tried);
            assert!(message.starts_with(words), "{message}");
        }
        let answered = says(Refused::PasswordRefused.into(), "10.96.0.7");
        assert!(answered.starts_with("db.shop.svc:5432 refuses"), "{answered}");
    }

    #[test]
    fn what_no_server_could_accept_is_not_staged() {
        let payload = |text: &str| Payload::Text(Plaintext::from(text.to_owned()));
        let of = |user: &str| payload(&format!(r#"{{"username":"{user}","password":"p"}}"#));
        let want = with_strategy();
        assert_eq!(suits(&want, &of("app"), Some(&of("app"))), Ok(()));
        for (next, current) in [(of("app"), of("other")), (payload("{}"), of("app")), (of("app"), payload("text"))] {
            assert_eq!(suits(&want, &next, Some(&current)).unwrap_err().reason, Reason::InvalidSpec);
        }
        let turns = Turns { base: "app".to_owned(), twin: "app_clone".to_owned() };
        let alternation = Alternation { admin: "db-super".to_owned(), turns };
        let kind = Kind::PostgresAlternatingUsers { database: "app".to_owned(), alternation };
        let strategy = Strategy { kind, ..fixture::strategy() };
        let two = Desired { strategy: Some(strategy), ..with_strategy() };
        for (next, current) in [("app_clone", "app"), ("app", "app_clone"), ("app", "app")] {
            assert_eq!(suits(&two, &of(next), Some(&of(current))), Ok(()));
        }
        for (next, current) in [("app_clone", "other"), ("other", "app"), ("postgres", "postgres")] {
            assert_eq!(suits(&two, &of(next), Some(&of(current))).unwrap_err().reason, Reason::InvalidSpec);
        }
        let without = Desired { strategy: None, ..want };
        assert_eq!(suits(&without, &payload("{}"), Some(&of("app"))), Ok(()));
    }
}
