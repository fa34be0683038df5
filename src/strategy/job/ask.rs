//! What a Job is asked to do, and how it is recognized.

use std::fmt::Write as _;

use jiff::SignedDuration;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::strategy::webhook::{ObjectName, Step};
use crate::value::short_hash;

/// One step for one version.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// What is asked for.
    pub step: Step,
    /// The object.
    pub object: ObjectName<'a>,
    /// The staged version, or the current one that is checked.
    pub version: &'a str,
    /// The current version, if the step gets its value beside the other one.
    pub current: Option<&'a str>,
    /// The CronJob.
    pub template: &'a str,
    /// How long the Job may take.
    pub timeout: SignedDuration,
}

/// Bytes of the object's name in that of a Job. With the rest it has at most 63, so that pods can have it as a label.
const LONGEST_PREFIX: usize = 34;

impl Ask<'_> {
    /// The name of the Job. The same for a repeated attempt, so that there are never two.
    pub fn name(&self) -> String {
        let step: &str = self.step.into();
        // A part of the name only tells people whose it is.
        let prefix: String = self.object.name.chars().take(LONGEST_PREFIX).map(|c| if c == '.' { '-' } else { c }).collect();
        let text = [self.object.uid, self.version, step].join("\n");
        let digest = Sha256::digest(text).iter().take(10).fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        format!("{}-{step}-{digest}", prefix.trim_end_matches('-'))
    }

    /// A hash of what the Job is made from, beside what its name says: the result of a Job counts for these only.
    pub(super) fn inputs(&self, job_template: &Value) -> String {
        short_hash(json!({"template": self.template, "current": self.current, "jobTemplate": job_template}).to_string().as_bytes())
    }

    /// Whether a success stays true until the version is current: a repeated question needs no other Job.
    pub(super) fn lasts(&self) -> bool {
        matches!(self.step, Step::Apply | Step::Verify | Step::Undo)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::strategy::job) fn ask(step: Step) -> Ask<'static> {
        Ask {
            step,
            object: ObjectName { namespace: "shop", name: "orders", uid: "u-1" },
            version: "v-2",
            current: Some("v-1"),
            template: "rotate-orders",
            timeout: SignedDuration::from_mins(5),
        }
    }

    #[test]
    fn the_name_follows_from_object_version_and_step_and_fits_a_label() {
        let plain = ask(Step::Apply);
        assert_eq!(plain.name(), ask(Step::Apply).name());
        assert!(plain.name().starts_with("orders-apply-"), "{}", plain.name());
        let others =
            [ask(Step::Verify), Ask { version: "v-3", ..plain }, Ask { object: ObjectName { uid: "u-2", ..plain.object }, ..plain }];
        for other in others {
            assert_ne!(other.name(), plain.name());
        }
        let same = [Ask { template: "another", ..plain }, Ask { timeout: SignedDuration::from_secs(30), ..plain }];
        for same in same {
            assert_eq!(same.name(), plain.name(), "never two Jobs of one step");
        }
        for object in ["a".repeat(200), format!("{}.", "a.".repeat(50)), "x".to_owned()] {
            let name = Ask { step: Step::Verify, object: ObjectName { name: &object, ..plain.object }, ..plain }.name();
            let is_label = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            assert!(name.len() <= 63 && is_label && !name.starts_with('-') && !name.contains("--"), "{name}");
        }
    }

    #[test]
    fn a_result_counts_for_its_template_and_its_current_version_only() {
        let (plain, template) = (ask(Step::Apply), json!({"spec": {}}));
        let inputs = plain.inputs(&template);
        assert_eq!(Ask { timeout: SignedDuration::from_secs(30), ..plain }.inputs(&template), inputs);
        for other in [Ask { template: "another", ..plain }, Ask { current: Some("v-0"), ..plain }, Ask { current: None, ..plain }] {
            assert_ne!(other.inputs(&template), inputs);
        }
        assert_ne!(plain.inputs(&json!({"spec": {"template": {}}})), inputs);
    }
}
