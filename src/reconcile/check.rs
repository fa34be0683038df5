//! The periodic check of a target: whether it accepts what pods have.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::answered::Trial;
use super::job::{ByJob, Progress};
use super::reconciler::Reconciler;
use super::target::{declared, named, words};
use crate::api::condition::{ConditionType, Reason};
use crate::aws::{Address, Selector};
use crate::backoff::Class;
use crate::command::{Command, SecretRef};
use crate::desired::{Desired, Strategy};
use crate::failure::Failure;
use crate::journal::Effect;
use crate::step::Step;
use crate::strategy::webhook::Failure as Obstacle;
use crate::strategy::{Credential, Problem, Refused, Tried};
use crate::value::{DeclaredValue, USERNAME};
use crate::version_id::{VersionId, VersionIds};

impl Reconciler<'_> {
    /// When the target is asked next; `None`: never.
    pub(super) fn check_due(&self, want: &Desired) -> Option<jiff::Timestamp> {
        let now = (self.ctx.clock)();
        let strategy = want.strategy.as_ref()?;
        if self.check_requested(want) {
            return Some(now);
        }
        let every = strategy.check_interval?;
        let seconds = want.ids.place(every.as_secs().unsigned_abs());
        let offset = jiff::SignedDuration::from_secs(i64::try_from(seconds).unwrap_or_default());
        Some(self.ctx.memory.checks.due(&self.uid(), hash(strategy), every, offset, self.refused_before(), now))
    }

    /// The server accepts the value that is about to be current. What a pooler says to it is seen by the check.
    pub(super) fn target_verified(&mut self, want: &Desired, strategy: &Strategy, user: Option<&Credential>) {
        if strategy.pooler.is_none() {
            self.target_accepts(strategy);
            self.target_verified_by(strategy, user.and_then(|user| declared_user(want, &user.user)));
        } else {
            self.ctx.memory.checks.changes(&self.uid(), hash(strategy));
        }
    }

    /// The target accepts the value that is current.
    fn target_accepts(&self, strategy: &Strategy) {
        self.ctx.memory.checks.accepts(&self.uid(), hash(strategy), (self.ctx.clock)());
    }

    /// Whether the last check that the status tells of was refused. It is repeated, or a restart would hide that. While a version
    /// is staged, the status tells of that one.
    fn refused_before(&self) -> bool {
        let reasons = [Reason::TargetDiverged, Reason::TargetUnreachable].map(Reason::as_str);
        let rotated = ConditionType::Rotated.to_string();
        let status = self.object.status.as_ref().filter(|status| status.staged.is_none());
        let mut conditions = status.iter().flat_map(|status| &status.conditions);
        conditions.any(|c| c.type_ == rotated && c.status == "False" && reasons.contains(&c.reason.as_str()))
    }

    /// Logs in with the current value, as AWS has it. Nothing is written.
    pub(super) async fn check(&mut self, want: &Desired, at: Address<'_>, version: &VersionId) -> Result<Effect, Failure> {
        let strategy = declared(want)?;
        let tried = Tried::default();
        let (answer, credential, host, trial) = if strategy.runs_jobs() {
            let step = Step::Check { version: version.clone() };
            let asked = ByJob { step: &step, version, current: None, previous: None };
            let progress = self.ask_job(want.object_ref(), strategy, at, asked).await;
            match progress.inspect_err(|failure| self.not_asked(strategy, failure))? {
                Progress::GoesOn(effect) => return Ok(effect),
                Progress::Done => (Ok(()), None, String::new(), Trial::default()),
                Progress::Stopped(obstacle, who) => (Err(obstacle), None, who, Trial::default()),
            }
        } else {
            let current = self.read(at, Selector::Version(version)).await?.value;
            let entrance = self.entrance(want.object_ref(), strategy, &tried).await;
            let entrance = entrance.inspect_err(|failure| self.not_asked(strategy, failure))?;
            let answer = entrance.check(version, &current).await;
            let trial = self.try_rotation(want, strategy, &current, answer.is_ok()).await;
            (answer, Credential::of(&current).ok(), strategy.entrance().host_and_port(), trial)
        };
        let (uid, target, now) = (self.uid(), hash(strategy), (self.ctx.clock)());
        let user = credential.as_ref().and_then(|current| declared_user(want, &current.user));
        self.check_answered(strategy, user, &answer, trial, &tried);
        let Err(obstacle) = answer else {
            self.target_accepts(strategy);
            return Ok(self.applied());
        };
        match obstacle.problem {
            // No condition is kept without further checks. The status says what the person asked.
            Problem::Refused(_) if strategy.check_interval.is_none() => Ok(Effect::Absent),
            Problem::Refused(_) => {
                self.ctx.memory.checks.refuses(&uid, target);
                let message = diverged(want, &host, at, version, &obstacle, credential.as_ref());
                Err(Failure { class: Class::Denied, reason: Reason::TargetDiverged, message, request_id: None })
            }
            problem @ Problem::Unknown(_) => {
                let host = if strategy.runs_jobs() { host } else { named(strategy.entrance(), problem, tried.last()) };
                match self.ctx.memory.checks.silent(&uid, target, VersionIds::of(&uid).seed(), now) {
                    // Nothing is to be done there, so nobody has to act.
                    Some(until) => {
                        tracing::warn!(host, answer = problem.word(), %until, "the target does not answer; the check is repeated");
                        self.ctx.metrics.failure(Reason::TargetUnreachable.as_str());
                        Ok(Effect::Absent)
                    }
                    None => Err(Failure {
                        class: Class::Retry,
                        reason: Reason::TargetUnreachable,
                        message: format!(
                            "{host} {} ({}); before that, it refused the current version {version}, which pods hold; the operator tries again",
                            problem.explanation(),
                            problem.word()
                        ),
                        request_id: None,
                    }),
                }
            }
        }
    }
}

