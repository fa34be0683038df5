//! Rotation by AWS with a Lambda function.

use aws_sdk_secretsmanager::primitives::DateTime;
use aws_sdk_secretsmanager::types::RotationRulesType;

use super::client::{Address, SecretsManager, timestamp};
use super::fault::{Cause, Fault};
use super::operation::Operation;
use super::values::Written;
use crate::command::Command;
use crate::desired::Rules;
use crate::facts::RotationFacts;
use crate::failure::Failure;
use crate::version_id::VersionId;

/// The parameters of RotateSecret.
#[derive(Debug, Clone, Copy)]
pub struct Rotate<'a> {
    /// The version to rotate to immediately. `None`: rotation is configured and AWS tests it.
    pub to: Option<&'a VersionId>,
    /// The function and the rules. `None`: the present ones.
    pub configure: Option<(&'a str, &'a Rules)>,
}

/// What AWS shows of rotation, in a description and in an entry of a list.
pub(super) struct Shown<'a> {
    pub(super) enabled: Option<bool>,
    pub(super) function: Option<&'a str>,
    pub(super) rules: Option<&'a RotationRulesType>,
    pub(super) last: Option<&'a DateTime>,
    pub(super) next: Option<&'a DateTime>,
}

pub(super) fn facts(shown: &Shown<'_>) -> RotationFacts {
    RotationFacts {
        enabled: shown.enabled.unwrap_or(false),
        function: shown.function.map(str::to_owned),
        rules: Rules {
            days: shown.rules.and_then(RotationRulesType::automatically_after_days),
            expression: shown.rules.and_then(RotationRulesType::schedule_expression).map(str::to_owned),
            duration: shown.rules.and_then(RotationRulesType::duration).map(str::to_owned),
        },
        last: shown.last.and_then(timestamp),
        next: shown.next.and_then(timestamp),
    }
}

impl SecretsManager {
    /// Starts or configures a rotation. AWS continues after the answer.
    ///
    /// # Errors
    /// Any refusal other than [`Written::Exists`], or no answer. If another rotation is in progress: class `Conflict`.
    pub async fn rotate(&self, at: Address<'_>, rotate: Rotate<'_>) -> Result<Written, Failure> {
        let rules = rotate.configure.map(|(_, rules)| {
            RotationRulesType::builder()
                .set_automatically_after_days(rules.days)
                .set_schedule_expression(rules.expression.clone())
                .set_duration(rules.duration.clone())
                .build()
        });
        // Without a version the SDK generates a token. A test of the configuration creates no version, so repeating it is harmless.
        let request = self
            .client(at.region)
            .rotate_secret()
            .secret_id(at.id)
            .set_client_request_token(rotate.to.map(ToString::to_string))
            .set_rotation_lambda_arn(rotate.configure.map(|(function, _)| function.to_owned()))
            .set_rotation_rules(rules)
            .rotate_immediately(rotate.to.is_some());
        match self.call(at, Operation::RotateSecret, request.send()).await {
            Ok(_) => Ok(Written::Applied),
            Err(fault) if fault.has_code("ResourceExistsException") => Ok(Written::Exists),
            Err(fault) => Err(fault.into_rotation_failure(rotate.configure.map(|(function, _)| function))),
        }
    }

    /// Disables rotation. A rotation in progress can leave a version labelled AWSPENDING.
    ///
    /// # Errors
    /// Any refusal, or no answer.
    pub async fn cancel_rotation(&self, at: Address<'_>) -> Result<(), Failure> {
        let request = self.client(at.region).cancel_rotate_secret().secret_id(at.id);
        self.call(at, Operation::CancelRotateSecret, request.send()).await.map(drop).map_err(|fault| fault.into_rotation_failure(None))
    }
}

impl Fault {
    /// As [`Fault::into_failure`], with the advice for a rotation. `function`: the one that the call named.
    fn into_rotation_failure(self, function: Option<&str>) -> Failure {
        match self.rotation_advice(function) {
            Some(advice) => self.failure_with(&advice),
            None => self.into_failure(),
        }
    }

    fn rotation_advice(&self, function: Option<&str>) -> Option<String> {
        match (self.operation, self.cause) {
            // AWS denies the caller and the invocation of the function with the same code.
            (Operation::RotateSecret, Cause::Permissions) => {
                let allow = self.allow_invocation(function).map_or_else(String::new, |allow| format!(" ({allow})"));
                Some(format!(
                    "check that the function's own policy lets secretsmanager.amazonaws.com invoke it{allow}, and that the caller may call \
                     secretsmanager:RotateSecret and lambda:InvokeFunction; the operator retries"
                ))
            }
            (_, Cause::Rejected) => {
                Some("compare spec.rotation.lambda with the function and the rules that AWS accepts for this secret".to_owned())
            }
            _ => None,
        }
    }

    /// The command that permits the invocation, or, if the call did not name the function, the one that shows it.
    fn allow_invocation<'a>(&'a self, function: Option<&'a str>) -> Option<Command<'a>> {
        let secret = self.secret_ref()?;
        Some(match function {
            Some(function) => Command::AllowInvocation { region: secret.region, function },
            None => Command::ShowFunction(secret),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::condition::Reason;
    use crate::backoff::Class;

    /// The failure of a call that AWS refuses with this code and text.
    fn refused(operation: Operation, code: &str, text: &str) -> Failure {
        let cause = Cause::of(Some(code), text, 400);
        Fault {
            operation,
            code: Some(code.to_owned()),
            cause,
            role: None,
            region: Some("eu-west-1".into()),
            secret: Some("shop/db".into()),
            key: None,
            request_id: None,
        }
        .into_rotation_failure(Some("arn:aws:lambda:eu-west-1:123456789012:function:rotate"))
    }

    #[test]
    fn only_a_rotation_in_progress_is_a_conflict() {
        let in_progress = "A previous rotation isn't complete. That rotation will be reattempted.";
        for (text, expected) in [
            (in_progress, (Class::Conflict, Reason::Progressing)),
            ("You can't rotate a secret that another service manages.", (Class::Invalid, Reason::AwsRefused)),
            ("because it was marked for deletion", (Class::Denied, Reason::ScheduledForDeletion)),
        ] {
            let failure = refused(Operation::RotateSecret, "InvalidRequestException", text);
            assert_eq!((failure.class, failure.reason), expected, "{text}");
        }
    }

    #[test]
    fn a_refused_rotation_names_the_function_and_what_to_type() {
        let failure = refused(Operation::RotateSecret, "AccessDeniedException", "");
        assert!(failure.message.starts_with("RotateSecret: AWS answered AccessDeniedException: "), "{failure}");
        assert!(failure.message.contains("aws lambda add-permission --region eu-west-1 --function-name arn:aws:lambda:"), "{failure}");
        let failure = refused(Operation::CancelRotateSecret, "AccessDeniedException", "");
        assert!(failure.message.contains("IAM policy"), "{failure}");
        let failure = refused(Operation::RotateSecret, "ValidationException", "");
        assert!(failure.message.contains("spec.rotation.lambda"), "{failure}");
    }
}
