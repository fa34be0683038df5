//! STS: the query protocol, and the rules of AssumeRole, AssumeRoleWithWebIdentity and GetCallerIdentity.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/>

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::pattern::Facts;
use super::policy::{Ask, Named};
use super::{Iam, Issued, Known, Principal, denied, token};
use crate::clock::after;
use crate::error::AwsError;
use crate::store::arn::ACCOUNT;

/// The shortest session, in seconds.
const SHORTEST: u32 = 900;
/// The longest, where a role says nothing else; and the longest of all where a role assumes a role.
const LONGEST: u32 = 3600;

/// The parameters of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a body.
    pub(crate) fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn required(&self, name: &str) -> Result<&str, AwsError> {
        self.get(name).ok_or_else(|| AwsError::new("ValidationError", format!("1 validation error detected: Value null at '{name}'")))
    }

    /// `Tags.member.1.Key` and so on.
    fn tags(&self) -> BTreeMap<String, String> {
        (1..=51)
            .map_while(|number| {
                let part = |name: &str| self.get(&format!("Tags.member.{number}.{name}")).map(str::to_owned);
                Some((part("Key")?, part("Value").unwrap_or_default()))
            })
            .collect()
    }

    /// What may be logged of it.
    pub(crate) fn shown(&self) -> Value {
        json!({"RoleArn": self.get("RoleArn"), "RoleSessionName": self.get("RoleSessionName")})
    }
}

impl Iam {
    /// Answers a call: the inside of `<...Result>`, or a refusal. `who`: whose key signed it, if it was signed.
    pub(crate) fn sts(&self, who: Option<&Principal>, region: &str, form: &Form, now: Timestamp) -> Result<String, AwsError> {
        let signed = || who.ok_or_else(|| AwsError::new("MissingAuthenticationToken", "Request is missing Authentication Token"));
        match form.get("Action") {
            Some("GetCallerIdentity") => Ok(caller_identity(signed()?)),
            Some("AssumeRole") => self.assume(signed()?, region, form, now),
            Some("AssumeRoleWithWebIdentity") => self.assume_by_token(form, now),
            _ => Err(AwsError::new("InvalidAction", "Could not find operation for this version")),
        }
    }

    fn assume(&self, who: &Principal, region: &str, form: &Form, now: Timestamp) -> Result<String, AwsError> {
        let (role, name) = read_role(form)?;
        let duration = read_duration(form)?;
        let external_id = form.get("ExternalId");
        if external_id.is_some_and(|id| !(2..=1224).contains(&id.len()) || !id.chars().all(|c| is_word(c) || c == ':' || c == '/')) {
            return Err(invalid("externalId"));
        }
        let tags = form.tags();
        if tags.len() > 50 || tags.iter().any(|(key, value)| !is_tag(key, 1, 128) || !is_tag(value, 0, 256)) {
            return Err(invalid("tags"));
        }
        let caller = who.known.clone().unwrap_or_else(|| Arc::new(Known::unregistered()));
        let mut facts = caller.facts(region);
        facts.put("sts:RoleSessionName", name);
        if let Some(id) = external_id {
            facts.put("sts:ExternalId", id);
        }
        facts.put_tags("aws:RequestTag/", &tags);
        if !tags.is_empty() {
            facts.put_all("aws:TagKeys", tags.keys().cloned().collect());
        }
        let mut actions = vec!["sts:AssumeRole"];
        if !tags.is_empty() {
            actions.push("sts:TagSession");
        }
        for action in actions {
            let ask = Ask { action: action.to_owned(), resource: role.to_owned(), facts: facts.clone() };
            // Stricter than AWS within one account, where a trust policy that names the caller suffices: across accounts both are needed.
            if who.known.is_some() {
                let verdict = self.decide(&caller, &ask, None);
                if !verdict.is_allowed() {
                    return Err(denied("AccessDenied", &caller, &ask, &verdict));
                }
            }
            if !self.trusts(role, &ask, &caller.named()) {
                return Err(AwsError::new(
                    "AccessDenied",
                    format!("User: {} is not authorized to perform: {action} on resource: {role}", caller.arn),
                ));
            }
        }
        Ok(self.begin("AssumeRole", role, name, tags, after(now, duration)))
    }

