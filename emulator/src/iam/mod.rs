//! IAM, as far as Secrets Manager and STS need it: who a key belongs to, what that principal may do, and a ledger of what allowed each call.
//!
//! A key that is not registered may do everything, so that other tests need no IAM.

mod condition;
mod pattern;
mod pod_identity;
mod policy;
mod request;
mod sigv4;
pub(crate) mod sts;
mod token;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::http::{HeaderMap, Method, Uri};
use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::error::AwsError;
use crate::store::arn::ACCOUNT;
use crate::store::{Caller, Store};
use pattern::Facts;
use policy::{Ask, Named, Policy, Verdict, evaluate};
pub(crate) use sigv4::Authorization;
use token::Provider;

/// A key pair, as a user or a session has it.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// `AWS_ACCESS_KEY_ID`
    pub id: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret: String,
}

/// One call, and what allowed or denied each of the actions that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The ARN of the role or user.
    pub principal: String,
    /// `secretsmanager:PutSecretValue`, also `kms:Decrypt` of the key behind it.
    pub action: String,
    /// The resource's ARN.
    pub resource: String,
    /// The statements that allow it, as `policy/sid`.
    pub allowed_by: Vec<String>,
    /// The statements that deny it.
    pub denied_by: Vec<String>,
}

impl Decision {
    /// Whether it was allowed.
    pub fn is_allowed(&self) -> bool {
        self.denied_by.is_empty() && !self.allowed_by.is_empty()
    }
}

/// A session that STS gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// The role.
    pub role: String,
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Until when, by the emulator's clock.
    pub expires: Timestamp,
}

/// What a session is used with.
struct Issued {
    id: String,
    secret: String,
    token: String,
    expiration: String,
    arn: String,
}

/// Who calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Principal {
    /// `None`: a caller that is not registered and may do everything.
    known: Option<Arc<Known>>,
}

#[derive(Debug)]
struct Known {
    /// The role's or the user's ARN.
    identity: String,
    /// As GetCallerIdentity and refusals tell it.
    arn: String,
    tags: BTreeMap<String, String>,
    /// Whether it is a session of a role.
    assumed: bool,
}

struct Key {
    secret: String,
    token: Option<String>,
    expires: Option<Timestamp>,
    known: Arc<Known>,
}

struct Role {
    trust: Policy,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<String, Key>,
    roles: BTreeMap<String, Role>,
    /// By the ARN of the role or user.
    policies: BTreeMap<String, Vec<Policy>>,
    providers: Vec<Provider>,
    /// The role of a ServiceAccount's pods, by the subject of its tokens.
    associations: BTreeMap<String, String>,
    sessions: Vec<SessionRecord>,
    ledger: Vec<Decision>,
}

/// The account's IAM. Clones are the same.
#[derive(Clone, Default)]
pub struct Iam(Arc<Mutex<State>>);

impl Iam {
    /// A user with these policies (name and document), and its key.
    ///
    /// # Errors
    /// When a document is not understood.
    pub fn user(&self, name: &str, policies: &[(&str, &Value)]) -> Result<AccessKey> {
        let arn = format!("arn:aws:iam::{ACCOUNT}:user/{name}");
        self.set_policies(&arn, policies)?;
        let key = AccessKey { id: key_id("AKIA"), secret: random() };
        let known = Arc::new(Known { identity: arn.clone(), arn, tags: BTreeMap::new(), assumed: false });
        self.state().keys.insert(key.id.clone(), Key { secret: key.secret.clone(), token: None, expires: None, known });
        Ok(key)
    }

    /// A role with this trust policy and these permissions; its ARN.
    ///
    /// # Errors
    /// When a document is not understood.
    pub fn role(&self, name: &str, trust: &Value, policies: &[(&str, &Value)]) -> Result<String> {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{name}");
        let trust = Policy::parse("trust", trust)?;
        self.set_policies(&arn, policies)?;
        self.state().roles.insert(arn.clone(), Role { trust });
        Ok(arn)
    }

