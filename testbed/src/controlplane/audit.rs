//! What the API server was asked: its audit log, read back.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::plane::ControlPlane;

pub(super) const LOG: &str = "audit.log";

/// Every request once, when it has been answered, without bodies. A watch is logged when it ends.
pub(super) const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - level: Metadata
";

/// In the query of a request that marks a place of the log.
const MARKER: &str = "audit-marker=";
const DEADLINE: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(20);

/// One answered request. Fields that do not apply are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Who asked: `admin`, `system:serviceaccount:NAMESPACE:NAME`, ...
    pub user: String,
    /// The program that asked, as it calls itself.
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Plural and lower-case: `secrets`. Empty for a path that is no resource (`/readyz`).
    pub resource: String,
    /// `status`, `token`, ...
    pub subresource: String,
    /// The namespace of the request.
    pub namespace: String,
    /// The object's name; empty for lists and for names that the server makes.
    pub name: String,
    /// The status code of the answer.
    pub code: u16,
    /// The path and the query.
    pub uri: String,
    /// When the request came, RFC 3339 with microseconds.
    pub received: String,
    /// The whole line of the log, for a search for what must not be in it.
    pub raw: String,
}

impl AuditEvent {
    /// Whether the request was one that changes something and was answered with success.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection") && (200..300).contains(&self.code)
    }

    fn parse(line: &str) -> Result<Self> {
        let parsed: Line = serde_json::from_str(line).with_context(|| format!("cannot read the audit line {line}"))?;
        let object = parsed.object_ref.unwrap_or_default();
        Ok(Self {
            user: parsed.user.username,
            user_agent: parsed.user_agent,
            verb: parsed.verb,
            resource: object.resource,
            subresource: object.subresource,
            namespace: object.namespace,
            name: object.name,
            code: parsed.response_status.map(|status| status.code).unwrap_or_default(),
            uri: parsed.request_uri,
            received: parsed.request_received_timestamp,
            raw: line.to_owned(),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    user: User,
    #[serde(default)]
    user_agent: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    request_received_timestamp: String,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl ControlPlane {
    /// The audit log until now, in the order of the answers. Every request that was answered before this call is in it.
    pub async fn audit(&self) -> Result<Vec<AuditEvent>> {
        Ok(self.audit_since(0).await?.0)
    }

    /// The same, from this place of the log on; and the place where it ends.
    pub async fn audit_since(&self, from: u64) -> Result<(Vec<AuditEvent>, u64)> {
        let end = self.audit_end().await?;
        let mut log = BufReader::new(File::open(self.dir().join(LOG))?);
        log.seek(SeekFrom::Start(from))?;
        let lines = log.take(end.saturating_sub(from)).lines();
        let asked = lines.filter(|line| line.as_ref().map_or(true, |line| !line.contains(MARKER)));
        Ok((asked.map(|line| AuditEvent::parse(&line?)).collect::<Result<_>>()?, end))
    }

    /// The place of the audit log where it ends now.
    pub async fn audit_end(&self) -> Result<u64> {
        let path = self.dir().join(LOG);
        if !path.exists() {
            bail!("this control plane keeps no audit log: start it with Options {{ audit: true, .. }}");
        }
        let mut log = BufReader::new(File::open(&path)?);
        let mut place = log.seek(SeekFrom::End(0))?;
        // A line is written just after its answer, so the end of the log is where a later request of our own stands.
        let marker = format!("/version?{MARKER}{}", Uuid::new_v4().simple());
        let request = http::Request::get(&marker).body(Vec::new())?;
        self.admin().request_text(request).await?;
        let (start, mut line) = (Instant::now(), Vec::new());
        while start.elapsed() < DEADLINE {
            place += u64::try_from(log.read_until(b'\n', &mut line)?)?;
            if line.last() != Some(&b'\n') {
                sleep(POLL).await;
            } else if String::from_utf8_lossy(&line).contains(&marker) {
                return Ok(place);
            } else {
                line.clear();
            }
        }
        bail!("the API server does not write its audit log {}", path.display());
    }
}
