//! The wire: AWS JSON over HTTP/1.1 for Secrets Manager and SQS, and STS's query protocol at the same address. The signature is read for the
//! Region it names, and verified where its key is a registered one.

use std::convert::Infallible;
use std::net::SocketAddr;

use ::http::request::Parts;
use ::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::control;
use crate::error::AwsError;
use crate::iam::sts::Form;
use crate::iam::{Authorization, Principal};
use crate::response::HttpResponse;
use crate::service::{Emulator, Reply};

/// More than any request that AWS accepts.
const LONGEST_BODY: usize = 1 << 20;

/// A served emulator. Stops, and closes its connections, when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    accepting: JoinHandle<Infallible>,
}

/// A fault closes this connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost")]
struct Severed;

impl Emulator {
    /// Serves it over HTTP until the server is dropped. Port 0 takes a free one.
    pub async fn serve(&self, address: SocketAddr) -> anyhow::Result<Server> {
        Server::start(self.clone(), address).await
    }
}

impl Server {
    async fn start(emulator: Emulator, address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, emulator));
        Ok(Self { address, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What SDKs take as endpoint.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, emulator: Emulator) -> Infallible {
    // Dropped together with this task, which closes every connection.
    let mut connections = JoinSet::new();
    if emulator.rotates_by_itself() {
        connections.spawn(emulator.clone().rotate_by_the_clock());
    }
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, emulator.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, emulator: Emulator) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let emulator = emulator.clone();
        async move { handle(&emulator, request).await }
    });
    // An error here is a caller that hung up, or an answer lost on purpose.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn handle(emulator: &Emulator, request: Request<Incoming>) -> Result<HttpResponse, Severed> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LONGEST_BODY).collect().await else {
        return Ok(send(413, &Err(AwsError::new("RequestEntityTooLarge", "The request is too long."))));
    };
    let body = body.to_bytes();
    if head.uri.path().starts_with("/_emulator/") {
        return Ok(control::handle(emulator, &head.method, head.uri.path(), &body));
    }
    if head.method == Method::GET && head.uri.path() == "/v1/credentials" {
        let token = text(&head.headers, "authorization").unwrap_or_default();
        let answer = emulator.iam().pod_credentials(token, emulator.clock().now());
        return Ok(send(if answer.is_ok() { 200 } else { 403 }, &answer));
    }
    if head.method != Method::POST {
        return Ok(send(405, &Err(AwsError::new("UnknownOperationException", "Only POST is known."))));
    }
    if let Some(user_agent) = head.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()) {
        emulator.called_by(user_agent);
    }
    if text(&head.headers, "content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return handle_sts(emulator, &head, &body).await;
    }
    let called = read_head(&head.headers).and_then(|(service, authorization, operation)| {
        let who = authenticate(emulator, &authorization, &head, &body)?;
        let body = match body.len() {
            0 => json!({}),
            _ => serde_json::from_slice(&body).map_err(|_| AwsError::new("SerializationException", "The body is no JSON."))?,
        };
        Ok((service, who, authorization.region, operation, body))
    });
    let (service, who, region, operation, body) = match called {
        Ok(called) => called,
        Err(error) => return Ok(send(400, &Err(error))),
    };
    let reply = match service {
        Service::SecretsManager => emulator.answer(&who, region, operation, &body).await,
        Service::Sqs => emulator.answer_sqs(&who, region, operation, &body).await,
    };
    match (reply, service) {
        (Reply::Answer(status, answer), Service::SecretsManager) => Ok(send(status, &answer)),
        (Reply::Answer(status, answer), Service::Sqs) => Ok(send_sqs(status, &answer)),
        (Reply::Severed, _) => Err(Severed),
    }
}

/// AssumeRoleWithWebIdentity is not signed: the token is the proof.
async fn handle_sts(emulator: &Emulator, head: &Parts, body: &[u8]) -> Result<HttpResponse, Severed> {
    let form = Form::parse(body);
    let authorization = text(&head.headers, "authorization").and_then(Authorization::parse);
    let region = authorization.as_ref().map_or("", |authorization| authorization.region);
    let who = match &authorization {
        None => None,
        Some(authorization) if authorization.service != "sts" => {
            let error = AwsError::new("SignatureDoesNotMatch", "Credential should be scoped to correct service: 'sts'.");
            return Ok(send_sts(403, &form, &Err(error)));
        }
        Some(authorization) => match authenticate(emulator, authorization, head, body) {
            Ok(who) => Some(who),
            // STS has older names for the same refusals.
            Err(error) => {
                let code = match error.code.as_ref() {
                    "UnrecognizedClientException" => "InvalidClientTokenId",
                    "InvalidSignatureException" => "SignatureDoesNotMatch",
                    _ => "ExpiredToken",
                };
                return Ok(send_sts(403, &form, &Err(AwsError::new(code, error.message))));
            }
        },
    };
    match emulator.answer_sts(who.as_ref(), region, &form).await {
        Some((status, answer)) => Ok(send_sts(status, &form, &answer)),
        None => Err(Severed),
    }
}

