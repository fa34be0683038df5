//! Speaks AWS JSON 1.1 to an endpoint by hand, without an SDK that would mend or refuse what we want to send.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Broken, must};

/// An endpoint, and the Region that requests are signed for.
#[derive(Clone)]
pub(crate) struct Wire {
    address: String,
    region: String,
}

/// An HTTP answer.
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
    pub(crate) body: Value,
}

/// A refusal.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// A secret that a rule made for itself.
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) arn: String,
    /// The id of its first version.
    pub(crate) first: String,
}

/// A new token, which is a version's id.
pub(crate) fn token() -> String {
    Uuid::new_v4().to_string()
}

/// A unique name.
pub(crate) fn name() -> String {
    format!("rules/{}", Uuid::new_v4().simple())
}

impl Wire {
    pub(crate) fn to(endpoint: &str) -> Self {
        Self { address: endpoint.trim_start_matches("http://").to_owned(), region: "us-east-1".to_owned() }
    }

    pub(crate) fn in_region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.clone() }
    }

    /// Sends a request with these headers besides the usual ones.
    pub(crate) fn send(&self, headers: &[(&str, &str)], body: &str) -> Result<Raw, Broken> {
        let io = |error: std::io::Error| format!("the connection failed: {error}");
        let mut stream = TcpStream::connect(&self.address).map_err(io)?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(io)?;
        let mut head = format!(
            "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n",
            self.address,
            body.len()
        );
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).map_err(io)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(io)?;
        parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| "no HTTP answer".to_owned())
    }

    /// The authorization header of a signature that is not verified.
    pub(crate) fn authorization(&self) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260505/{}/secretsmanager/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=00",
            self.region
        )
    }

    pub(crate) fn raw(&self, operation: &str, body: &Value) -> Result<Raw, Broken> {
        let target = format!("secretsmanager.{operation}");
        let authorization = self.authorization();
        self.send(&[("x-amz-target", &target), ("authorization", &authorization)], &body.to_string())
    }

    /// Calls and expects success.
    pub(crate) fn ok(&self, operation: &str, body: Value) -> Result<Value, Broken> {
        let raw = self.raw(operation, &body)?;
        must(raw.status == 200, format!("{operation} was refused with {}: {}", raw.status, raw.text))?;
        Ok(raw.body)
    }

    /// Calls and expects a refusal, not a server error.
    pub(crate) fn refused(&self, operation: &str, body: Value) -> Result<Refusal, Broken> {
        let raw = self.raw(operation, &body)?;
        must(raw.status != 200, format!("{operation} was accepted"))?;
        must(raw.status < 500, format!("{operation} met a server error {}", raw.status))?;
        Ok(Refusal { code: raw.text_of("__type"), message: raw.text_of("Message") + &raw.text_of("message") })
    }

    /// Calls and expects one of these codes.
    pub(crate) fn refused_as(&self, operation: &str, body: Value, codes: &[&str]) -> Result<Refusal, Broken> {
        let refusal = self.refused(operation, body)?;
        must(codes.contains(&refusal.code.as_str()), format!("{refusal:?} instead of {codes:?}"))?;
        Ok(refusal)
    }

    /// Makes a secret with a first value.
    pub(crate) fn make(&self) -> Result<Made, Broken> {
        self.make_as(&name(), json!({}))
    }

    /// Makes a secret with more members in the request.
    pub(crate) fn make_as(&self, name: &str, more: Value) -> Result<Made, Broken> {
        let first = token();
        let mut body = json!({"Name": name, "ClientRequestToken": first, "SecretString": "first"});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let made = self.ok("CreateSecret", body)?;
        Ok(Made { name: name.to_owned(), arn: text(&made, "ARN"), first })
    }

    /// Makes a secret without a value.
    pub(crate) fn make_empty(&self) -> Result<Made, Broken> {
        let name = name();
        let made = self.ok("CreateSecret", json!({"Name": name, "ClientRequestToken": token()}))?;
        Ok(Made { name, arn: text(&made, "ARN"), first: String::new() })
    }

    /// Puts a value under these labels, or by default; answers with the version's id.
    pub(crate) fn put(&self, secret: &str, value: &str, labels: Option<&[&str]>) -> Result<String, Broken> {
        let id = token();
        let mut body = json!({"SecretId": secret, "ClientRequestToken": id, "SecretString": value});
        if let (Some(body), Some(labels)) = (body.as_object_mut(), labels) {
            body.insert("VersionStages".into(), labels.into());
        }
        self.ok("PutSecretValue", body)?;
        Ok(id)
    }

    /// Moves a label.
    pub(crate) fn shift(&self, secret: &str, label: &str, from: Option<&str>, to: Option<&str>) -> Result<Value, Broken> {
        self.ok("UpdateSecretVersionStage", shift_body(secret, label, from, to))
    }

    /// Tries to move a label.
    pub(crate) fn shift_refused(&self, secret: &str, label: &str, from: Option<&str>, to: Option<&str>) -> Result<Refusal, Broken> {
        self.refused("UpdateSecretVersionStage", shift_body(secret, label, from, to))
    }

    pub(crate) fn describe(&self, secret: &str) -> Result<Value, Broken> {
        self.ok("DescribeSecret", json!({"SecretId": secret}))
    }

    /// Version to labels, as `DescribeSecret` shows them. Versions without a label are left out, for the sake of rules about other things.
    pub(crate) fn labels(&self, secret: &str) -> Result<BTreeMap<String, Vec<String>>, Broken> {
        let described = self.describe(secret)?;
        let mut map = BTreeMap::new();
        for (id, labels) in described["VersionIdsToStages"].as_object().into_iter().flatten() {
            let mut labels: Vec<String> = labels.as_array().into_iter().flatten().filter_map(|on| Some(on.as_str()?.to_owned())).collect();
            labels.sort();
            if !labels.is_empty() {
                map.insert(id.clone(), labels);
            }
        }
        Ok(map)
    }

    /// Expects exactly these labels.
    pub(crate) fn labels_are(&self, secret: &str, wanted: &[(&str, &[&str])]) -> Result<(), Broken> {
        let seen = self.labels(secret)?;
        let wanted: BTreeMap<String, Vec<String>> =
            wanted.iter().map(|(id, labels)| ((*id).to_owned(), labels.iter().map(|label| (*label).to_owned()).collect())).collect();
        must(seen == wanted, format!("labels are {seen:?} instead of {wanted:?}"))
    }

    /// A value by label.
    pub(crate) fn value(&self, secret: &str, label: &str) -> Result<String, Broken> {
        let got = self.ok("GetSecretValue", json!({"SecretId": secret, "VersionStage": label}))?;
        Ok(text(&got, "SecretString"))
    }
}

fn shift_body(secret: &str, label: &str, from: Option<&str>, to: Option<&str>) -> Value {
    let mut body = json!({"SecretId": secret, "VersionStage": label});
    if let Some(body) = body.as_object_mut() {
        body.extend(from.map(|from| ("RemoveFromVersionId".to_owned(), from.into())));
        body.extend(to.map(|to| ("MoveToVersionId".to_owned(), to.into())));
    }
    body
}

/// A member that is text.
pub(crate) fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

impl Raw {
    pub(crate) fn text_of(&self, member: &str) -> String {
        text(&self.body, member)
    }
}

fn parse(answer: &str) -> Option<Raw> {
    let (head, text) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Some(Raw { status, headers, text: text.to_owned(), body: serde_json::from_str(text).unwrap_or(Value::Null) })
}