    fn assume_by_token(&self, form: &Form, now: Timestamp) -> Result<String, AwsError> {
        let (role, name) = read_role(form)?;
        let duration = read_duration(form)?;
        let providers = self.state().providers.clone();
        let verified = token::verify(form.required("WebIdentityToken")?, &providers, None);
        let (provider, claims) = verified.map_err(|(code, message)| AwsError::new(code, message))?;
        let mut facts = Facts::default();
        facts.put(&format!("{}:sub", provider.host()), &claims.sub);
        facts.put_all(&format!("{}:aud", provider.host()), claims.aud.clone());
        facts.put("sts:RoleSessionName", name);
        let ask = Ask { action: "sts:AssumeRoleWithWebIdentity".to_owned(), resource: role.to_owned(), facts };
        let who = Named { federated: Some(super::provider_arn(provider)), ..Named::default() };
        if !self.trusts(role, &ask, &who) {
            return Err(AwsError::new("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"));
        }
        Ok(self.begin("AssumeRoleWithWebIdentity", role, name, BTreeMap::new(), after(now, duration)))
    }

    fn begin(&self, operation: &str, role: &str, name: &str, tags: BTreeMap<String, String>, expires: Timestamp) -> String {
        let Issued { id, secret, token, expiration, arn } = self.issue(role, name, tags, expires);
        format!(
            "<{operation}Result><AssumedRoleUser><AssumedRoleId>AROAEXAMPLE:{name}</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser>\
             <Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>\
             <Expiration>{expiration}</Expiration></Credentials></{operation}Result>"
        )
    }
}

impl Known {
    fn unregistered() -> Self {
        let arn = format!("arn:aws:iam::{ACCOUNT}:user/unregistered");
        Self { identity: arn.clone(), arn, tags: BTreeMap::new(), assumed: false }
    }
}

fn caller_identity(who: &Principal) -> String {
    let arn = who.known.as_ref().map_or_else(|| Known::unregistered().arn, |known| known.arn.clone());
    format!("<GetCallerIdentityResult><Arn>{arn}</Arn><UserId>AIDAEXAMPLE</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult>")
}

fn read_role(form: &Form) -> Result<(&str, &str), AwsError> {
    let (role, name) = (form.required("RoleArn")?, form.required("RoleSessionName")?);
    let path = role.strip_prefix("arn:").and_then(|rest| rest.split_once(":iam::")).and_then(|(_, rest)| rest.split_once(":role/"));
    if path.is_none_or(|(account, name)| account.len() != 12 || name.is_empty()) {
        return Err(AwsError::new("ValidationError", format!("{role} is invalid")));
    }
    if !(2..=64).contains(&name.len()) || !name.chars().all(is_word) {
        return Err(invalid("roleSessionName"));
    }
    Ok((role, name))
}

fn read_duration(form: &Form) -> Result<Duration, AwsError> {
    let seconds = form.get("DurationSeconds").map_or(Ok(LONGEST), str::parse::<u32>).map_err(|_| invalid("durationSeconds"))?;
    if !(SHORTEST..=LONGEST).contains(&seconds) {
        let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(AwsError::new("ValidationError", message));
    }
    Ok(Duration::from_secs(u64::from(seconds)))
}

fn invalid(member: &str) -> AwsError {
    AwsError::new("ValidationError", format!("1 validation error detected: Value at '{member}' failed to satisfy constraint"))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)
}

fn is_tag(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().count()) && text.chars().all(|c| c.is_alphanumeric() || " _.:/=+-@".contains(c))
}
