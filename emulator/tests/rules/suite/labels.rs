//! `UpdateSecretVersionStage`: moving labels, and refusing to.

use super::wire::{name, token};
use super::{Rule, must, rule, same, timed};

pub(crate) const RULES: &[Rule] = &[
    rule("moving AWSCURRENT moves AWSPREVIOUS to the version it leaves", "R-LS test_update_secret_version_stages", |w| {
        let made = w.make()?;
        let next = w.put(&made.name, "next", Some(&["mine"]))?;
        w.shift(&made.name, "AWSCURRENT", Some(&made.first), Some(&next))?;
        w.labels_are(&made.name, &[(&made.first, &["AWSPREVIOUS"]), (&next, &["AWSCURRENT", "mine"])])
    }),
    rule("AWSPENDING stays on a version that becomes current", "R-MO UpdateSecretVersionStage", |w| {
        let made = w.make()?;
        let next = w.put(&made.name, "next", Some(&["AWSPENDING"]))?;
        w.shift(&made.name, "AWSCURRENT", Some(&made.first), Some(&next))?;
        w.labels_are(&made.name, &[(&made.first, &["AWSPREVIOUS"]), (&next, &["AWSCURRENT", "AWSPENDING"])])
    }),
    rule("moving AWSCURRENT takes AWSPREVIOUS from the version that had it", "M UpdateSecretVersionStage", |w| {
        let made = w.make()?;
        let second = w.put(&made.name, "2", None)?;
        let third = w.put(&made.name, "3", Some(&["AWSPENDING"]))?;
        w.shift(&made.name, "AWSCURRENT", Some(&second), Some(&third))?;
        w.labels_are(&made.name, &[(&second, &["AWSPREVIOUS"]), (&third, &["AWSCURRENT", "AWSPENDING"])])
    }),
    rule("moving AWSCURRENT back to the previous version swaps the two labels", "M UpdateSecretVersionStage", |w| {
        let made = w.make()?;
        let second = w.put(&made.name, "2", None)?;
        w.shift(&made.name, "AWSCURRENT", Some(&second), Some(&made.first))?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"]), (&second, &["AWSPREVIOUS"])])
    }),
    rule("a read without a selector follows a moved AWSCURRENT", "R-LS test_update_secret_version_stages", |w| {
        let made = w.make()?;
        let next = w.put(&made.name, "next", Some(&["AWSPENDING"]))?;
        w.shift(&made.name, "AWSCURRENT", Some(&made.first), Some(&next))?;
        let got = w.ok("GetSecretValue", serde_json::json!({"SecretId": made.name}))?;
        same(super::wire::text(&got, "VersionId"), next)
    }),
    rule("four two-phase rotations in a row leave one current and one previous version", "R-LS label cycles, TPL", |w| {
        let made = w.make()?;
        let (mut current, mut previous) = (made.first.clone(), String::new());
        for round in 0..4 {
            let next = w.put(&made.name, &round.to_string(), Some(&["AWSPENDING"]))?;
            w.shift(&made.name, "AWSCURRENT", Some(&current), Some(&next))?;
            w.shift(&made.name, "AWSPENDING", Some(&next), None)?;
            previous = std::mem::replace(&mut current, next);
        }
        w.labels_are(&made.name, &[(&previous, &["AWSPREVIOUS"]), (&current, &["AWSCURRENT"])])
    }),
    rule("AWSCURRENT does not move without naming the version it is on", "R-MO UpdateSecretVersionStage", |w| {
        let made = w.make()?;
        let next = w.put(&made.name, "next", Some(&["AWSPENDING"]))?;
        let refusal = w.shift_refused(&made.name, "AWSCURRENT", None, Some(&next))?;
        same(refusal.code, "InvalidParameterException".to_owned())?;
        let wanted = format!(
            "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version {}, so you must explicitly reference that version in RemoveFromVersionId.",
            made.first
        );
        same(refusal.message, wanted)
    }),
    rule("a label does not move from a version that it is not on, and nothing changes", "M UpdateSecretVersionStage", |w| {
        let made = w.make()?;
        let next = w.put(&made.name, "next", Some(&["AWSPENDING"]))?;
        let refusal = w.shift_refused(&made.name, "AWSCURRENT", Some(&next), Some(&next))?;
        same(refusal.code, "InvalidParameterException".to_owned())?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"]), (&next, &["AWSPENDING"])])
    }),
    rule("sending a promotion a second time is refused, and nothing changes", "M UpdateSecretVersionStage", |w| {
        let made = w.make()?;
        let next = w.put(&made.name, "next", Some(&["AWSPENDING"]))?;
        w.shift(&made.name, "AWSCURRENT", Some(&made.first), Some(&next))?;
        w.shift_refused(&made.name, "AWSCURRENT", Some(&made.first), Some(&next))?;
        w.labels_are(&made.name, &[(&made.first, &["AWSPREVIOUS"]), (&next, &["AWSCURRENT", "AWSPENDING"])])
    }),
    rule("AWSPENDING does not move without naming the version it is on", "M UpdateSecretVersionStage", |w| {
        let made = w.make()?;
        let one = w.put(&made.name, "1", Some(&["AWSPENDING"]))?;
        let refusal = w.shift_refused(&made.name, "AWSPENDING", None, Some(&made.first))?;
        same(refusal.code, "InvalidParameterException".to_owned())?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"]), (&one, &["AWSPENDING"])])
    }),
    rule("a label that is on no version goes anywhere without naming one", "M UpdateSecretVersionStage", |w| {
        let made = w.make()?;
        w.shift(&made.name, "mine", None, Some(&made.first))?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT", "mine"])])
    }),
    rule("AWSCURRENT does not move to a version that is not there, and nothing changes", "M UpdateSecretVersionStage", |w| {
        let made = w.make()?;
        w.shift_refused(&made.name, "AWSCURRENT", Some(&made.first), Some(&token()))?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"])])
    }),
    rule("AWSCURRENT cannot be taken off", "TF secret_version.go", |w| {
        let made = w.make()?;
        let refusal = w.shift_refused(&made.name, "AWSCURRENT", Some(&made.first), None)?;
        same(refusal.code, "InvalidParameterException".to_owned())?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"])])
    }),
    rule("AWSPENDING and labels of one's own can be taken off", "R-LS test_update_secret_version_stages custom_stages_3", |w| {
        let made = w.make()?;
        let next = w.put(&made.name, "next", Some(&["AWSPENDING", "mine"]))?;
        w.shift(&made.name, "AWSPENDING", Some(&next), None)?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"]), (&next, &["mine"])])?;
        w.shift(&made.name, "mine", Some(&next), None)?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"])])
    }),
    rule(
        "labels of one's own stay on the version that is demoted by a move",
        "R-LS test_update_secret_version_stages custom_stages_1",
        |w| {
            let made = w.make()?;
            w.shift(&made.name, "mine", None, Some(&made.first))?;
            let next = w.put(&made.name, "next", Some(&["AWSPENDING"]))?;
            w.shift(&made.name, "AWSCURRENT", Some(&made.first), Some(&next))?;
            w.labels_are(&made.name, &[(&made.first, &["AWSPREVIOUS", "mine"]), (&next, &["AWSCURRENT", "AWSPENDING"])])
        },
    ),
    rule("the answer to a move has the ARN and the name and no labels", "R-LS test_update_secret_version_stages", |w| {
        let made = w.make()?;
        let answer = w.shift(&made.name, "mine", None, Some(&made.first))?;
        same(answer, serde_json::json!({"ARN": made.arn, "Name": made.name}))
    }),
    rule("moving more labels to the versions of a secret than 20 is refused", "UG quotas", |w| {
        let made = w.make()?;
        let labels: Vec<String> = (0..19).map(|n| format!("l{n}")).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        w.put(&made.name, "x", Some(&labels))?;
        w.shift_refused(&made.name, "one-more", None, Some(&made.first)).map(drop)
    }),
    rule("a label of a secret that is not there does not move", "M UpdateSecretVersionStage", |w| {
        let refusal = w.shift_refused(&name(), "AWSCURRENT", Some(&token()), Some(&token()))?;
        same(refusal.code, "ResourceNotFoundException".to_owned())
    }),
    // At the emulator only, as other races: one that moto loses once in a thousand runs would say nothing.
    timed("of two racing promotions from the same version one wins", "M UpdateSecretVersionStage", |w, _| {
        let made = w.make()?;
        let one = w.put(&made.name, "1", Some(&["one"]))?;
        let two = w.put(&made.name, "2", Some(&["two"]))?;
        let racers: Vec<_> = [one, two]
            .into_iter()
            .map(|to| {
                let (w, name, from) = (w.clone(), made.name.clone(), made.first.clone());
                std::thread::spawn(move || w.shift(&name, "AWSCURRENT", Some(&from), Some(&to)).is_ok())
            })
            .collect();
        let won = racers.into_iter().filter_map(|racer| racer.join().ok()).filter(|won| *won).count();
        must(won == 1, format!("{won} won"))
    }),
];
