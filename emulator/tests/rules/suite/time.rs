//! What only time shows, and what only switches show: for the emulator alone.

use std::time::Duration;

use emulator::{Emulator, Quotas};
use serde_json::{Value, json};

use super::wire::{Wire, name, token};
use super::{Broken, Rule, must, same, timed};

fn fill(w: &Wire, secret: &str, count: usize) -> Result<(), Broken> {
    for n in 0..count {
        w.put(secret, &n.to_string(), None)?;
    }
    Ok(())
}

fn all_versions(w: &Wire, secret: &str) -> Result<usize, Broken> {
    let mut count = 0;
    let mut body = json!({"SecretId": secret, "IncludeDeprecated": true});
    loop {
        let page = w.ok("ListSecretVersionIds", body.clone())?;
        count += page["Versions"].as_array().map_or(0, Vec::len);
        if page["NextToken"].is_null() {
            return Ok(count);
        }
        body["NextToken"] = page["NextToken"].clone();
    }
}

fn listed(w: &Wire, name: &str) -> Result<usize, Broken> {
    let answer = w.ok("ListSecrets", json!({"Filters": [{"Key": "name", "Values": [name]}]}))?;
    Ok(answer["SecretList"].as_array().map_or(0, Vec::len))
}

fn hours(e: &Emulator, count: u64) {
    e.clock().advance(Duration::from_hours(count));
}

pub(crate) const RULES: &[Rule] = &[
    timed("a secret has at most as many versions younger than a day as ten minutes make of it", "M PutSecretValue, UG quotas", |w, _| {
        let made = w.make()?;
        fill(w, &made.name, 143)?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": token(), "SecretString": "x"});
        w.refused_as("PutSecretValue", body, &["LimitExceededException"])?;
        same(all_versions(w, &made.name)?, 144)
    }),
    timed("beyond 100 versions a new one takes the place of the oldest one without a label after a day", "M PutSecretValue", |w, e| {
        let made = w.make()?;
        fill(w, &made.name, 99)?;
        hours(e, 24);
        let newest = w.put(&made.name, "newest", None)?;
        same(all_versions(w, &made.name)?, 100)?;
        w.refused("GetSecretValue", json!({"SecretId": made.name, "VersionId": made.first}))?;
        must(w.labels(&made.name)?.contains_key(&newest), "the newest is not there")
    }),
    timed("a version with a label is never removed to make room", "M PutSecretValue", |w, e| {
        let made = w.make()?;
        w.shift(&made.name, "keep", None, Some(&made.first))?;
        fill(w, &made.name, 99)?;
        hours(e, 24);
        fill(w, &made.name, 5)?;
        same(w.value(&made.name, "keep")?, "first".to_owned())
    }),
    timed("a put every ten minutes never meets the limit", "M PutSecretValue", |w, e| {
        let made = w.make()?;
        for n in 0..300 {
            e.clock().advance(Duration::from_mins(10));
            w.put(&made.name, &n.to_string(), None)?;
        }
        Ok(())
    }),
    timed("a secret is gone when its window is over, and not before", "M DeleteSecret", |w, e| {
        let made = w.make()?;
        w.ok("DeleteSecret", json!({"SecretId": made.name, "RecoveryWindowInDays": 7}))?;
        hours(e, 7 * 24 - 1);
        w.describe(&made.name)?;
        hours(e, 1);
        w.refused_as("DescribeSecret", json!({"SecretId": made.name}), &["ResourceNotFoundException"])?;
        let again = w.make_as(&made.name, json!({}))?;
        must(again.arn != made.arn, "the ARN is the same")
    }),
    timed("a restored secret outlives its former window", "M RestoreSecret", |w, e| {
        let made = w.make()?;
        w.ok("DeleteSecret", json!({"SecretId": made.name, "RecoveryWindowInDays": 7}))?;
        hours(e, 24);
        w.ok("RestoreSecret", json!({"SecretId": made.name}))?;
        hours(e, 30 * 24);
        w.describe(&made.name).map(drop)
    }),
    timed("a name that was deleted by force can be created again after some seconds, with another ARN", "R-LS comment", |w, e| {
        let made = w.make()?;
        w.ok("DeleteSecret", json!({"SecretId": made.name, "ForceDeleteWithoutRecovery": true}))?;
        e.clock().advance(Duration::from_secs(10));
        let again = w.make_as(&made.name, json!({}))?;
        must(again.arn != made.arn, "the ARN is the same")
    }),
    timed("a list can lag by five minutes, and other reads do not", "M ListSecrets", |w, e| {
        e.set_list_lag(Duration::from_mins(5));
        let made = w.make()?;
        same(listed(w, &made.name)?, 0)?;
        w.describe(&made.name)?;
        e.clock().advance(Duration::from_secs(301));
        same(listed(w, &made.name)?, 1)
    }),
    timed("the 51st write of a second is throttled, across operations of one group", "UG quotas", |w, e| {
        let made = w.make()?;
        e.set_quotas(Quotas::Real);
        for _ in 0..25 {
            w.put(&made.name, "x", None)?;
            w.ok("UpdateSecret", json!({"SecretId": made.name, "ClientRequestToken": token(), "Description": "x"}))?;
        }
        let body = json!({"SecretId": made.name, "VersionStage": "mine", "MoveToVersionId": made.first});
        w.refused_as("UpdateSecretVersionStage", body, &["ThrottlingException"])?;
        w.value(&made.name, "AWSCURRENT")?;
        e.clock().advance(Duration::from_secs(1));
        w.put(&made.name, "x", None).map(drop)
    }),
    timed("each Region has a quota of its own", "UG quotas", |w, e| {
        e.set_quotas(Quotas::Scaled(0.02));
        w.make()?;
        let body = json!({"Name": name(), "ClientRequestToken": token(), "SecretString": "x"});
        w.refused_as("CreateSecret", body, &["ThrottlingException"])?;
        w.in_region("eu-west-1").make().map(drop)
    }),
    timed("LastAccessedDate is the day of the last read", "R-LS test_last_accessed_date", |w, e| {
        let made = w.make()?;
        w.value(&made.name, "AWSCURRENT")?;
        let first = w.describe(&made.name)?["LastAccessedDate"].clone();
        hours(e, 3);
        w.value(&made.name, "AWSCURRENT")?;
        same(&w.describe(&made.name)?["LastAccessedDate"], &first)?;
        hours(e, 24);
        w.value(&made.name, "AWSCURRENT")?;
        must(w.describe(&made.name)?["LastAccessedDate"] != first, "it is as before")
    }),
    timed("a refused write is no change", "M LastChangedDate", |w, e| {
        let made = w.make()?;
        let before: Value = w.describe(&made.name)?;
        hours(e, 1);
        w.refused("PutSecretValue", json!({"SecretId": made.name, "ClientRequestToken": made.first, "SecretString": "other"}))?;
        w.shift_refused(&made.name, "AWSCURRENT", Some(&made.first), None)?;
        same(w.describe(&made.name)?, before)
    }),
];
