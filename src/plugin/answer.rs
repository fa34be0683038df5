//! Result of `rotate`, `rollback` and `refresh`.

use serde::Serialize;

use super::args::OutputArgs;
use super::connect::Session;
use super::output::{self, Page};
use super::progress::Steps;
use super::restored::Restored;
use super::{Exit, Trouble};

/// Outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Outcome {
    /// Requested with `--no-wait`.
    Requested,
    /// The request was carried out.
    Done,
    /// `--dry-run`: nothing was requested.
    DryRun,
    /// The version is current in AWS, and the Secret will not hold it until a user acts.
    NotMirrored,
    /// The Secret holds the version, and workloads do not run with it.
    NotRolledOut,
    /// The request was not carried out and will not be until a user acts.
    Refused,
    /// The request was not carried out in time, and may still be.
    TimedOut,
    /// The user interrupted the command.
    Interrupted,
    /// The request was removed from the object.
    Withdrawn,
    /// There was no request to withdraw.
    NothingToWithdraw,
}

impl Outcome {
    pub(super) fn exit(self) -> Exit {
        Exit::fine_if(matches!(self, Self::Requested | Self::Done | Self::DryRun | Self::Withdrawn | Self::NothingToWithdraw))
    }
}

/// The fields of `-o json` of these commands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Absent if nothing was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
    pub(super) outcome: Outcome,
    /// The version that a rotate or rollback request creates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version_id: Option<String>,
    /// For a rollback: the version whose value is restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restores: Option<Restored>,
    /// For a rotate or rollback request: its progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) steps: Option<Steps>,
    pub(super) message: String,
    /// The command that withdraws the request, as long as it is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) withdraw: Option<String>,
}

impl Answer {
    /// An answer without a request.
    pub(super) fn unasked(session: &Session, name: &str, outcome: Outcome, message: String) -> Self {
        Self {
            namespace: session.namespace.clone(),
            name: name.to_owned(),
            token: None,
            outcome,
            version_id: None,
            restores: None,
            steps: None,
            message,
            withdraw: None,
        }
    }

    /// Prints the answer. Without a format, a failure goes to standard error.
    pub(super) fn give(&self, out: &OutputArgs) -> Result<Exit, Trouble> {
        let exit = self.outcome.exit();
        let withdraw =
            self.withdraw.as_ref().map_or_else(String::new, |command| format!(" (the request stays; to withdraw it: {command})"));
        if !out.is_text() {
            output::emit(out, self, Page::default)?;
        } else if self.outcome == Outcome::Done {
            // Already shown as the last step.
        } else if exit == Exit::Fine {
            output::write(&Page::of(&format!("{}{withdraw}", self.message)))?;
        } else {
            return Err(Trouble::wrong(format!("{}{withdraw}", self.message)));
        }
        Ok(exit)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn machines_get_stable_fields() {
        let answer = Answer {
            namespace: "shop".to_owned(),
            name: "db".to_owned(),
            token: Some("t".to_owned()),
            outcome: Outcome::TimedOut,
            version_id: Some("v".to_owned()),
            restores: None,
            steps: Some(Steps { requested: true, ..Steps::default() }),
            message: "why".to_owned(),
            withdraw: Some("kubectl".to_owned()),
        };
        assert_eq!(
            serde_json::to_value(answer).unwrap(),
            json!({"namespace": "shop", "name": "db", "token": "t", "outcome": "TimedOut", "versionId": "v",
                "steps": {"requested": true, "current": false, "mirrored": false, "ready": false}, "message": "why", "withdraw": "kubectl"})
        );
    }

    #[test]
    fn only_what_happened_or_was_only_asked_for_ends_well() {
        for (outcome, exit) in [
            (Outcome::Requested, Exit::Fine),
            (Outcome::Done, Exit::Fine),
            (Outcome::DryRun, Exit::Fine),
            (Outcome::Withdrawn, Exit::Fine),
            (Outcome::NothingToWithdraw, Exit::Fine),
            (Outcome::NotMirrored, Exit::Wrong),
            (Outcome::NotRolledOut, Exit::Wrong),
            (Outcome::Refused, Exit::Wrong),
            (Outcome::TimedOut, Exit::Wrong),
            (Outcome::Interrupted, Exit::Wrong),
        ] {
            assert_eq!(outcome.exit(), exit, "{outcome:?}");
        }
    }
}
