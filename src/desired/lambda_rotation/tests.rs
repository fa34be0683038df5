use super::*;
use crate::desired::tests::policy;

const FUNCTION: &str = "arn:aws:lambda:eu-central-1:123456789012:function:rotate";

fn asked(schedule: Option<&str>, days: Option<i32>, duration: &str, policy: &Policy) -> Result<RotationConfig, Refusal> {
    let spec = RotationSpec {
        schedule: schedule.map(str::to_owned),
        automatically_after_days: days,
        duration: duration.to_owned(),
        ..RotationSpec::default()
    };
    config(&spec, &LambdaSpec { function_arn: FUNCTION.to_owned() }, "eu-central-1", policy)
}

#[test]
fn what_aws_takes_is_passed_on_as_it_was_written() {
    for (schedule, days, duration, words) in [
        (Some("rate(4 hours)"), None, "4h", "rate(4 hours); duration: 4h; by AWS"),
        (Some("rate(30 days)"), None, "0s", "rate(30 days); by AWS"),
        (Some("cron(0 8 1 * ? *)"), None, "16h", "cron(0 8 1 * ? *); duration: 16h; by AWS"),
        (Some("cron(0 4/12 * * ? *)"), None, "12h", "cron(0 4/12 * * ? *); duration: 12h; by AWS"),
        (Some("cron(0 17 L * ? *)"), None, "1h", "cron(0 17 L * ? *); duration: 1h; by AWS"),
        (None, Some(30), "24h", "rate(30 days); duration: 24h; by AWS"),
        (None, Some(1), "0s", "rate(1 day); by AWS"),
    ] {
        let terms = asked(schedule, days, duration, &policy()).unwrap();
        assert_eq!(terms.rules.describe(), words);
        assert_eq!((terms.rules.expression.as_deref(), terms.rules.days), (schedule, days.map(i64::from)));
    }
}

#[test]
fn what_aws_refuses_is_refused_with_what_to_write_instead() {
    for (schedule, days, duration, words) in [
        (Some("rate(3 hours)"), None, "0s", "at most every four hours, not every 3h"),
        (Some("cron(0 0/2 * * ? *)"), None, "0s", "at most every four hours, not every 2h"),
        (Some("0 8 1 * *"), None, "0s", "cron( ) with six fields"),
        (Some("cron(0 8 15W * ? *)"), None, "0s", "1 to 31"),
        (Some("rate(6 hours)"), None, "7h", "use at most 6h"),
        (Some("rate(30 days)"), None, "25h", "use at most 24h"),
        (Some("cron(0 20 * * ? *)"), None, "5h", "use at most 4h"),
        (Some("cron(0 4/8 * * ? *)"), None, "9h", "use at most 8h"),
        (Some("rate(30 days)"), None, "90m", "only whole hours"),
        (Some("rate(30 days)"), None, "60m", "only whole hours"),
        (Some("rate(300 minutes)"), None, "0s", "in hours and days only"),
        (None, Some(1001), "0s", "1 to 1000"),
        (None, None, "0s", "exactly one of"),
    ] {
        let refusal = asked(schedule, days, duration, &policy()).map(drop).unwrap_err();
        assert_eq!(refusal.reason, Reason::InvalidSpec);
        assert!(refusal.message.contains(words), "{}", refusal.message);
    }
    let strict = Policy { minimum_interval: SignedDuration::from_hours(24), ..policy() };
    assert_eq!(asked(Some("rate(23 hours)"), None, "0s", &strict).unwrap_err().reason, Reason::IntervalTooShort);
    let elsewhere = LambdaSpec { function_arn: FUNCTION.replace("eu-central-1", "eu-west-1") };
    let spec = RotationSpec { automatically_after_days: Some(30), ..RotationSpec::default() };
    let refusal = config(&spec, &elsewhere, "eu-central-1", &policy()).map(drop).unwrap_err();
    assert!(refusal.message.contains("use a function in eu-central-1"), "{}", refusal.message);
}

#[test]
fn computed_days_beside_an_expression_are_no_difference() {
    let asked = Rules { expression: Some("rate(10 days)".to_owned()), ..Rules::default() };
    assert!(asked.are_shown_as(&Rules { days: Some(10), ..asked.clone() }));
    assert!(!asked.are_shown_as(&Rules { expression: Some("rate(11 days)".to_owned()), ..asked.clone() }));
    assert!(!asked.are_shown_as(&Rules { duration: Some("3h".to_owned()), ..asked.clone() }));
    let days = Rules { days: Some(30), ..Rules::default() };
    assert!(days.are_shown_as(&days));
    assert!(!days.are_shown_as(&Rules { days: Some(31), ..Rules::default() }));
    assert!(!days.are_shown_as(&Rules { expression: Some("rate(30 days)".to_owned()), ..days.clone() }));
}
