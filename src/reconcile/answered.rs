//! `status.target`: what the target answered to a check that a person asked for, and when its answer changed. Every other check
//! would be a write of the status that says nothing new.

use super::reconciler::Reconciler;
use super::target::{named, words};
use crate::api::{AdministratorState, RotationTrial, TargetOutcome, TargetStatus};
use crate::desired::{Desired, Strategy};
use crate::failure::Failure;
use crate::strategy::webhook::Failure as Obstacle;
use crate::strategy::{Problem, Tried};
use crate::value::Payload;

/// Characters of a message. What it is made of is shorter.
const LONGEST: usize = 2000;

/// What a person who asks for a check is told of the next rotation.
#[derive(Default)]
pub(super) struct Trial {
    /// Whether the object of the administrator can be used, if there is one.
    administrator: Option<Result<(), Failure>>,
    /// Whether a rotation could change the password.
    rotation: Option<Result<(), Problem>>,
    /// The addresses that were tried for that.
    tried: Tried,
}

impl Reconciler<'_> {
    /// Tries whether a rotation could change the password, if a refresh asks for a check. `accepted`: the target accepts the
    /// current value. Nothing is changed.
    pub(super) async fn try_rotation(&self, want: &Desired, strategy: &Strategy, current: &Payload, accepted: bool) -> Trial {
        if !self.check_requested(want) || !strategy.needs_credential() {
            return Trial::default();
        }
        let tried = Tried::default();
        let target = self.target(want.object_ref(), strategy, &tried).await;
        let administrator = strategy.admin().is_some().then(|| target.as_ref().map(drop).map_err(Clone::clone));
        let rotation = match target.ok().filter(|_| accepted) {
            Some(target) => target.try_rotation(current).await,
            None => None,
        };
        Trial { administrator, rotation, tried }
    }

    /// Whether a refresh asks for a check that this reconcile has not made.
    pub(super) fn check_requested(&self, want: &Desired) -> bool {
        // A pod for each refresh would be too much.
        let by_job = want.strategy.as_ref().is_some_and(Strategy::runs_jobs);
        self.target_answer.is_none() && !by_job && self.refresh_requested(want)
    }

    fn refresh_requested(&self, want: &Desired) -> bool {
        let handled = self.object.status.as_ref().and_then(|status| status.requests.as_ref()?.refresh.as_ref());
        want.refresh_request.is_some() && want.refresh_request.as_ref() != handled
    }

    /// The target accepts the value that is about to be current.
    pub(super) fn target_verified_by(&mut self, strategy: &Strategy, user: Option<&str>) {
        self.target_answer = Some(self.answer(strategy, TargetOutcome::Accepted, user));
    }

    /// The key or the token for the target cannot be used.
    pub(super) fn not_asked(&mut self, strategy: &Strategy, failure: &Failure) {
        let answer = self.answer(strategy, TargetOutcome::NotAsked, None);
        self.target_answer = Some(TargetStatus { message: Some(bounded(&failure.message)), ..answer });
    }

    /// What the target says of the current value, and what a trial of a rotation came to.
    pub(super) fn check_answered(
        &mut self,
        strategy: &Strategy,
        user: Option<&str>,
        answer: &Result<(), Obstacle>,
        trial: Trial,
        tried: &Tried,
    ) {
        let Trial { administrator, rotation, tried: by_trial } = trial;
        let obstacle = answer.as_ref().err();
        let outcome = match obstacle.map(|obstacle| obstacle.problem) {
            None => TargetOutcome::Accepted,
            Some(Problem::Refused(_)) => TargetOutcome::Refused,
            Some(Problem::Unknown(_)) => TargetOutcome::Unanswered,
        };
        let said = obstacle.map(|obstacle| {
            let by_job = strategy.runs_jobs().then(|| strategy.entrance_name());
            let host = by_job.unwrap_or_else(|| named(strategy.entrance(), obstacle.problem, tried.last()));
            format!("{host} {} ({})", obstacle.problem.explanation(), words(obstacle))
        });
        let unusable = administrator.as_ref().and_then(|found| found.as_ref().err()).map(|failure| failure.message.clone());
        let impossible = rotation.and_then(Result::err).map(|problem| {
            let host = named(&strategy.server, problem, by_trial.last());
            let follows = match problem {
                Problem::Refused(_) => "a rotation would fail",
                Problem::Unknown(_) => "whether a rotation can change the password is not known",
            };
            format!("{follows}: {host} {} ({})", problem.explanation(), problem.word())
        });
        let messages: Vec<String> = said.into_iter().chain(unusable).chain(impossible).collect();
        self.target_answer = Some(TargetStatus {
            reason: obstacle.map(|obstacle| obstacle.problem.word().to_owned()),
            administrator: administrator.map(|found| if found.is_ok() { AdministratorState::Usable } else { AdministratorState::Unusable }),
            rotation: rotation.map(|tried| match tried {
                Ok(()) => RotationTrial::Possible,
                Err(Problem::Refused(_)) => RotationTrial::Impossible,
                Err(Problem::Unknown(_)) => RotationTrial::Unknown,
            }),
            message: (!messages.is_empty()).then(|| bounded(&messages.join("; "))),
            ..self.answer(strategy, outcome, user)
        });
    }

    fn answer(&self, strategy: &Strategy, outcome: TargetOutcome, user: Option<&str>) -> TargetStatus {
        TargetStatus {
            host: strategy.entrance_name(),
            check_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time((self.ctx.clock)()),
            outcome,
            reason: None,
            user: user.map(str::to_owned).filter(|user| user.len() <= 128),
            administrator: None,
            rotation: None,
            refresh: None,
            message: None,
        }
    }

    /// What the status says of it after `before`.
    pub(super) fn target_status(&self, want: Option<&Desired>, before: Option<TargetStatus>) -> Option<TargetStatus> {
        let Some(want) = want else { return before };
        let strategy = want.strategy.as_ref()?;
        let host = strategy.entrance_name();
        let before = before.filter(|before| before.host == host);
        if strategy.runs_jobs() && self.target_answer.is_none() && self.refresh_requested(want) {
            let message = Some("a refresh makes no Job: spec.rotation.job.checkInterval says when the next one asks the target".to_owned());
            let answer = self.answer(strategy, TargetOutcome::NotAsked, None);
            return Some(TargetStatus { message, refresh: want.refresh_request.clone(), ..answer });
        }
        let Some(answer) = &self.target_answer else { return before };
        if self.refresh_requested(want) {
            return Some(TargetStatus { refresh: want.refresh_request.clone(), ..answer.clone() });
        }
        if is_news(before.as_ref(), answer) { Some(answer.clone()) } else { before }
    }
}

