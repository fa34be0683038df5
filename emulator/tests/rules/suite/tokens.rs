//! Idempotency: what the same token means a second time.

use serde_json::json;

use super::wire::{name, text, token};
use super::{Rule, must, rule, same, timed};

const EXISTS: &[&str] = &["ResourceExistsException"];

pub(crate) const RULES: &[Rule] = &[
    rule("creating again with the same token and value is answered as the first time", "R-MO CreateSecret", |w| {
        let body = json!({"Name": name(), "ClientRequestToken": token(), "SecretString": "x"});
        let first = w.ok("CreateSecret", body.clone())?;
        same(w.ok("CreateSecret", body)?, first)
    }),
    rule("creating again with the same token and another value is refused as a token in use", "R-MO CreateSecret", |w| {
        let (name, token) = (name(), token());
        let made = w.ok("CreateSecret", json!({"Name": name, "ClientRequestToken": token, "SecretString": "x"}))?;
        let refusal = w.refused_as("CreateSecret", json!({"Name": name, "ClientRequestToken": token, "SecretString": "y"}), EXISTS)?;
        let wanted = format!(
            "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {}.",
            text(&made, "ARN")
        );
        same(refusal.message, wanted)
    }),
    rule("creating again with another token is refused as a name in use", "R-LS test_create_secret_twice", |w| {
        let made = w.make()?;
        let body = json!({"Name": made.name, "ClientRequestToken": token(), "SecretString": "first"});
        let refusal = w.refused_as("CreateSecret", body, EXISTS)?;
        same(refusal.message, format!("The operation failed because the secret {} already exists.", made.name))
    }),
    rule("putting again with the same token and value is a success that changes nothing", "R-MO PutSecretValue", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": token(), "SecretString": "x"});
        let first = w.ok("PutSecretValue", body.clone())?;
        let before = w.labels(&made.name)?;
        same(text(&w.ok("PutSecretValue", body)?, "VersionId"), text(&first, "VersionId"))?;
        same(w.labels(&made.name)?, before)
    }),
    rule("putting again with the same token and another value is refused", "R-MO PutSecretValue", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": made.first, "SecretString": "other"});
        let refusal = w.refused_as("PutSecretValue", body, EXISTS)?;
        let wanted = format!(
            "You can't use ClientRequestToken {} because that value is already in use for a version of secret {}.",
            made.first, made.arn
        );
        same(refusal.message, wanted)?;
        same(w.value(&made.name, "AWSCURRENT")?, "first".to_owned())
    }),
    rule("a pending version cannot be overwritten under its token", "M PutSecretValue ClientRequestToken", |w| {
        let made = w.make()?;
        let pending = w.put(&made.name, "one", Some(&["AWSPENDING"]))?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": pending, "SecretString": "two", "VersionStages": ["AWSPENDING"]});
        w.refused_as("PutSecretValue", body, EXISTS)?;
        same(w.value(&made.name, "AWSPENDING")?, "one".to_owned())
    }),
    rule(
        "a late replay of a put does not take labels from a version that was promoted meanwhile",
        "M PutSecretValue ClientRequestToken",
        |w| {
            let made = w.make()?;
            let next = token();
            let body = json!({"SecretId": made.name, "ClientRequestToken": next, "SecretString": "x", "VersionStages": ["AWSPENDING"]});
            w.ok("PutSecretValue", body.clone())?;
            w.shift(&made.name, "AWSCURRENT", Some(&made.first), Some(&next))?;
            w.ok("PutSecretValue", body)?;
            w.labels_are(&made.name, &[(&made.first, &["AWSPREVIOUS"]), (&next, &["AWSCURRENT", "AWSPENDING"])])
        },
    ),
    rule("a replay with other labels does not move them", "M PutSecretValue ClientRequestToken", |w| {
        let made = w.make()?;
        let next = w.put(&made.name, "x", None)?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": made.first, "SecretString": "first", "VersionStages": ["AWSCURRENT", "mine"]});
        w.ok("PutSecretValue", body)?;
        w.labels_are(&made.name, &[(&made.first, &["AWSPREVIOUS"]), (&next, &["AWSCURRENT"])])
    }),
    rule("updating with the token of a version and its value succeeds, against the model's words", "R-MO UpdateSecret", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": made.first, "SecretString": "first"});
        same(text(&w.ok("UpdateSecret", body)?, "VersionId"), made.first.clone())?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"])])
    }),
    rule("updating with the token of a version and another value is refused", "R-MO UpdateSecret", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": made.first, "SecretString": "other"});
        w.refused_as("UpdateSecret", body, EXISTS).map(drop)
    }),
    rule("text and bytes of the same content are different values", "INF from M SecretBinary", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": made.first, "SecretBinary": "Zmlyc3Q="});
        w.refused_as("PutSecretValue", body, EXISTS).map(drop)
    }),
    timed("of eight racing creations of one name one wins", "M CreateSecret", |w, _| {
        let name = name();
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let (w, name) = (w.clone(), name.clone());
                std::thread::spawn(move || {
                    w.raw("CreateSecret", &json!({"Name": name, "ClientRequestToken": token(), "SecretString": "x"}))
                })
            })
            .collect();
        let mut won = 0;
        for racer in racers {
            won += usize::from(racer.join().map_err(|_| "a racer died")??.status == 200);
        }
        same(won, 1)
    }),
    timed("eight racing puts leave one current and one previous version", "M PutSecretValue", |w, _| {
        let made = w.make()?;
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let (w, name) = (w.clone(), made.name.clone());
                std::thread::spawn(move || w.put(&name, "x", None))
            })
            .collect();
        for racer in racers {
            racer.join().map_err(|_| "a racer died")??;
        }
        let labels = w.labels(&made.name)?.into_values().flatten().collect::<Vec<_>>();
        must(
            labels.len() == 2 && labels.contains(&"AWSCURRENT".to_owned()) && labels.contains(&"AWSPREVIOUS".to_owned()),
            format!("{labels:?}"),
        )
    }),
];