/// Which target this is, for comparison within this process.
fn hash(strategy: &Strategy) -> u64 {
    let mut hasher = DefaultHasher::new();
    (strategy.record(), strategy.entrance()).hash(&mut hasher);
    hasher.finish()
}

/// What the target refuses, what follows from that for pods, and what helps.
fn diverged(want: &Desired, host: &str, at: Address<'_>, version: &VersionId, obstacle: &Obstacle, current: Option<&Credential>) -> String {
    let problem = obstacle.problem;
    let user = current.and_then(|current| declared_user(want, &current.user)).map_or_else(String::new, |user| format!("user {user}, "));
    let put = Command::PutSecretValue(SecretRef { region: at.region, id: at.id });
    let follows = match problem {
        Problem::Refused(Refused::PasswordRefused) => format!(
            "pods hold a password that the server refuses, and the operator does not set it back: set the user's password to that of the \
             current version, or put the value that the server accepts in AWS ({put})"
        ),
        Problem::Refused(Refused::LoginNotPermitted | Refused::DatabaseNotFound | Refused::ReceiverRefused | Refused::JobRefused) => {
            "new logins of pods can fail in the same way".to_owned()
        }
        _ => "whether it accepts the password is not known, and a rotation would fail".to_owned(),
    };
    let refresh = Command::RefreshByPlugin(want.object_ref());
    format!("{host} {} ({}; {user}current version {version}): {follows}; then: {refresh}", problem.explanation(), words(obstacle))
}

/// The user, if the spec names it. A value of another writer can have anything in this field, also a password.
fn declared_user<'a>(want: &Desired, user: &'a str) -> Option<&'a str> {
    let Some(DeclaredValue::Fields { data, turns, .. }) = &want.value else { return None };
    let named = data.get(USERNAME).is_some_and(|declared| declared == user) || turns.as_ref().is_some_and(|turns| turns.is(user));
    named.then_some(user)
}

#[cfg(test)]
mod tests {
    use strum::VariantArray as _;

    use super::*;
    use crate::desired::fixture;
    use crate::plaintext::Plaintext;

    #[test]
    fn a_refusal_says_what_pods_meet_and_names_no_user_that_the_spec_does_not_name() {
        let want = Desired { strategy: Some(fixture::strategy()), ..fixture::desired(crate::desired::Rotation::Never) };
        let strategy = want.strategy.as_ref().unwrap();
        let at = Address { region: "eu-central-1", id: "k8s/shop/db-admin" };
        let says = |refused, user: &str| {
            let current = Credential { user: user.to_owned(), password: Plaintext::from("canary-p".to_owned()) };
            diverged(&want, &strategy.host_and_port(), at, &"v1".into(), &Obstacle::from(refused), Some(&current))
        };
        for refused in Refused::VARIANTS {
            let message = says(*refused, "admin");
            assert!(message.contains("user admin, current version v1"), "{message}");
            assert!(message.ends_with("kubectl rotatedsecret refresh db-admin -n shop"), "{message}");
            let password = matches!(refused, Refused::PasswordRefused);
            assert_eq!(message.contains("put-secret-value"), password, "{message}");
            assert!(!message.contains("canary") && !says(*refused, "canary-u").contains("canary"));
        }
        assert!(says(Refused::LoginNotPermitted, "admin").contains("new logins of pods can fail"));
        assert!(says(Refused::CertificateRefused, "admin").contains("whether it accepts the password is not known"));
    }
}
