//! The version that the Secret holds, and the version that a rollback request names.

use super::token::bounded;
use crate::api::{AWSCURRENT, AWSPREVIOUS, TargetSpec};
use crate::version_id::VersionId;

/// The version of the AWS secret that the mirrored Secret holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// The version with the label AWSCURRENT.
    Current,
    /// The version with this staging label.
    Stage(String),
    /// The version with this ID.
    Version(VersionId),
}

impl Pin {
    pub(super) fn of(spec: &TargetSpec) -> Self {
        match (&spec.version_id, spec.version_stage.as_str()) {
            (Some(version), _) => Self::Version(VersionId::from(version.clone())),
            (None, AWSCURRENT) => Self::Current,
            (None, stage) => Self::Stage(stage.to_owned()),
        }
    }
}

/// The annotation `rotated-secrets.io/rollback`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackRequest {
    /// Distinguishes this request from all others.
    pub token: String,
    /// `None` if the text does not name a version.
    pub to: Option<RollbackTo>,
}

/// The version whose value is requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollbackTo {
    /// The version with the label AWSPREVIOUS when the request is carried out.
    Previous,
    /// The version with this ID.
    Version(VersionId),
}

impl RollbackRequest {
    /// Parses `<token>:<version id>` or `<token>:AWSPREVIOUS`. The token may contain colons, as a timestamp does; the
    /// version follows the last one. An empty annotation is no request. A text that cannot be parsed is a request whose
    /// token is the whole text, so that it can be answered.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let malformed = || Self { token: bounded(text), to: None };
        let Some((token, to)) = text.rsplit_once(':').filter(|(token, _)| !token.is_empty()) else { return Some(malformed()) };
        let to = match to {
            AWSPREVIOUS => RollbackTo::Previous,
            // The lengths that AWS allows.
            id if (32..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) => {
                RollbackTo::Version(VersionId::from(id))
            }
            _ => return Some(malformed()),
        };
        Some(Self { token: bounded(token), to: Some(to) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3e0c7d7e-9d2f-5f1c-8a11-57c54e0c9e6f";

    #[test]
    fn a_request_names_a_token_and_a_version_after_the_last_colon() {
        let parsed = |text: &str| RollbackRequest::parse(text).unwrap();
        let to = Some(RollbackTo::Version(VersionId::from(ID)));
        assert_eq!(parsed(&format!("t:{ID}")), RollbackRequest { token: "t".to_owned(), to: to.clone() });
        assert_eq!(parsed(&format!("2026-01-01T00:00:00Z:{ID}")), RollbackRequest { token: "2026-01-01T00:00:00Z".to_owned(), to });
        assert_eq!(parsed("t:AWSPREVIOUS").to, Some(RollbackTo::Previous));
    }

    #[test]
    fn what_cannot_be_understood_is_a_request_to_be_refused_and_nothing_is_none() {
        assert_eq!(RollbackRequest::parse(""), None);
        for text in ["t", ":AWSPREVIOUS", "t:", "t:AWSCURRENT", "t:too-short", &format!("t:{}", "x".repeat(65)), ID, &format!("t: {ID}")] {
            assert_eq!(RollbackRequest::parse(text), Some(RollbackRequest { token: text.to_owned(), to: None }), "{text}");
        }
        let long = RollbackRequest::parse(&"x".repeat(5000)).unwrap();
        assert!(long.token.len() <= 128 && long.to.is_none());
    }

    #[test]
    fn the_secret_holds_the_current_version_unless_it_is_pinned() {
        assert_eq!(Pin::of(&TargetSpec::default()), Pin::Current);
        let stage = TargetSpec { version_stage: "AWSPREVIOUS".to_owned(), ..TargetSpec::default() };
        assert_eq!(Pin::of(&stage), Pin::Stage("AWSPREVIOUS".to_owned()));
        let version = TargetSpec { version_id: Some(ID.to_owned()), ..TargetSpec::default() };
        assert_eq!(Pin::of(&version), Pin::Version(VersionId::from(ID)));
    }
}
