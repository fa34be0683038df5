//! The protocol: errors, headers, numbers.

use serde_json::json;

use super::wire::{name, text, token};
use super::{Rule, must, rule, same};

pub(crate) const RULES: &[Rule] = &[
    rule("every refusal is HTTP 400, also of what is not there", "R-LS all recorded errors", |w| {
        same(w.raw("GetSecretValue", &json!({"SecretId": name()}))?.status, 400)
    }),
    rule("a refusal carries its code in __type and its text in Message", "R-LS all recorded errors", |w| {
        let raw = w.raw("DescribeSecret", &json!({"SecretId": name()}))?;
        same(raw.text_of("__type"), "ResourceNotFoundException".to_owned())?;
        same(raw.text_of("Message"), "Secrets Manager can't find the specified secret.".to_owned())
    }),
    rule("answers are of type application/x-amz-json-1.1", "M protocol", |w| {
        let raw = w.raw("ListSecrets", &json!({}))?;
        same(raw.headers.get("content-type").map(String::as_str), Some("application/x-amz-json-1.1"))
    }),
    rule("an answer has a request id", "R-LS all recorded answers", |w| {
        let raw = w.raw("ListSecrets", &json!({}))?;
        must(raw.headers.contains_key("x-amzn-requestid"), "there is none")
    }),
    rule("a refusal has a request id", "R-LS all recorded errors", |w| {
        let raw = w.raw("DescribeSecret", &json!({"SecretId": name()}))?;
        must(raw.headers.contains_key("x-amzn-requestid"), "there is none")
    }),
    rule("a request that is not signed is refused", "M protocol", |w| {
        let raw = w.send(&[("x-amz-target", "secretsmanager.ListSecrets")], "{}")?;
        same(raw.status, 400)
    }),
    rule("a request for another service is refused", "M protocol", |w| {
        let authorization = w.authorization().replace("secretsmanager", "s3");
        let raw = w.send(&[("x-amz-target", "secretsmanager.ListSecrets"), ("authorization", &authorization)], "{}")?;
        must((400..404).contains(&raw.status), format!("it was answered with {}", raw.status))
    }),
    rule("an unknown operation is refused and is no server error", "M protocol", |w| w.refused("MakeCoffee", json!({})).map(drop)),
    rule("a body that is no JSON is refused and is no server error", "M protocol", |w| {
        let authorization = w.authorization();
        let raw = w.send(&[("x-amz-target", "secretsmanager.ListSecrets"), ("authorization", &authorization)], "{")?;
        must((400..500).contains(&raw.status), format!("it was answered with {}", raw.status))
    }),
    rule("a missing member is refused as a validation error", "M required members", |w| {
        w.refused_as("GetSecretValue", json!({}), &["ValidationException", "InvalidParameterException"]).map(drop)
    }),
    rule("moments are numbers of seconds with milliseconds", "R-LS comment on LastChangedDate", |w| {
        let mut fraction = false;
        // One moment in a thousand falls on a whole second.
        for _ in 0..4 {
            let made = w.make()?;
            let described = w.describe(&made.name)?;
            let seconds = described["LastChangedDate"].as_f64().ok_or("LastChangedDate is no number")?;
            must((seconds * 1000.0 - (seconds * 1000.0).round()).abs() < 0.01, "finer than milliseconds")?;
            fraction |= seconds.fract() != 0.0;
        }
        must(fraction, "only whole seconds")
    }),
    rule("a token is mandatory on the wire when a secret is created", "R-LS test_no_client_request_token", |w| {
        let refusal = w.refused_as("CreateSecret", json!({"Name": name(), "SecretString": "x"}), &["InvalidRequestException"])?;
        must(refusal.message.starts_with("You must provide a ClientRequestToken value."), refusal.message)
    }),
    rule("a token is mandatory on the wire when a value is put", "R-LS test_no_client_request_token", |w| {
        let made = w.make()?;
        w.refused_as("PutSecretValue", json!({"SecretId": made.name, "SecretString": "x"}), &["InvalidRequestException"]).map(drop)
    }),
    rule("a token is mandatory on the wire when a secret is updated", "R-LS test_no_client_request_token", |w| {
        let made = w.make()?;
        w.refused_as("UpdateSecret", json!({"SecretId": made.name, "Description": "x"}), &["InvalidRequestException"]).map(drop)
    }),
    rule("a missing token of RotateSecret has the same text under another code", "R-LS test_no_client_request_token", |w| {
        let made = w.make()?;
        let refusal = w.refused_as("RotateSecret", json!({"SecretId": made.name}), &["InvalidParameterException"])?;
        must(refusal.message.starts_with("You must provide a ClientRequestToken value."), refusal.message)
    }),
    rule("a password has the length that was asked for, 32 by default", "M GetRandomPassword", |w| {
        same(text(&w.ok("GetRandomPassword", json!({}))?, "RandomPassword").chars().count(), 32)?;
        same(text(&w.ok("GetRandomPassword", json!({"PasswordLength": 4096}))?, "RandomPassword").chars().count(), 4096)
    }),
    rule("a password longer than 4096 is refused as a parameter or validation error", "M GetRandomPassword", |w| {
        let body = json!({"PasswordLength": 4097});
        w.refused_as("GetRandomPassword", body, &["ValidationException", "InvalidParameterException"]).map(drop)
    }),
    rule("a password has a character of each type by default, at any place", "M GetRandomPassword RequireEachIncludedType", |w| {
        let mut starts_with_digit_or_mark = false;
        for _ in 0..60 {
            let password = text(&w.ok("GetRandomPassword", json!({"PasswordLength": 4}))?, "RandomPassword");
            must(password.chars().any(|c| c.is_ascii_digit()), "no digit")?;
            must(password.chars().any(|c| c.is_ascii_punctuation()), "no punctuation")?;
            must(
                password.chars().any(|c| c.is_ascii_lowercase()) && password.chars().any(|c| c.is_ascii_uppercase()),
                "no letter of a case",
            )?;
            starts_with_digit_or_mark |= !password.starts_with(|c: char| c.is_ascii_alphabetic());
        }
        must(starts_with_digit_or_mark, "the types always come in one order")
    }),
    rule("excluded characters and types stay out of a password", "M GetRandomPassword", |w| {
        let body = json!({"PasswordLength": 500, "ExcludePunctuation": true, "ExcludeNumbers": true, "ExcludeCharacters": "aeiouAEIOU"});
        let password = text(&w.ok("GetRandomPassword", body)?, "RandomPassword");
        must(password.chars().all(|c| c.is_ascii_alphabetic() && !"aeiouAEIOU".contains(c)), "there is one")
    }),
    rule("a token is 32 to 64 characters long", "M ClientRequestTokenType", |w| {
        for bad in [token().split_off(5), "x".repeat(65)] {
            let body = json!({"Name": name(), "ClientRequestToken": bad, "SecretString": "x"});
            w.refused_as("CreateSecret", body, &["InvalidParameterException", "ValidationException"])?;
        }
        Ok(())
    }),
];
