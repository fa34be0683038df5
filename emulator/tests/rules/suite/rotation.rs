//! AWS-driven rotation, as far as it goes without a function; with one: `functions`.

use serde_json::{Value, json};

use super::wire::{Wire, token};
use super::{Broken, Rule, must, rule, same};

const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:nobody";

fn rotate(secret: &str, rules: &Value) -> Value {
    let mut body = json!({"SecretId": secret, "ClientRequestToken": token(), "RotationLambdaARN": FUNCTION});
    if !rules.is_null() {
        body["RotationRules"] = rules.clone();
    }
    body
}

/// These rules are refused as such; good ones come as far as the function that is not there.
fn refuses(w: &Wire, rules: &[Value]) -> Result<(), Broken> {
    let made = w.make()?;
    for rules in rules {
        let refusal = w.refused("RotateSecret", rotate(&made.name, rules))?;
        let fits = ["InvalidParameterException", "ValidationException"].contains(&refusal.code.as_str());
        must(fits, format!("{rules} was answered with {refusal:?}"))?;
    }
    Ok(())
}

fn accepts(w: &Wire, rules: &[Value]) -> Result<(), Broken> {
    let made = w.make()?;
    for rules in rules {
        let refusal = w.refused("RotateSecret", rotate(&made.name, rules))?;
        must(refusal.code == "AccessDeniedException", format!("{rules} was answered with {refusal:?}"))?;
    }
    Ok(())
}

fn schedule(expression: &str) -> Value {
    json!({"ScheduleExpression": expression})
}

pub(crate) const RULES: &[Rule] = &[
    rule("a secret without a function cannot be rotated by AWS, and nothing changes", "R-LS test_rotate_secret_without_lambda", |w| {
        let made = w.make()?;
        let body = json!({"SecretId": made.name, "ClientRequestToken": token()});
        let refusal = w.refused_as("RotateSecret", body, &["InvalidRequestException"])?;
        same(refusal.message, "No Lambda rotation function ARN is associated with this secret.".to_owned())?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"])])
    }),
    rule("a function that cannot be invoked is refused, and nothing changes", "R-LS test_rotate_secret_invalid_lambda_arn", |w| {
        let made = w.make()?;
        let refusal = w.refused_as("RotateSecret", rotate(&made.name, &Value::Null), &["AccessDeniedException"])?;
        must(refusal.message.starts_with("Secrets Manager cannot invoke the specified Lambda function."), refusal.message)?;
        w.labels_are(&made.name, &[(&made.first, &["AWSCURRENT"])])?;
        must(w.describe(&made.name)?["RotationEnabled"].is_null(), "rotation is on")
    }),
    rule("a rotation does not begin while AWSPENDING is on another version than AWSCURRENT", "M RotateSecret, TF issue 35023", |w| {
        let made = w.make()?;
        w.put(&made.name, "x", Some(&["AWSPENDING"]))?;
        let refusal = w.refused_as("RotateSecret", rotate(&made.name, &Value::Null), &["InvalidRequestException"])?;
        same(refusal.message, "A previous rotation isn't complete. That rotation will be reattempted.".to_owned())
    }),
    rule("AWSPENDING on the current version does not keep a rotation from beginning", "M RotateSecret", |w| {
        let made = w.make_empty()?;
        w.put(&made.name, "x", Some(&["AWSPENDING"]))?;
        w.refused_as("RotateSecret", rotate(&made.name, &Value::Null), &["AccessDeniedException"]).map(drop)
    }),
    rule("rotation after so many days is 1 to 1000", "M AutomaticallyRotateAfterDaysType", |w| {
        refuses(w, &[json!({"AutomaticallyAfterDays": 0}), json!({"AutomaticallyAfterDays": 1001})])
    }),
    rule("days and an expression together are refused", "M RotationRulesType", |w| {
        refuses(w, &[json!({"AutomaticallyAfterDays": 5, "ScheduleExpression": "rate(5 days)"})])
    }),
    rule("a rate is 4 hours at least and 999 days at most", "UG rotation schedules", |w| {
        accepts(w, &[schedule("rate(4 hours)"), schedule("rate(999 days)")])?;
        refuses(w, &[schedule("rate(3 hours)"), schedule("rate(1000 days)")])
    }),
    rule("a rate is in hours or days", "UG rotation schedules", |w| refuses(w, &[schedule("rate(300 minutes)"), schedule("rate(1 week)")])),
    rule("a cron expression has six fields", "UG rotation schedules", |w| {
        accepts(w, &[schedule("cron(0 8 1 * ? *)")])?;
        refuses(w, &[schedule("cron(0 8 1 * ?)"), schedule("0 8 1 * *")])
    }),
    rule("the minute of a cron expression is 0 and its year is any", "UG rotation schedules", |w| {
        refuses(w, &[schedule("cron(5 8 1 * ? *)"), schedule("cron(0 8 1 * ? 2027)")])
    }),
    rule("one of day of month and day of week is a question mark", "UG rotation schedules", |w| {
        refuses(w, &[schedule("cron(0 8 1 * MON *)"), schedule("cron(0 8 ? * ? *)")])
    }),
    rule("AWS's own examples of cron expressions are accepted", "UG rotation schedules", |w| {
        let examples = ["cron(0 8 * * ? *)", "cron(0 16 ? * SUN *)", "cron(0 0 ? * SUN#1 *)", "cron(0 17 L * ? *)", "cron(0 4/12 * * ? *)"];
        accepts(w, &examples.map(schedule))
    }),
    rule("a window is a number of hours and does not reach into the next day", "UG rotation schedules", |w| {
        accepts(w, &[json!({"ScheduleExpression": "cron(0 20 * * ? *)", "Duration": "4h"})])?;
        refuses(
            w,
            &[
                json!({"ScheduleExpression": "cron(0 20 * * ? *)", "Duration": "5h"}),
                json!({"ScheduleExpression": "rate(10 days)", "Duration": "2 hours"}),
            ],
        )
    }),
    rule("a window does not reach into the next one", "UG rotation schedules", |w| {
        refuses(w, &[json!({"ScheduleExpression": "rate(4 hours)", "Duration": "5h"})])
    }),
];
