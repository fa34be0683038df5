//! The steps of a rotation as requests.

use axum::body::Body;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{HeaderName, Method, Request};
use jiff::Timestamp;

use super::answer::{Failure, Outcome, read};
use super::body::{ObjectName, Step, Values, body, contains};
use super::exchange::exchange;
use super::signature::SigningKey;
use crate::plaintext::Plaintext;
use crate::strategy::{Applied, Endpoint, Refused, Undone, Unknown};
use crate::value::Payload;

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Where it is, and how it is verified. Only with TLS.
    pub endpoint: Endpoint,
    /// Path and query.
    pub path: String,
}

/// How the receiver knows that a request is the operator's.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// A signature, as the Standard Webhooks specification says.
    Signature(&'a SigningKey),
    /// A token of a `ServiceAccount`, for the audience of the receiver.
    Token(&'a Plaintext),
}

/// The strategy for the receiver of one object.
#[derive(Clone, Copy)]
pub struct Webhook<'a> {
    /// The receiver.
    pub receiver: &'a Receiver,
    /// The object.
    pub object: ObjectName<'a>,
    /// How requests are proven.
    pub proof: Proof<'a>,
    /// The time.
    pub now: Timestamp,
}

impl Webhook<'_> {
    /// Makes the target accept `pending`, of this version.
    ///
    /// # Errors
    /// The receiver's refusal, or that its answer is not known.
    pub async fn apply(&self, version: &str, pending: &Payload, current: &Payload, previous: Option<&Payload>) -> Result<Applied, Failure> {
        let values = Values { pending: Some(pending), current: Some(current), previous };
        match self.ask(Step::Apply, version, values).await? {
            Outcome::Applied => Ok(Applied::Now),
            Outcome::AlreadyApplied => Ok(Applied::Already),
            _ => Err(Unknown::ProtocolViolation.into()),
        }
    }

    /// Makes sure that the target accepts `pending`.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn verify(&self, version: &str, pending: &Payload) -> Result<(), Failure> {
        let values = Values { pending: Some(pending), ..Values::default() };
        match self.ask(Step::Verify, version, values).await? {
            Outcome::Verified => Ok(()),
            _ => Err(Unknown::ProtocolViolation.into()),
        }
    }

    /// Makes the target refuse `pending`, of this version, and accept `current`.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn undo(&self, version: &str, pending: &Payload, current: &Payload, previous: Option<&Payload>) -> Result<Undone, Failure> {
        let values = Values { pending: Some(pending), current: Some(current), previous };
        match self.ask(Step::Undo, version, values).await? {
            Outcome::Undone => Ok(Undone::Now),
            Outcome::NothingToUndo => Ok(Undone::Nothing),
            _ => Err(Unknown::ProtocolViolation.into()),
        }
    }

    /// Whether the target accepts `current`, of this version.
    ///
    /// # Errors
    /// Why not, or that it is not known.
    pub async fn check(&self, version: &str, current: &Payload) -> Result<(), Failure> {
        let values = Values { current: Some(current), ..Values::default() };
        match self.ask(Step::Check, version, values).await? {
            Outcome::Accepted => Ok(()),
            _ => Err(Unknown::ProtocolViolation.into()),
        }
    }

    async fn ask(&self, step: Step, version: &str, values: Values<'_>) -> Result<Outcome, Failure> {
        let request = self.request(step, version, &values)?;
        let endpoint = &self.receiver.endpoint;
        let (status, answer) = endpoint.within_a_step(exchange(endpoint, request)).await?;
        read(status.as_u16(), &answer, |text| contains(&values, text))
    }

    fn request(&self, step: Step, version: &str, values: &Values<'_>) -> Result<Request<Body>, Failure> {
        let body = body(step, self.object, version, values)?;
        // The same for a repeated delivery. Without a dot, which separates the parts that are signed.
        let id = format!("{version}-{}", <&str>::from(step));
        let timestamp = self.now.as_second();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.receiver.path)
            .header(HOST, host(&self.receiver.endpoint))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header(CONNECTION, "close")
            .header(USER_AGENT, "rotated-secrets")
            .header(HeaderName::from_static("webhook-id"), &id)
            .header(HeaderName::from_static("webhook-timestamp"), timestamp);
        request = match self.proof {
            Proof::Signature(key) => request.header(HeaderName::from_static("webhook-signature"), key.sign(&id, timestamp, body.expose())),
            Proof::Token(token) => {
                let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| Refused::KeyUnusable)?;
                bearer.set_sensitive(true);
                request.header(AUTHORIZATION, bearer)
            }
        };
        request.body(Body::from(body.expose().to_owned())).map_err(|_| Refused::ValueUnusable.into())
    }
}

/// The header: an address of IPv6 in brackets, and the port unless it is that of HTTPS.
fn host(endpoint: &Endpoint) -> String {
    let host = if endpoint.host.contains(':') { format!("[{}]", endpoint.host) } else { endpoint.host.clone() };
    if endpoint.port == 443 { host } else { format!("{host}:{}", endpoint.port) }
}