fn authenticate(emulator: &Emulator, authorization: &Authorization<'_>, head: &Parts, body: &[u8]) -> Result<Principal, AwsError> {
    emulator.iam().authenticate(authorization, &head.method, &head.uri, &head.headers, body, emulator.clock().now())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What speaks AWS JSON here.
#[derive(Debug, Clone, Copy)]
enum Service {
    SecretsManager,
    Sqs,
}

impl Service {
    /// As `X-Amz-Target` names it, and as signatures name it.
    const ALL: [(&'static str, &'static str, Self); 2] =
        [("secretsmanager.", "secretsmanager", Self::SecretsManager), ("AmazonSQS.", "sqs", Self::Sqs)];
}

/// The service, the signature and the operation of a request.
fn read_head(headers: &HeaderMap) -> Result<(Service, Authorization<'_>, &str), AwsError> {
    let target = text(headers, "x-amz-target").unwrap_or_default();
    let found = Service::ALL.into_iter().find_map(|(prefix, scope, service)| Some((service, scope, target.strip_prefix(prefix)?)));
    let (service, scope, operation) =
        found.ok_or_else(|| AwsError::new("UnknownOperationException", "X-Amz-Target names no operation."))?;
    let authorization = text(headers, "authorization")
        .ok_or_else(|| AwsError::new("MissingAuthenticationTokenException", "Missing Authentication Token"))?;
    let incomplete = || AwsError::new("IncompleteSignatureException", "Authorization header requires 'Credential' parameter.");
    let authorization = Authorization::parse(authorization).ok_or_else(incomplete)?;
    if authorization.service != scope {
        let message = format!("Credential should be scoped to correct service: '{scope}'.");
        return Err(AwsError::new("InvalidSignatureException", message));
    }
    Ok((service, authorization, operation))
}

/// An answer of STS.
fn send_sts(status: u16, form: &Form, answer: &Result<String, AwsError>) -> HttpResponse {
    const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
    let id = Uuid::new_v4();
    let xml = match answer {
        Ok(result) => {
            let operation = form.get("Action").unwrap_or_default();
            format!(
                "<{operation}Response xmlns=\"{NAMESPACE}\">{result}<ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{operation}Response>"
            )
        }
        Err(error) => {
            let message = error.message.replace('&', "&amp;").replace('<', "&lt;");
            format!(
                "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{}</Code><Message>{message}</Message></Error>\
                 <RequestId>{id}</RequestId></ErrorResponse>",
                error.code
            )
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(xml)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}

/// An answer of SQS. A code of the query protocol is in a header, beside the type in the body.
fn send_sqs(status: u16, answer: &Result<Value, AwsError>) -> HttpResponse {
    let Err(error) = answer else { return with_type(send(status, answer), "application/x-amz-json-1.0") };
    let code = error.code.rsplit('.').next().unwrap_or_default();
    let (kind, member) = match code {
        "NonExistentQueue" => ("com.amazonaws.sqs#QueueDoesNotExist".to_owned(), "message"),
        "AccessDenied" => ("com.amazon.coral.service#AccessDeniedException".to_owned(), "Message"),
        code => (format!("com.amazonaws.sqs#{code}"), "message"),
    };
    let mut response = send(status, &Ok(json!({"__type": kind, member: error.message})));
    let blame = if status < 500 { "Sender" } else { "Receiver" };
    if let Ok(value) = HeaderValue::from_str(&format!("{};{blame}", error.code)) {
        response.headers_mut().insert("x-amzn-query-error", value);
    }
    with_type(response, "application/x-amz-json-1.0")
}

fn with_type(mut response: HttpResponse, kind: &'static str) -> HttpResponse {
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// An answer as AWS sends it: AWS refuses with 400 in all cases.
fn send(status: u16, answer: &Result<Value, AwsError>) -> HttpResponse {
    let body = match answer {
        Ok(value) => value.to_string(),
        Err(error) => json!({"__type": error.code, "Message": error.message}).to_string(),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}
