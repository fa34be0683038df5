//! Rotation by AWS: the calls that turn it on, ask for it and turn it off.

use aws_sdk_secretsmanager::types::RotationRulesType;
use jiff::Timestamp;

use super::{Address, Fault, SecretsManager, Written, timestamp};
use crate::api::condition::Reason;
use crate::backoff::Class;
use crate::desired::Rules;
use crate::facts::RotationFacts;
use crate::failure::Failure;
use crate::version_id::VersionId;

/// What DescribeSecret shows of rotation by AWS.
pub(super) fn facts(output: &aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput) -> RotationFacts {
    let rules = output.rotation_rules();
    RotationFacts {
        enabled: output.rotation_enabled().unwrap_or(false),
        function: output.rotation_lambda_arn().map(str::to_owned),
        rules: Rules {
            days: rules.and_then(RotationRulesType::automatically_after_days),
            expression: rules.and_then(RotationRulesType::schedule_expression).map(str::to_owned),
            duration: rules.and_then(RotationRulesType::duration).map(str::to_owned),
        },
        last: output.last_rotated_date().and_then(timestamp),
        next: output.next_rotation_date().and_then(timestamp),
    }
}

/// A call of RotateSecret.
#[derive(Debug, Clone, Copy)]
pub struct Rotate<'a> {
    /// The version to rotate to at once. `None`: rotation is only configured, and AWS tests it.
    pub to: Option<&'a VersionId>,
    /// The function and the rules; `None`: those that are set.
    pub configure: Option<(&'a str, &'a Rules)>,
}

impl SecretsManager {
    /// RotateSecret. AWS goes on by itself after the answer.
    ///
    /// # Errors
    /// Any answer but the two of [`Written`]. A rotation that is under way makes AWS refuse: that is a conflict, so look again.
    pub async fn rotate(&self, at: Address<'_>, rotate: Rotate<'_>) -> Result<Written, Failure> {
        let rules = rotate.configure.map(|(_, rules)| {
            RotationRulesType::builder()
                .set_automatically_after_days(rules.days)
                .set_schedule_expression(rules.expression.clone())
                .set_duration(rules.duration.clone())
                .build()
        });
        // Without a version the SDK makes a token: a test leaves no version that could be made twice.
        let request = self
            .client(at.region)
            .rotate_secret()
            .secret_id(at.id)
            .set_client_request_token(rotate.to.map(ToString::to_string))
            .set_rotation_lambda_arn(rotate.configure.map(|(function, _)| function.to_owned()))
            .set_rotation_rules(rules)
            .rotate_immediately(rotate.to.is_some());
        match self.count("RotateSecret", request.send().await) {
            Ok(_) => Ok(Written::Applied),
            Err(fault) if fault.code.as_deref() == Some("ResourceExistsException") => Ok(Written::Exists),
            Err(fault) => Err(refused(fault)),
        }
    }

    /// Turns rotation by AWS off. What is under way may be left behind under AWSPENDING.
    ///
    /// # Errors
    /// Any refusal.
    pub async fn cancel_rotation(&self, at: Address<'_>) -> Result<(), Failure> {
        let request = self.client(at.region).cancel_rotate_secret().secret_id(at.id);
        self.count("CancelRotateSecret", request.send().await).map(drop).map_err(refused)
    }

    /// When a version was made, labelled or not; `None` if AWS has none of that id, or it has no value yet.
    ///
    /// # Errors
    /// Any answer but that.
    pub async fn made(&self, at: Address<'_>, version: &VersionId) -> Result<Option<Timestamp>, Failure> {
        let request = self.client(at.region).get_secret_value().secret_id(at.id).version_id(version.as_str());
        match self.count("GetSecretValue", request.send().await) {
            Ok(output) => Ok(output.created_date().and_then(timestamp)),
            Err(fault) if fault.code.as_deref() == Some("ResourceNotFoundException") => Ok(None),
            Err(fault) => Err(fault.into_failure()),
        }
    }
}

fn refused(fault: Fault) -> Failure {
    let operation = fault.operation;
    // AWS has one code for everything that is wrong with the moment; a rotation that is under way is what can be wrong here.
    let under_way = fault.code.as_deref() == Some("InvalidRequestException") && fault.reason == Reason::AwsRefused;
    let uninvocable = operation == "RotateSecret" && fault.reason == Reason::AccessDenied;
    let failure = fault.into_failure();
    if under_way {
        let message =
            format!("{operation}: AWS answered InvalidRequestException: another rotation may be under way; the operator looks again");
        return Failure { class: Class::Conflict, reason: Reason::Progressing, message };
    }
    if uninvocable {
        let message = format!(
            "{operation}: AWS answered AccessDeniedException: check that the function's own policy lets secretsmanager.amazonaws.com invoke it \
             (aws lambda add-permission), and that the operator may call secretsmanager:RotateSecret and lambda:InvokeFunction; it tries again \
             by itself"
        );
        return Failure { message, ..failure };
    }
    failure
}
