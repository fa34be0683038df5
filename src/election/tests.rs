use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::{BoxError, service_fn};

use super::*;

const TIMING: Timing =
    Timing { duration: Duration::from_millis(15_500), renew_deadline: Duration::from_secs(10), retry_period: Duration::from_secs(2) };

/// An API server with one Lease.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Value>,
    revision: u32,
    /// How the next writes are answered instead: with this status, or not at all.
    answers: Vec<Answer>,
    writes: usize,
}

#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    /// The request is lost.
    None,
    /// The Lease is written, and the answer is lost.
    Lost,
}

impl Server {
    fn answering(answers: &[Answer]) -> Self {
        let server = Self::default();
        server.0.lock().unwrap().answers = answers.iter().rev().copied().collect();
        server
    }

    fn client(&self) -> Client {
        let server = self.clone();
        Client::new(
            service_fn(move |request: Request<Body>| -> BoxFuture<'static, Result<Response<Body>, BoxError>> {
                let server = server.clone();
                Box::pin(async move { server.answer(request).await })
            }),
            "default",
        )
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let method = request.method().clone();
        let body = request.into_body().collect_bytes().await?;
        let answer = if method == Method::GET { None } else { self.next_answer() };
        if let Some(Answer::None) = answer {
            future::pending::<()>().await;
        }
        if let Some(Answer::Status(status)) = answer {
            return status_of(status);
        }
        if method != Method::GET {
            let lease: Value = serde_json::from_slice(&body)?;
            if !self.0.lock().unwrap().write(lease) {
                return status_of(409);
            }
        }
        if let Some(Answer::Lost) = answer {
            future::pending::<()>().await;
        }
        let lease = self.0.lock().unwrap().lease.clone();
        lease.map_or_else(|| status_of(404), |lease| Ok(Response::new(Body::from(lease.to_string().into_bytes()))))
    }

    fn next_answer(&self) -> Option<Answer> {
        let mut state = self.0.lock().unwrap();
        state.writes += 1;
        state.answers.pop()
    }

    fn writes(&self) -> usize {
        self.0.lock().unwrap().writes
    }

    fn spec(&self, field: &str) -> Value {
        self.0.lock().unwrap().lease.as_ref().map_or(Value::Null, |lease| lease["spec"][field].clone())
    }
}

impl State {
    /// Only over the revision that was read.
    fn write(&mut self, mut lease: Value) -> bool {
        let read = lease["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if self.lease.is_some() && read != self.revision.to_string() {
            return false;
        }
        self.revision += 1;
        lease["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.lease = Some(lease);
        true
    }
}

fn status_of(code: u16) -> Result<Response<Body>, BoxError> {
    let reason = if code == 404 { "NotFound" } else { "Unknown" };
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "x"});
    let response = Response::builder().status(StatusCode::from_u16(code)?);
    Ok(response.body(Body::from(status.to_string().into_bytes()))?)
}

fn candidate(server: &Server) -> Election {
    let leases = Leases::new(server.client(), "operator", "rotated-secrets");
    let (election, _) = Election::new(leases, "me".to_owned(), TIMING, Metrics::new());
    Election { longest_release: Duration::from_millis(300), ..election }
}

/// A leader, after its first write.
async fn leader(server: &Server) -> Election {
    let mut election = candidate(server);
    assert_eq!(election.attempt().await, TIMING.retry_period);
    assert!(election.leads() && server.spec("holderIdentity") == "me");
    election
}

#[tokio::test]
async fn the_lease_lasts_at_least_as_long_as_its_holder_leads() {
    let server = Server::default();
    leader(&server).await;
    assert_eq!(server.spec("leaseDurationSeconds"), 16);
}

#[tokio::test]
async fn the_release_is_retried_when_the_next_attempt_may_succeed() {
    for (answers, released) in [
        (&[][..], true),
        (&[Answer::Status(500), Answer::Status(429)], true),
        (&[Answer::None], true),
        (&[Answer::Lost], true),
        (&[Answer::Status(409)], true),
        (&[Answer::Status(403), Answer::Status(403)], false),
    ] {
        let server = Server::default();
        let leader = leader(&server).await;
        server.0.lock().unwrap().answers = answers.iter().rev().copied().collect();
        leader.release().await;
        assert_eq!(server.spec("holderIdentity").is_null(), released);
        let writes = match answers {
            // The holder is gone already, or no attempt would succeed.
            [Answer::Lost] | [Answer::Status(403), ..] => 1,
            _ => answers.len() + 1,
        };
        assert_eq!(server.writes(), writes + 1, "with the first one");
    }
}

#[tokio::test]
async fn an_api_server_that_answers_nothing_delays_the_end_for_a_while_only() {
    let server = Server::default();
    let leader = leader(&server).await;
    server.0.lock().unwrap().answers = vec![Answer::None; 100];
    leader.release().await;
    assert!((2..10).contains(&server.writes()), "{}", server.writes());
    assert_eq!(server.spec("holderIdentity"), "me");
}

#[tokio::test]
async fn a_standby_ends_without_waiting_for_an_answer_and_writes_nothing() {
    let silent = Client::new(service_fn(|_: Request<Body>| future::pending::<Result<Response<Body>, BoxError>>()), "default");
    let leases = Leases::new(silent, "operator", "rotated-secrets");
    let (election, _) = Election::new(leases, "me".to_owned(), TIMING, Metrics::new());
    let mut running = Box::pin(election.run(future::ready(())));
    assert!(futures::poll!(&mut running).is_ready());
}

#[tokio::test]
async fn a_lease_that_a_write_without_an_answer_took_is_released() {
    let server = Server::answering(&[Answer::Lost]);
    let mut election = candidate(&server);
    {
        let mut attempt = Box::pin(election.attempt());
        while server.spec("holderIdentity").is_null() {
            assert!(futures::poll!(&mut attempt).is_pending());
            tokio::task::yield_now().await;
        }
    }
    assert!(election.writes && !election.leads() && server.spec("holderIdentity") == "me");
    election.release().await;
    assert!(server.spec("holderIdentity").is_null());
}

#[tokio::test]
async fn the_lease_of_another_holder_is_not_touched() {
    let server = Server::default();
    let leader = leader(&server).await;
    let mut taken = server.0.lock().unwrap().lease.clone().unwrap();
    taken["spec"]["holderIdentity"] = json!("other");
    assert!(server.0.lock().unwrap().write(taken));
    leader.release().await;
    assert_eq!((server.spec("holderIdentity"), server.writes()), (json!("other"), 2));
}