    /// Other permissions for a role or user. They hold at once, for sessions too.
    ///
    /// # Errors
    /// When a document is not understood.
    pub fn set_policies(&self, arn: &str, policies: &[(&str, &Value)]) -> Result<()> {
        let parsed: Result<Vec<Policy>> = policies.iter().map(|(name, document)| Policy::parse(name, document)).collect();
        self.state().policies.insert(arn.to_owned(), parsed?);
        Ok(())
    }

    /// The account knows this OIDC issuer by the keys that it publishes, for the audience `sts.amazonaws.com`; the provider's ARN.
    pub fn trust_issuer(&self, issuer: &str, jwks: &Value) -> String {
        let provider = Provider::new(issuer, jwks, &["sts.amazonaws.com"]);
        let arn = provider_arn(&provider);
        let providers = &mut self.state().providers;
        providers.retain(|known| known.issuer != issuer);
        providers.push(provider);
        arn
    }

    /// Every (policy/sid, action) that the policies of a role or user allow.
    pub fn grants(&self, arn: &str) -> Vec<(String, String)> {
        let state = self.state();
        let policies = state.policies.get(arn).into_iter().flatten();
        policies.flat_map(|policy| policy.grants().into_iter().map(|(sid, action)| (format!("{}/{sid}", policy.name), action))).collect()
    }

    /// What was decided so far. Calls of those who may do everything are not in it.
    pub fn decisions(&self) -> Vec<Decision> {
        self.state().ledger.clone()
    }

    /// The sessions that STS gave so far.
    pub fn sessions(&self) -> Vec<SessionRecord> {
        self.state().sessions.clone()
    }

