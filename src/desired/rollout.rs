//! `spec.rollout`: which workloads take up a new version, and for how long the previous credential stays valid.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use jiff::SignedDuration;

use crate::api::condition::Reason;
use crate::api::{CreationPolicy, ROLLED_OUT, RolloutFailurePolicy, RolloutSpec, RotatedSecretSpec, WorkloadRef};
use crate::refusal::Refusal;
use crate::schedule::parse_duration;
use crate::value::short_hash;

/// How long a rollout may take.
const TIMEOUTS: RangeInclusive<SignedDuration> = SignedDuration::from_mins(1)..=SignedDuration::from_hours(24);
/// How long the previous credential may stay valid.
const LONGEST_RETIREMENT: SignedDuration = SignedDuration::from_hours(720);
/// Maximum length of the name part of an annotation key.
const LONGEST_KEY: usize = 63;

/// How workloads take up a new version of the mirrored Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// The workloads; `None`: every one whose pod template refers to the Secret.
    pub workloads: Option<BTreeSet<WorkloadRef>>,
    /// After this time a rollout has failed.
    pub timeout: SignedDuration,
    /// Whether the previous value is restored then.
    pub rolls_back: bool,
    /// Whether a scheduled rotation waits while a workload is not healthy.
    pub requires_healthy: bool,
    /// How long the previous credential stays valid after the rollout.
    pub retire_after: SignedDuration,
}

impl Rollout {
    /// The declared one; `None`: none is declared, or not like this ([`refusal`]).
    pub(super) fn declared(spec: &RotatedSecretSpec) -> Option<Self> {
        parse(spec.rollout.as_ref()?).ok()
    }
}

fn parse(spec: &RolloutSpec) -> Result<Rollout, &'static str> {
    let timeout = parse_duration(&spec.timeout).ok().filter(|timeout| TIMEOUTS.contains(timeout));
    let retire_after = parse_duration(&spec.retire_after).ok().filter(|after| *after <= LONGEST_RETIREMENT);
    Ok(Rollout {
        workloads: spec.workloads.as_ref().map(|workloads| workloads.iter().cloned().collect()),
        timeout: timeout.ok_or(".timeout must be between 1m and 24h")?,
        rolls_back: spec.on_failure == RolloutFailurePolicy::RollBack,
        requires_healthy: spec.require_healthy,
        retire_after: retire_after.ok_or(".retireAfter must be at most 720h")?,
    })
}

/// Why the declared rollout cannot be carried out. CEL rejects it at admission; an older definition may lack a rule.
pub(super) fn refusal(spec: &RotatedSecretSpec) -> Option<Refusal> {
    let rollout = spec.rollout.as_ref()?;
    let by_aws = spec.rotation.as_ref().is_some_and(|rotation| rotation.lambda.is_some());
    let unmanaged = rollout.on_failure == RolloutFailurePolicy::RollBack && (spec.value.is_none() || by_aws);
    let rule = if spec.target.creation_policy == CreationPolicy::None {
        Some(" requires a mirrored Secret: remove spec.target.creationPolicy None, or remove spec.rollout")
    } else if unmanaged {
        Some(".onFailure RollBack requires spec.value and a rotation without lambda: use Hold")
    } else {
        parse(rollout).err()
    };
    rule.map(|rule| Refusal::new(Reason::InvalidSpec, format!("spec.rollout{rule}")))
}

/// Key of the annotation on pod templates that names the version of this Secret. The name of a Secret may be longer than the
/// name in a key.
pub fn annotation_key(secret: &str) -> String {
    if secret.len() <= LONGEST_KEY {
        return format!("{ROLLED_OUT}{secret}");
    }
    let hash = short_hash(secret.as_bytes());
    let kept: String = secret.chars().take(LONGEST_KEY.saturating_sub(hash.len()).saturating_sub(1)).collect();
    format!("{ROLLED_OUT}{}-{hash}", kept.trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(rollout: &str) -> RotatedSecretSpec {
        serde_json::from_str(&format!(r#"{{"value":{{"plainText":{{"type":"Password"}}}},"rollout":{rollout}}}"#)).unwrap()
    }

    #[test]
    fn the_smallest_rollout_has_safe_defaults() {
        let found = Rollout::declared(&spec("{}")).unwrap();
        assert_eq!((found.timeout, found.retire_after), (SignedDuration::from_mins(10), SignedDuration::ZERO));
        assert!(found.workloads.is_none() && found.requires_healthy && !found.rolls_back);
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused_with_the_name_of_the_field() {
        for (rollout, part) in [
            (r#"{"timeout":"59s"}"#, "timeout"),
            (r#"{"timeout":"25h"}"#, "timeout"),
            (r#"{"timeout":"1d"}"#, "timeout"),
            (r#"{"retireAfter":"721h"}"#, "retireAfter"),
            (r#"{"retireAfter":"soon"}"#, "retireAfter"),
        ] {
            let message = refusal(&spec(rollout)).unwrap().message;
            assert!(message.starts_with(&format!("spec.rollout.{part} must be")), "{message}");
        }
        assert_eq!(refusal(&spec(r#"{"onFailure":"RollBack"}"#)), None);
        let mirrored = RotatedSecretSpec { value: None, ..spec(r#"{"onFailure":"RollBack"}"#) };
        assert!(refusal(&mirrored).unwrap().message.contains("onFailure RollBack requires spec.value"));
        let mut unmirrored = spec("{}");
        unmirrored.target.creation_policy = CreationPolicy::None;
        assert!(refusal(&unmirrored).unwrap().message.contains("requires a mirrored Secret"));
    }

    #[test]
    fn the_annotation_of_any_secret_has_a_key_that_kubernetes_accepts() {
        assert_eq!(annotation_key("db-admin"), "versions.rotated-secrets.io/db-admin");
        let long = |end: &str| annotation_key(&format!("{}{end}", "a.".repeat(120)));
        let name = long("x").strip_prefix(ROLLED_OUT).unwrap().to_owned();
        assert!(name.len() <= LONGEST_KEY && name.ends_with(|last: char| last.is_ascii_alphanumeric()), "{name}");
        assert_ne!(long("x"), long("y"), "two long names have two keys");
    }
}
