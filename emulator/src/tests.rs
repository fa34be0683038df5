//! What surrounds the store, over the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

const TOKEN: &str = "11111111-1111-1111-1111-111111111111";

struct Bench {
    emulator: Emulator,
    server: Server,
}

impl Bench {
    async fn new() -> Self {
        let emulator = Emulator::default();
        let server = emulator.serve("127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self { emulator, server }
    }

    /// The whole HTTP answer; empty when the connection was closed without one.
    async fn post(&self, path: &str, operation: &str, body: &Value) -> String {
        let mut stream = TcpStream::connect(self.server.address()).await.unwrap();
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\nx-amz-target: secretsmanager.{operation}\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=A/1/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    async fn create(&self, name: &str) -> String {
        let body = json!({"Name": name, "ClientRequestToken": TOKEN, "SecretString": "hunter2"});
        self.post("/", "CreateSecret", &body).await
    }

    async fn get(&self, name: &str) -> String {
        self.post("/", "GetSecretValue", &json!({"SecretId": name})).await
    }
}

#[tokio::test]
async fn a_lost_answer_took_effect() {
    let bench = Bench::new().await;
    bench.emulator.set_faults(FaultPlan::none().with("CreateSecret", When::Nth(1), Fault::LoseAnswer));
    assert_eq!(bench.create("s").await, "");
    assert_eq!(bench.emulator.secrets().len(), 1);
    assert!(!bench.emulator.log()[0].answered);
    assert!(bench.create("s").await.starts_with("HTTP/1.1 200"), "the replay is answered");
}

#[tokio::test]
async fn a_refusal_by_fault_has_no_effect() {
    let bench = Bench::new().await;
    let plan =
        FaultPlan::none().with("CreateSecret", When::Nth(1), Fault::ServerError { status: 503 }).with("*", When::Nth(2), Fault::Throttle);
    bench.emulator.set_faults(plan);
    assert!(bench.create("s").await.starts_with("HTTP/1.1 503"));
    assert!(bench.create("s").await.contains("ThrottlingException"));
    assert!(bench.emulator.secrets().is_empty());
    assert!(bench.create("s").await.starts_with("HTTP/1.1 200"));
    let counters = bench.emulator.counters();
    assert_eq!((counters.total("CreateSecret"), counters.writes()), (3, 1));
}

#[tokio::test]
async fn a_stale_read_is_served_from_the_past() {
    let bench = Bench::new().await;
    bench.create("s").await;
    bench.emulator.clock().advance(Duration::from_mins(1));
    bench.emulator.external_writer().put_value("s", "later").unwrap();
    bench.emulator.set_faults(FaultPlan::none().with("GetSecretValue", When::Nth(1), Fault::StaleRead { seconds: 30 }));
    assert!(bench.get("s").await.contains("hunter2"));
    assert!(bench.get("s").await.contains("later"));
}

/// Counts what passes, and never lets the second write go before it is applied.
struct Turnstile(AtomicUsize);

impl WriteBarrier for Turnstile {
    fn pass<'a>(&'a self, effect: &'a str, moment: Moment) -> BoxFuture<'a, ()> {
        assert_eq!(effect, "CreateSecret");
        let nth = self.0.fetch_add(1, Ordering::SeqCst);
        assert_eq!(moment == Moment::Before, nth.is_multiple_of(2));
        if nth == 2 { futures::future::pending().boxed() } else { futures::future::ready(()).boxed() }
    }
}

#[tokio::test]
async fn every_write_passes_the_gate_before_and_after() {
    let bench = Bench::new().await;
    let turnstile = Arc::new(Turnstile(AtomicUsize::new(0)));
    bench.emulator.set_write_barrier(Some(turnstile.clone()));
    bench.create("a").await;
    bench.get("a").await;
    assert_eq!(turnstile.0.load(Ordering::SeqCst), 2);
    let hangs = tokio::time::timeout(Duration::from_millis(50), bench.create("b")).await;
    assert!(hangs.is_err());
    assert_eq!(bench.emulator.secrets().len(), 1, "stopped before it was applied");
}

#[tokio::test]
async fn the_external_writer_is_neither_counted_nor_logged() {
    let bench = Bench::new().await;
    let external_writer = bench.emulator.external_writer();
    external_writer.create("s", "one", &[("team".to_owned(), "blue".to_owned())].into()).unwrap();
    let next = external_writer.put_pending("s", "two").unwrap();
    external_writer.move_label("s", "AWSCURRENT", Some(&next)).unwrap();
    external_writer.move_label("s", "AWSPENDING", None).unwrap();
    external_writer.untag("s", "team").unwrap();
    let secrets = bench.emulator.secrets();
    assert_eq!(secrets[0].current(), Some("two"));
    assert_eq!(secrets[0].labels.len(), 2);
    assert!(secrets[0].tags.is_empty());
    assert_eq!((bench.emulator.counters().calls(), bench.emulator.log().len()), (0, 0));
}

#[tokio::test]
async fn no_value_is_logged_or_printed() {
    let bench = Bench::new().await;
    bench.create("s").await;
    assert!(!format!("{:?} {:?}", bench.emulator.log(), bench.emulator.secrets()).contains("hunter2"));
    assert_eq!(bench.emulator.log()[0].request["ClientRequestToken"], TOKEN);
    let broken = bench.post("/_emulator/external-writer", "", &json!({"act": "hunter2"})).await;
    assert!(broken.starts_with("HTTP/1.1 400") && !broken.contains("hunter2"), "{broken}");
}

#[tokio::test]
async fn another_process_can_act_and_look() {
    let bench = Bench::new().await;
    let control = |path: &'static str, body: Value| {
        let bench = &bench;
        async move { bench.post(path, "", &body).await }
    };
    let made = control("/_emulator/external-writer", json!({"act": "create", "name": "s", "value": "x"})).await;
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    let before = bench.emulator.clock().now();
    control("/_emulator/clock", json!({"advanceSeconds": 3600})).await;
    assert!(bench.emulator.clock().now().duration_since(before).as_secs() >= 3600);
    control("/_emulator/faults", json!({"rules": [{"when": "always", "fault": "throttle"}]})).await;
    assert!(bench.get("s").await.contains("ThrottlingException"));
    assert_eq!(bench.emulator.counters().count("GetSecretValue", "ThrottlingException"), 1);
}

#[tokio::test]
async fn a_dropped_server_stops() {
    let bench = Bench::new().await;
    let address = bench.server.address();
    drop(bench.server);
    for _ in 0..50 {
        if TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it still listens");
}
