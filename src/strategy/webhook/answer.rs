//! What a receiver answers.

use serde::Deserialize;

use crate::strategy::{Problem, Refused, Unknown};

/// Why a step was not done, with the word of the receiver if it gave one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The closed word.
    pub problem: Problem,
    /// What the receiver calls it.
    pub reason: Option<ReceiverReason>,
}

impl<P: Into<Problem>> From<P> for Failure {
    fn from(problem: P) -> Self {
        Self { problem: problem.into(), reason: None }
    }
}

/// A word of the receiver: at most 64 ASCII letters, the first a capital. The only text of a target that conditions show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverReason(String);

const LONGEST: usize = 64;

impl ReceiverReason {
    fn parse(text: &str) -> Option<Self> {
        let is_word = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_alphabetic());
        (is_word && text.starts_with(|first: char| first.is_ascii_uppercase())).then(|| Self(text.to_owned()))
    }

    /// That of a Job, whose program gives a number.
    pub fn exit_code(code: u8) -> Self {
        Self(format!("ExitCode{code}"))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What can be answered with the status 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Outcome {
    Applied,
    AlreadyApplied,
    Verified,
    Undone,
    NothingToUndo,
    Accepted,
    Refused,
}

#[derive(Deserialize)]
struct Answer {
    outcome: Outcome,
    #[serde(default)]
    reason: Option<String>,
}

/// The outcome. `is_of_a_value`: whether a text is a part of a value that was sent, and so is not shown.
pub(super) fn read(status: u16, body: &[u8], is_of_a_value: impl Fn(&str) -> bool) -> Result<Outcome, Failure> {
    match status {
        200 => {}
        401 | 403 => return Err(Refused::ReceiverUnauthorized.into()),
        404 | 410 => return Err(Refused::ReceiverMissing.into()),
        408 | 429 | 500..=599 => return Err(Unknown::ServerUnavailable.into()),
        // Redirections among them: they are not followed.
        _ => return Err(Unknown::ProtocolViolation.into()),
    }
    let Answer { outcome, reason } = serde_json::from_slice(body).map_err(|_| Failure::from(Unknown::ProtocolViolation))?;
    if outcome != Outcome::Refused {
        return Ok(outcome);
    }
    let reason = reason.filter(|reason| !is_of_a_value(reason)).and_then(|reason| ReceiverReason::parse(&reason));
    Err(Failure { problem: Refused::ReceiverRefused.into(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_of_the_contract_with_the_status_200_are_an_answer() {
        let answer = |status, body: &str| read(status, body.as_bytes(), |_| false);
        assert_eq!(answer(200, r#"{"outcome":"Applied"}"#), Ok(Outcome::Applied));
        assert_eq!(answer(200, r#"{"outcome":"NothingToUndo","reason":"x","more":[1]}"#), Ok(Outcome::NothingToUndo));
        for body in
            ["", "OK", "{}", "[]", "null", r#"{"outcome":"applied"}"#, r#"{"outcome":7}"#, r#"{"outcome":"Applied"} x"#, "\u{feff}{}"]
        {
            assert_eq!(answer(200, body), Err(Unknown::ProtocolViolation.into()), "{body}");
        }
        let applied = r#"{"outcome":"Applied"}"#;
        for (status, expected) in [
            (201, Problem::from(Unknown::ProtocolViolation)),
            (204, Unknown::ProtocolViolation.into()),
            (301, Unknown::ProtocolViolation.into()),
            (307, Unknown::ProtocolViolation.into()),
            (400, Unknown::ProtocolViolation.into()),
            (401, Refused::ReceiverUnauthorized.into()),
            (403, Refused::ReceiverUnauthorized.into()),
            (404, Refused::ReceiverMissing.into()),
            (410, Refused::ReceiverMissing.into()),
            (408, Unknown::ServerUnavailable.into()),
            (429, Unknown::ServerUnavailable.into()),
            (500, Unknown::ServerUnavailable.into()),
            (503, Unknown::ServerUnavailable.into()),
            (999, Unknown::ProtocolViolation.into()),
        ] {
            assert_eq!(answer(status, applied), Err(expected.into()), "{status}");
        }
    }

    #[test]
    fn a_reason_is_a_bounded_word_and_no_part_of_a_value() {
        let reason = |reason: &str| {
            let body = serde_json::json!({"outcome": "Refused", "reason": reason}).to_string();
            let failure = read(200, body.as_bytes(), |text| text == "CorrectHorse").unwrap_err();
            assert_eq!(failure.problem, Refused::ReceiverRefused.into());
            failure.reason.map(|reason| reason.as_str().to_owned())
        };
        for word in ["QuotaExceeded", "X", &"A".repeat(64)] {
            assert_eq!(reason(word).as_deref(), Some(word));
        }
        for text in ["", "quota", "Quota exceeded", "Quota1", "Über", "A\n", "<b>", &"A".repeat(65), "CorrectHorse"] {
            assert_eq!(reason(text), None, "{text}");
        }
        let without = read(200, br#"{"outcome":"Refused"}"#, |_| false).unwrap_err();
        assert_eq!(without, Refused::ReceiverRefused.into());
    }
}
