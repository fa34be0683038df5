//! Rotation by AWS with a function: states, retries, left-overs and dates. What AWS recorded of it is little, so most of it is from the user
//! guide; how often and after which pauses AWS tries again is not said anywhere.

use std::sync::Arc;
use std::time::Duration;

use emulator::function::KeepUsername;
use emulator::{Emulator, ExternalWriter, Invocation, RotationFunction, RotationStep};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::wire::{Made, Wire, name, token};
use super::{Broken, Rule, must, same, timed};

pub(crate) const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:rotate";
pub(crate) const VALUE: &str = r#"{"username":"admin","password":"first"}"#;

/// A secret, and a function that works.
fn ready(w: &Wire, e: &Emulator) -> Result<(Made, Arc<KeepUsername>), Broken> {
    let function = KeepUsername::new();
    e.set_rotation_function(FUNCTION, Some(Arc::clone(&function) as Arc<dyn RotationFunction>));
    Ok((w.make_as(&name(), json!({"SecretString": VALUE}))?, function))
}

/// Turns rotation on and returns the version that will be created.
pub(crate) fn rotate(w: &Wire, secret: &str, more: Value) -> Result<String, Broken> {
    let id = token();
    let mut body = json!({"SecretId": secret, "ClientRequestToken": id, "RotationLambdaARN": FUNCTION});
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    w.ok("RotateSecret", body)?;
    Ok(id)
}

/// What is due by the clock happens.
fn go_on(e: &Emulator) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(e.run_rotations());
}

fn wait(e: &Emulator, time: Duration) {
    e.clock().advance(time);
    go_on(e);
}

fn told(e: &Emulator) -> Vec<&'static str> {
    e.rotation_events().iter().map(|event| event.event_name).collect()
}

fn date(described: &Value, member: &str) -> Option<String> {
    #[allow(clippy::cast_possible_truncation)] // seconds of our time
    described[member].as_f64().map(|seconds| Timestamp::from_second(seconds as i64).unwrap().to_string())
}

pub(crate) const CURRENT: &[&str] = &["AWSCURRENT"];
pub(crate) const PENDING: &[&str] = &["AWSPENDING"];
pub(crate) const PREVIOUS: &[&str] = &["AWSPREVIOUS"];