/// Whether an answer that nobody asked for is recorded. That a target did not answer passes by itself.
fn is_news(before: Option<&TargetStatus>, answer: &TargetStatus) -> bool {
    let changed = before.is_none_or(|before| (before.outcome, &before.reason) != (answer.outcome, &answer.reason));
    match answer.outcome {
        TargetOutcome::Refused => changed,
        TargetOutcome::Accepted => changed && before.is_some(),
        TargetOutcome::Unanswered | TargetOutcome::NotAsked => false,
    }
}

fn bounded(message: &str) -> String {
    message.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_nobody_asked_for_is_recorded_only_if_it_changes_what_is_known() {
        let of = |outcome, reason: Option<&str>| -> TargetStatus {
            let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
            let (reason, host) = (reason.map(str::to_owned), "db:5432".to_owned());
            TargetStatus {
                host,
                check_time: time,
                outcome,
                reason,
                user: None,
                administrator: None,
                rotation: None,
                refresh: None,
                message: None,
            }
        };
        let (accepted, silent) = (of(TargetOutcome::Accepted, None), of(TargetOutcome::Unanswered, Some("Timeout")));
        let refused = |word| of(TargetOutcome::Refused, Some(word));
        for (before, answer, news) in [
            (None, &accepted, false),
            (None, &silent, false),
            (None, &refused("PasswordRefused"), true),
            (Some(&refused("PasswordRefused")), &refused("PasswordRefused"), false),
            (Some(&refused("PasswordRefused")), &refused("Pooler"), true),
            (Some(&refused("PasswordRefused")), &silent, false),
            (Some(&refused("PasswordRefused")), &accepted, true),
            (Some(&silent), &accepted, true),
            (Some(&accepted), &accepted, false),
        ] {
            assert_eq!(is_news(before, answer), news, "{before:?} {answer:?}");
        }
    }
}