    /// Ends every session of a role, as IAM's "revoke active sessions" does.
    pub fn revoke_sessions(&self, role: &str) {
        let mut state = self.state();
        for key in state.keys.values_mut().filter(|key| key.known.assumed && key.known.identity == role) {
            key.expires = Some(Timestamp::MIN);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose key signed the request, if that key is registered; then the signature, the session token and the expiry must be right.
    pub(crate) fn authenticate(
        &self,
        authorization: &Authorization<'_>,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Principal, AwsError> {
        let state = self.state();
        let Some(key) = state.keys.get(authorization.access_key) else { return Ok(Principal::default()) };
        let token = headers.get("x-amz-security-token").and_then(|value| value.to_str().ok());
        if token != key.token.as_deref() {
            return Err(AwsError::new("UnrecognizedClientException", "The security token included in the request is invalid."));
        }
        if !authorization.is_by(&key.secret, method, uri, headers, body) {
            return Err(AwsError::new(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.",
            ));
        }
        if key.expires.is_some_and(|expires| expires <= now) {
            return Err(AwsError::new("ExpiredTokenException", "The security token included in the request is expired"));
        }
        Ok(Principal { known: Some(Arc::clone(&key.known)) })
    }

    /// Whether the principal may make this call of Secrets Manager; a refusal in AWS's words.
    pub(super) fn authorise(
        &self,
        who: &Principal,
        caller: Caller<'_>,
        operation: &str,
        body: &Value,
        store: &Store,
    ) -> Result<(), AwsError> {
        let Some(known) = &who.known else { return Ok(()) };
        let call = request::Call::read(caller, operation, body, store);
        for ask in call.asks(&known.facts(caller.region)) {
            let verdict = self.decide(known, &ask, call.resource_policy());
            if !verdict.is_allowed() {
                // Secrets Manager does not tell which key it was.
                if ask.action.starts_with("kms:") {
                    return Err(AwsError::new("AccessDeniedException", "Access to KMS is not allowed"));
                }
                return Err(denied("AccessDeniedException", known, &ask, &verdict));
            }
        }
        Ok(())
    }

    /// Whether the principal may make this call of SQS; a refusal in AWS's words.
    pub(crate) fn authorise_sqs(&self, who: &Principal, region: &str, action: &str, queue: &str) -> Result<(), AwsError> {
        let Some(known) = &who.known else { return Ok(()) };
        let ask = Ask { action: format!("sqs:{action}"), resource: queue.to_owned(), facts: known.facts(region) };
        let verdict = self.decide(known, &ask, None);
        if verdict.is_allowed() {
            return Ok(());
        }
        // SQS writes the action in small letters.
        Err(denied("AccessDenied", known, &Ask { action: ask.action.to_lowercase(), ..ask }, &verdict))
    }

    /// Whether the role's trust policy allows it. A role that does not exist trusts no caller, and AWS responds the same in both cases.
    fn trusts(&self, role: &str, ask: &Ask, who: &Named) -> bool {
        self.state().roles.get(role).is_some_and(|role| evaluate([&role.trust], ask, Some(who)).is_allowed())
    }

    /// Begins a session.
    fn issue(&self, role: &str, name: &str, tags: BTreeMap<String, String>, expires: Timestamp) -> Issued {
        let role_name = role.rsplit('/').next().unwrap_or_default();
        let issued = Issued {
            id: key_id("ASIA"),
            secret: random(),
            token: format!("{}{}", random(), random()),
            expiration: expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role_name}/{name}"),
        };
        let known = Arc::new(Known { identity: role.to_owned(), arn: issued.arn.clone(), tags: tags.clone(), assumed: true });
        let key = Key { secret: issued.secret.clone(), token: Some(issued.token.clone()), expires: Some(expires), known };
        let mut state = self.state();
        state.keys.insert(issued.id.clone(), key);
        state.sessions.push(SessionRecord { role: role.to_owned(), name: name.to_owned(), tags, expires });
        issued
    }

    /// Decides, and enters the decision in the ledger.
    fn decide(&self, known: &Known, ask: &Ask, resource_policy: Option<&Policy>) -> Verdict {
        let mut state = self.state();
        let mut verdict = evaluate(state.policies.get(&known.identity).into_iter().flatten(), ask, None);
        if let Some(policy) = resource_policy {
            let further = evaluate([policy], ask, Some(&known.named()));
            verdict.allowed.extend(further.allowed);
            verdict.denied.extend(further.denied);
        }
        state.ledger.push(Decision {
            principal: known.identity.clone(),
            action: ask.action.clone(),
            resource: ask.resource.clone(),
            allowed_by: verdict.allowed.clone(),
            denied_by: verdict.denied.clone(),
        });
        verdict
    }
}

impl Known {
    fn named(&self) -> Named {
        Named {
            aws: vec![self.identity.clone(), self.arn.clone(), format!("arn:aws:iam::{ACCOUNT}:root"), ACCOUNT.to_owned()],
            ..Named::default()
        }
    }

    /// What every call of this principal brings along.
    fn facts(&self, region: &str) -> Facts {
        let mut facts = Facts::default();
        facts.put("aws:PrincipalArn", &self.identity);
        facts.put("aws:PrincipalAccount", ACCOUNT);
        facts.put("aws:RequestedRegion", region);
        facts.put_tags("aws:PrincipalTag/", &self.tags);
        facts
    }
}

fn denied(code: &'static str, known: &Known, ask: &Ask, verdict: &Verdict) -> AwsError {
    let why = if verdict.denied.is_empty() {
        format!("because no identity-based policy allows the {} action", ask.action)
    } else {
        "with an explicit deny in an identity-based policy".to_owned()
    };
    AwsError::new(code, format!("User: {} is not authorized to perform: {} on resource: {} {why}", known.arn, ask.action, ask.resource))
}

fn provider_arn(provider: &Provider) -> String {
    format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{}", provider.host())
}

fn key_id(prefix: &str) -> String {
    let random = Uuid::new_v4().simple().to_string().to_uppercase();
    format!("{prefix}{}", random.chars().take(16).collect::<String>())
}

fn random() -> String {
    Uuid::new_v4().simple().to_string()
}

impl std::fmt::Debug for Iam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Iam").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