pub(crate) const RULES: &[Rule] = &[
    timed("a rotation begins with a pending version that has no value", "M RotateSecret, R-LS test_rotate_secret_with_lambda", |w, e| {
        let (made, _) = ready(w, e)?;
        let new = rotate(w, &made.name, json!({}))?;
        w.labels_are(&made.name, &[(&made.first, CURRENT), (&new, PENDING)])?;
        w.refused_as("GetSecretValue", json!({"SecretId": made.name, "VersionId": new}), &["ResourceNotFoundException"])?;
        let listed = w.ok("ListSecretVersionIds", json!({"SecretId": made.name, "IncludeDeprecated": true}))?;
        same(listed["Versions"].as_array().map(Vec::len), Some(1))?;
        same(w.value(&made.name, "AWSCURRENT")?, VALUE.to_owned())
    }),
    timed("the function is called for four steps, and then the new version is current", "UG how rotation works, TPL", |w, e| {
        let (made, function) = ready(w, e)?;
        let new = rotate(w, &made.name, json!({"RotationRules": {"AutomaticallyAfterDays": 30}}))?;
        go_on(e);
        same(function.take_calls(), RotationStep::ALL.to_vec())?;
        w.labels_are(&made.name, &[(&made.first, PREVIOUS), (&new, CURRENT)])?;
        let value: Value = serde_json::from_str(&w.value(&made.name, "AWSCURRENT")?).unwrap_or_default();
        must(value["username"] == "admin" && value["password"] != "first", "the password is not new")?;
        let described = w.describe(&made.name)?;
        same(date(&described, "LastRotatedDate"), Some("2026-05-05T12:00:00Z".to_owned()))?;
        same(date(&described, "NextRotationDate"), Some("2026-06-04T23:59:59Z".to_owned()))?;
        same(told(e), vec!["RotationStarted", "RotationSucceeded"])
    }),
    timed("a rotation is not begun twice", "M RotateSecret, TF issue 35023", |w, e| {
        let (made, _) = ready(w, e)?;
        let new = rotate(w, &made.name, json!({}))?;
        let again = json!({"SecretId": made.name, "ClientRequestToken": token()});
        w.refused_as("RotateSecret", again, &["InvalidRequestException"])?;
        go_on(e);
        // Nor with the token of a version that there is.
        w.refused_as("RotateSecret", json!({"SecretId": made.name, "ClientRequestToken": new}), &["ResourceExistsException"]).map(drop)
    }),
    timed("wherever the function fails, the old value stays current and the new one pending", "UG how rotation works", |w, e| {
        for (step, filled) in RotationStep::ALL.into_iter().zip([false, true, true, true]) {
            let (made, function) = ready(w, e)?;
            function.fail_at(Some(step));
            let new = rotate(w, &made.name, json!({}))?;
            go_on(e);
            w.labels_are(&made.name, &[(&made.first, CURRENT), (&new, PENDING)])?;
            let read = w.raw("GetSecretValue", &json!({"SecretId": made.name, "VersionId": new}))?;
            same((step, read.status == 200), (step, filled))?;
            let error = e.rotation_events().pop().and_then(|event| event.error_message).unwrap_or_default();
            must(error.starts_with("Error when executing lambda") && error.contains(step.as_str()), error)?;
            must(w.describe(&made.name)?["LastRotatedDate"].is_null(), "it did not rotate")?;
        }
        Ok(())
    }),
    timed("a failed rotation is tried again from the first step, and comes out", "UG how rotation works", |w, e| {
        let (made, function) = ready(w, e)?;
        function.fail_at(Some(RotationStep::TestSecret));
        let new = rotate(w, &made.name, json!({}))?;
        go_on(e);
        function.take_calls();
        go_on(e);
        same(function.take_calls(), vec![])?;
        function.fail_at(None);
        wait(e, Duration::from_mins(1));
        same(function.take_calls(), RotationStep::ALL.to_vec())?;
        w.labels_are(&made.name, &[(&made.first, PREVIOUS), (&new, CURRENT)])
    }),
    timed("after some tries AWS leaves it until the next window, and the date is in the past", "M NextRotationDate, INF", |w, e| {
        let (made, function) = ready(w, e)?;
        function.fail_at(Some(RotationStep::SetSecret));
        rotate(w, &made.name, json!({"RotationRules": {"AutomaticallyAfterDays": 1}, "RotateImmediately": false}))?;
        go_on(e);
        wait(e, Duration::from_hours(12));
        let new = w.labels(&made.name)?.into_iter().find(|(_, labels)| labels == PENDING).map(|(id, _)| id).ok_or("nothing pending")?;
        for _ in 0..60 {
            wait(e, Duration::from_mins(1));
        }
        same(function.take_calls().iter().filter(|step| **step == RotationStep::SetSecret).count(), 5)?;
        wait(e, Duration::from_hours(22));
        same(date(&w.describe(&made.name)?, "NextRotationDate"), Some("2026-05-06T23:59:59Z".to_owned()))?;
        same(function.take_calls(), vec![])?;
        // The same version is tried again when the next window opens.
        function.fail_at(None);
        wait(e, Duration::from_hours(1));
        w.labels_are(&made.name, &[(&made.first, PREVIOUS), (&new, CURRENT)])?;
        same(date(&w.describe(&made.name)?, "NextRotationDate"), Some("2026-05-08T23:59:59Z".to_owned()))
    }),
    timed("not at once means a test with a copy of the current value, which leaves nothing", "M RotateImmediately, R-MO", |w, e| {
        let (made, function) = ready(w, e)?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": token(), "RotationLambdaARN": FUNCTION, "RotateImmediately": false});
        let answer = w.ok("RotateSecret", body)?;
        must(answer["VersionId"].is_null(), "no version is rotated to")?;
        same(w.value(&made.name, "AWSPENDING")?, VALUE.to_owned())?;
        go_on(e);
        same(function.take_calls(), vec![RotationStep::TestSecret])?;
        w.labels_are(&made.name, &[(&made.first, CURRENT)])?;
        let described = w.describe(&made.name)?;
        must(described["RotationEnabled"] == true && described["LastRotatedDate"].is_null(), "rotation is on, and did not happen")?;
        same(told(e), vec!["TestRotationStarted", "TestRotationSucceeded"])
    }),
    timed("a test that fails leaves nothing either, and rotation stays on", "UG service events", |w, e| {
        let (made, function) = ready(w, e)?;
        function.fail_at(Some(RotationStep::TestSecret));
        rotate(w, &made.name, json!({"RotateImmediately": false}))?;
        go_on(e);
        w.labels_are(&made.name, &[(&made.first, CURRENT)])?;
        same(w.describe(&made.name)?["RotationEnabled"].as_bool(), Some(true))?;
        same(told(e), vec!["TestRotationStarted", "TestRotationFailed"])
    }),
    timed("a value that somebody puts abandons the rotation", "UG RotationAbandoned", |w, e| {
        let (made, function) = ready(w, e)?;
        let new = rotate(w, &made.name, json!({}))?;
        let theirs = w.put(&made.name, VALUE, None)?;
        go_on(e);
        same(function.take_calls(), vec![])?;
        w.labels_are(&made.name, &[(&made.first, PREVIOUS), (&theirs, CURRENT)])?;
        same(told(e), vec!["RotationStarted", "RotationAbandoned"])?;
        must(new != theirs, "one version")?;
        // And another one can begin.
        rotate(w, &made.name, json!({})).map(drop)
    }),
    timed("without AWSPENDING the rotation is abandoned", "UG RotationAbandoned", |w, e| {
        let (made, function) = ready(w, e)?;
        function.fail_at(Some(RotationStep::SetSecret));
        let new = rotate(w, &made.name, json!({}))?;
        go_on(e);
        w.shift(&made.name, "AWSPENDING", Some(&new), None)?;
        function.take_calls();
        wait(e, Duration::from_mins(1));
        same(function.take_calls(), vec![])?;
        rotate(w, &made.name, json!({})).map(drop)
    }),
    timed("cancelling leaves AWSPENDING and the rules, and nothing goes on", "M CancelRotateSecret", |w, e| {
        let (made, function) = ready(w, e)?;
        let new = rotate(w, &made.name, json!({"RotationRules": {"AutomaticallyAfterDays": 30}}))?;
        let answer = w.ok("CancelRotateSecret", json!({"SecretId": made.name}))?;
        same(answer["VersionId"].as_str(), Some(new.as_str()))?;
        wait(e, Duration::from_hours(24 * 40));
        same(function.take_calls(), vec![])?;
        w.labels_are(&made.name, &[(&made.first, CURRENT), (&new, PENDING)])?;
        let described = w.describe(&made.name)?;
        same(described["RotationEnabled"].as_bool(), Some(false))?;
        same(described["RotationRules"]["AutomaticallyAfterDays"].as_i64(), Some(30))?;
        must(described["NextRotationDate"].is_null(), "a date")?;
        // A label that was left blocks the next rotation until it is removed.
        let again = json!({"SecretId": made.name, "ClientRequestToken": token()});
        w.refused_as("RotateSecret", again, &["InvalidRequestException"])?;
        w.shift(&made.name, "AWSPENDING", Some(&new), None)?;
        rotate(w, &made.name, json!({})).map(drop)
    }),
    timed("AWS rotates by itself when the window opens", "UG rotation schedules", |w, e| {
        let (made, function) = ready(w, e)?;
        let rules = json!({"ScheduleExpression": "rate(12 hours)", "Duration": "2h"});
        rotate(w, &made.name, json!({"RotationRules": rules, "RotateImmediately": false}))?;
        go_on(e);
        function.take_calls();
        same(date(&w.describe(&made.name)?, "NextRotationDate"), Some("2026-05-06T01:59:59Z".to_owned()))?;
        wait(e, Duration::from_secs(12 * 3600 - 1));
        same(function.take_calls(), vec![])?;
        wait(e, Duration::from_secs(1));
        same(function.take_calls(), RotationStep::ALL.to_vec())?;
        same(date(&w.describe(&made.name)?, "NextRotationDate"), Some("2026-05-06T13:59:59Z".to_owned()))?;
        must(w.labels(&made.name)?.get(&made.first).is_some_and(|labels| labels == PREVIOUS), "no new version")
    }),
    timed(
        "a value put by hand is a rotation where days are counted, and none where moments are named",
        "M AutomaticallyAfterDays",
        |w, e| {
            for (rules, moved) in [
                (json!({"AutomaticallyAfterDays": 10}), "2026-05-19T23:59:59Z"),
                (json!({"ScheduleExpression": "cron(0 8 15 * ? *)"}), "2026-05-15T23:59:59Z"),
            ] {
                let (made, _) = ready(w, e)?;
                e.clock().set("2026-05-05T12:00:00Z".parse().unwrap());
                rotate(w, &made.name, json!({"RotationRules": rules, "RotateImmediately": false}))?;
                wait(e, Duration::from_hours(96));
                w.put(&made.name, VALUE, None)?;
                same(date(&w.describe(&made.name)?, "NextRotationDate"), Some(moved.to_owned()))?;
            }
            Ok(())
        },
    ),
    timed("after a rotation a number of days is shown beside an expression", "M AutomaticallyAfterDays, TF rotation flatten", |w, e| {
        let (made, _) = ready(w, e)?;
        let rules = json!({"ScheduleExpression": "rate(10 days)"});
        rotate(w, &made.name, json!({"RotationRules": rules}))?;
        same(w.describe(&made.name)?["RotationRules"].clone(), rules)?;
        go_on(e);
        let shown = w.describe(&made.name)?["RotationRules"].clone();
        same(shown, json!({"ScheduleExpression": "rate(10 days)", "AutomaticallyAfterDays": 10}))?;
        // And the rules as they are shown are still good.
        rotate(w, &made.name, json!({})).map(drop)
    }),
    timed("a function that can no longer be invoked, or that does not promote, fails the rotation", "UG troubleshoot rotation", |w, e| {
        let (made, function) = ready(w, e)?;
        rotate(w, &made.name, json!({}))?;
        e.set_rotation_function(FUNCTION, None);
        // Without a function nothing is checked.
        e.set_rotation_function("arn:aws:lambda:us-east-1:123456789012:function:other", Some(function as Arc<dyn RotationFunction>));
        go_on(e);
        same(told(e), vec!["RotationStarted", "RotationFailed"])?;
        e.set_rotation_function(FUNCTION, Some(Arc::new(Lazy)));
        let (lazy, ..) = (w.make_as(&name(), json!({"SecretString": VALUE}))?,);
        let new = rotate(w, &lazy.name, json!({}))?;
        go_on(e);
        w.labels_are(&lazy.name, &[(&lazy.first, CURRENT), (&new, PENDING)])
    }),
    timed("AWS's template leaves AWSPENDING on the new version, and AWS takes it off", "TPL, R-MO", |w, e| {
        let (made, _) = ready(w, e)?;
        let new = rotate(w, &made.name, json!({}))?;
        go_on(e);
        // A left-over on the current version blocks nothing.
        w.labels_are(&made.name, &[(&made.first, PREVIOUS), (&new, CURRENT)])?;
        w.shift(&made.name, "AWSPENDING", None, Some(&new))?;
        rotate(w, &made.name, json!({})).map(drop)
    }),
    timed("a secret that waits for deletion is not rotated, and one that was restored is", "INF", |w, e| {
        let (made, function) = ready(w, e)?;
        rotate(w, &made.name, json!({"RotationRules": {"AutomaticallyAfterDays": 1}, "RotateImmediately": false}))?;
        go_on(e);
        function.take_calls();
        w.ok("DeleteSecret", json!({"SecretId": made.name, "RecoveryWindowInDays": 7}))?;
        wait(e, Duration::from_hours(24));
        same(function.take_calls(), vec![])?;
        w.ok("RestoreSecret", json!({"SecretId": made.name}))?;
        go_on(e);
        same(function.take_calls(), RotationStep::ALL.to_vec())
    }),
];

/// Says yes and does nothing.
struct Lazy;

impl RotationFunction for Lazy {
    fn invoke<'a>(&'a self, _: &'a ExternalWriter, _: &'a Invocation) -> BoxFuture<'a, Result<(), String>> {
        std::future::ready(Ok(())).boxed()
    }
}
