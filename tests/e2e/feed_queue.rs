//! The event queue: a change in AWS is found when its event arrives. What is wrong with events or with the queue costs a check, and nothing
//! else.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use testkit::emulator::{EVENT, EventQueue, Fault, FaultPlan, Moment, When, WriteBarrier};
use testkit::until;

use crate::gate::Gate;
use crate::operator::Operator;
use crate::stage::{NAMESPACE, Stage};

const OBJECTS: usize = 5;
/// What a change by another client costs, however it is found: the Secret is written, and the watches tell of that write once more.
const OF_A_CHANGE: (usize, usize) = (3, 2);
/// No periodic check within a test.
const SELDOM: &str = "1h";
/// In milliseconds: longer than a test takes.
const AN_HOUR: u64 = 3_600_000;
/// One within seconds.
const OFTEN: &str = "8s";
const UNREADABLE: &str = "the event queue cannot be read; changes in AWS are found by the periodic checks";
const READABLE: &str = "changes in AWS are found by events";

/// The operator ends before another test gets the control plane.
struct Scene {
    operator: Operator,
    stage: Stage,
    queue: EventQueue,
}

fn name(number: usize) -> String {
    format!("o{number}")
}

impl Scene {
    /// Objects that are Ready, and an empty queue.
    async fn new(prefix: &str, interval: &str, flags: &[&str]) -> Result<Self> {
        let stage = Stage::enter(prefix).await?;
        let queue = stage.emulator.create_event_queue("changes", &["AWSCURRENT"]);
        let url = queue.url();
        let flags = [&["--event-queue-url", &url, "--refresh-interval", interval], flags].concat();
        let operator = Operator::start_with(&stage, &flags).await?;
        for number in 0..OBJECTS {
            stage.create(&name(number), json!({"value": {"generate": {"password": {}}}})).await?;
        }
        for number in 0..OBJECTS {
            stage.ready(&name(number)).await?;
        }
        let scene = Self { operator, stage, queue };
        scene.drained().await?;
        scene.stage.mirrors_have_aged().await?;
        scene.stage.emulator.counters().reset();
        scene.stage.emulator.clear_log();
        Ok(scene)
    }

    /// Waits until every message was received and deleted.
    async fn drained(&self) -> Result<()> {
        until("the queue is empty", async || Ok(self.queue.bodies().is_empty().then_some(()))).await
    }

    /// Another client of AWS puts a value.
    fn put(&self, number: usize, value: &str) -> Result<String> {
        let secret = self.stage.aws_name(&name(number));
        let body = json!({"password": value}).to_string();
        Ok(self.stage.emulator.external_writer().put_value(&secret, &body)?)
    }

    /// Waits until pods have the value.
    async fn mirrored(&self, number: usize, value: &str) -> Result<()> {
        until(&format!("the Secret of {} has {value}", name(number)), async || {
            let data = self.stage.secrets().get(&name(number)).await?.data.unwrap_or_default();
            Ok(data.get("password").is_some_and(|bytes| bytes.0 == value.as_bytes()).then_some(()))
        })
        .await
    }

    /// Messages with this outcome.
    async fn messages(&self, outcome: &str) -> Result<u64> {
        let counted = self.operator.metric(&format!("rotated_secrets_feed_messages_total{{outcome=\"{outcome}\"}}")).await?;
        Ok(counted.to_string().parse()?)
    }

    /// Calls of this operation about one object and about the others, since the log was cleared.
    fn calls(&self, operation: &str, number: usize) -> (usize, usize) {
        let (mut own, mut others) = (0, 0);
        for call in self.stage.emulator.log().iter().filter(|call| call.operation == operation) {
            let id = call.request.get("SecretId").and_then(Value::as_str).unwrap_or_default();
            if id.contains(&name(number)) { own += 1 } else { others += 1 }
        }
        (own, others)
    }

    /// Waits until the metric shows since when the queue cannot be read, or is back at zero.
    async fn unreadable(&self, expected: bool) -> Result<()> {
        until(&format!("the metric shows that the queue cannot be read: {expected}"), async || {
            let seconds = self.operator.metric("rotated_secrets_feed_queue_unreadable_seconds").await?;
            Ok(((seconds >= 1.0) == expected).then_some(()))
        })
        .await
    }

    /// Waits until the last reconcile has ended.
    async fn idle(&self) -> Result<()> {
        until("no reconcile is in progress", async || {
            let in_progress = self.operator.metric("rotated_secrets_reconciles_in_progress").await?;
            let waiting = self.operator.metric("rotated_secrets_reconciles_waiting").await?;
            Ok((in_progress + waiting < 1.0).then_some(()))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_pods_by_its_event_and_reads_its_object_only() -> Result<()> {
    let scene = Scene::new("queue", SELDOM, &["--log", "info"]).await?;
    scene.operator.says(READABLE).await?;
    scene.put(2, "of another client")?;
    scene.mirrored(2, "of another client").await?;
    scene.drained().await?;
    scene.idle().await?;
    let (described, read) = (scene.calls("DescribeSecret", 2), scene.calls("GetSecretValue", 2));
    println!("feed_queue: a change costs {described:?} DescribeSecret and {read:?} GetSecretValue, of the object and of others");
    let most = |described: (usize, usize), read: (usize, usize)| {
        let own = (1..=OF_A_CHANGE.0).contains(&described.0) && (1..=OF_A_CHANGE.1).contains(&read.0);
        own && (described.1, read.1) == (0, 0)
    };
    ensure!(most(described, read), "{described:?} {read:?}");
    ensure!(scene.messages("requested").await? == 1, "one message asked for a reconcile");

    // The operator's own rotation.
    scene.stage.rotate(&name(1), "please").await?;
    scene.drained().await?;
    scene.idle().await?;
    let after = scene.calls("DescribeSecret", 1);
    let own = scene.messages("echo").await? + scene.messages("in_progress").await?;
    ensure!(own >= 1, "the event of the own rotation has arrived");
    ensure!(scene.messages("requested").await? == 1, "it asked for no reconcile");
    println!("feed_queue: a rotation costs {after:?} DescribeSecret with the queue");

    // Copies of one event.
    scene.stage.mirrors_have_aged().await?;
    scene.stage.emulator.clear_log();
    scene.stage.emulator.set_faults(FaultPlan::none().with(EVENT, When::Always, Fault::RepeatEvent { times: 3 }));
    scene.put(3, "four times")?;
    scene.mirrored(3, "four times").await?;
    scene.drained().await?;
    scene.idle().await?;
    let (described, read) = (scene.calls("DescribeSecret", 3), scene.calls("GetSecretValue", 3));
    println!("feed_queue: with four copies {described:?} DescribeSecret and {read:?} GetSecretValue");
    ensure!(most(described, read), "copies in one answer cost nothing: {described:?} {read:?}");

    // An older event after a newer one.
    scene.stage.mirrors_have_aged().await?;
    scene.stage.emulator.clear_log();
    scene.stage.emulator.set_faults(FaultPlan::none().with(EVENT, When::Nth(1), Fault::Delay { millis: AN_HOUR }));
    scene.put(4, "older")?;
    scene.put(4, "newer")?;
    scene.mirrored(4, "newer").await?;
    scene.stage.ready(&name(4)).await?;
    scene.idle().await?;
    ensure!(scene.queue.bodies().len() == 1, "the older event is still to come");
    scene.stage.emulator.clear_log();
    scene.queue.hasten();
    scene.drained().await?;
    scene.idle().await?;
    let (described, read) = (scene.calls("DescribeSecret", 4), scene.calls("GetSecretValue", 4));
    println!("feed_queue: with an older event after a newer one {described:?} DescribeSecret and {read:?} GetSecretValue");
    ensure!(described == (1, 0) && read == (0, 0), "the older event costs one DescribeSecret at once: {described:?} {read:?}");
    scene.operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_older_than_its_event_is_repeated() -> Result<()> {
    let scene = Scene::new("queue-stale", SELDOM, &[]).await?;
    scene.stage.emulator.set_faults(FaultPlan::none().with("DescribeSecret", When::Always, Fault::StaleRead { seconds: 2 }));
    scene.put(0, "read later")?;
    scene.mirrored(0, "read later").await?;
    ensure!(scene.messages("requested").await? == 1, "one event, and no check of its own");
    scene.operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_leader_receives_and_the_next_one_goes_on() -> Result<()> {
    let flags = |name: &'static str| {
        let lease = ["--leader-elect", "--lease-namespace", NAMESPACE, "--lease-identity", name, "--lease-duration", "120s"];
        // A slow machine renews it in time.
        [&lease[..], &["--lease-renew-deadline", "80s", "--lease-retry-period", "1s", "--log", "info"]].concat()
    };
    let scene = Scene::new("queue-leader", SELDOM, &flags("first")).await?;
    let url = scene.queue.url();
    let further = [&["--event-queue-url", url.as_str(), "--refresh-interval", SELDOM], flags("second").as_slice()].concat();
    let standby = Operator::start_with(&scene.stage, &further).await?;
    scene.put(0, "seen by the leader")?;
    scene.mirrored(0, "seen by the leader").await?;
    ensure!(standby.metric("rotated_secrets_feed_receives_total{outcome=\"ok\"}").await? < 1.0, "the standby receives nothing");

    // No goodbye: what the leader was waiting for is answered to a dead connection, and comes again after the visibility timeout.
    scene.operator.kill().await?;
    // As if it had run out.
    let leases: Api<Lease> = Api::namespaced(scene.stage.plane().admin(), NAMESPACE);
    leases.delete("rotated-secrets", &DeleteParams::default()).await?;
    standby.says(READABLE).await?;
    scene.stage.ready(&name(1)).await?;
    scene.stage.mirrors_have_aged().await?;
    scene.put(1, "seen by the next one")?;
    scene.mirrored(1, "seen by the next one").await?;
    standby.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_two_namespaces_finds_the_objects_of_both_by_one_queue() -> Result<()> {
    let stage = Stage::enter("queue-scope").await?;
    let other = stage.plane().namespace("queue-other").await?;
    let queue = stage.emulator.create_event_queue("changes", &["AWSCURRENT"]);
    let (url, namespaces) = (queue.url(), format!("{other},{}", stage.namespace));
    let flags = ["--event-queue-url", &url, "--refresh-interval", SELDOM, "--namespaces", &namespaces, "--log", "info"];
    let operator = Operator::start_with(&stage, &flags).await?;
    stage.create(&name(0), json!({"value": {"generate": {"password": {}}}})).await?;
    stage.ready(&name(0)).await?;
    let scene = Scene { operator, stage, queue };
    scene.drained().await?;
    scene.stage.mirrors_have_aged().await?;
    scene.put(0, "in one of two")?;
    scene.mirrored(0, "in one of two").await?;
    ensure!(scene.messages("requested").await? == 1, "one message asked for a reconcile");
    scene.operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_lists_and_a_queue_an_object_that_is_left_to_the_lists_is_found_by_its_event() -> Result<()> {
    let scene = Scene::new("queue-feed", "4s", &["--log", "info", "--change-feed"]).await?;
    until("every object is left to the lists", async || {
        Ok((scene.operator.metric("rotated_secrets_feed_objects{covered=\"true\"}").await? >= 5.0).then_some(()))
    })
    .await?;
    // The lists do not show the change within this test.
    scene.stage.emulator.set_list_lag(std::time::Duration::from_hours(1));
    scene.stage.emulator.clear_log();
    scene.put(0, "by its event")?;
    scene.mirrored(0, "by its event").await?;
    scene.drained().await?;
    scene.idle().await?;
    let described = scene.calls("DescribeSecret", 0);
    ensure!((1..=OF_A_CHANGE.0).contains(&described.0) && described.1 == 0, "{described:?}");
    scene.operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_event_is_made_up_for_by_the_periodic_check_and_a_poisoned_queue_is_emptied() -> Result<()> {
    const MARK: &str = "hunter2-of-the-sender";
    let scene = Scene::new("queue-poison", OFTEN, &[]).await?;
    scene.stage.emulator.set_faults(FaultPlan::none().with(EVENT, When::Always, Fault::LoseEvent));
    scene.put(0, "without an event")?;
    scene.mirrored(0, "without an event").await?;
    ensure!(scene.messages("requested").await? == 0, "no event has arrived");
    scene.stage.emulator.set_faults(FaultPlan::none());

    let arn = scene.stage.aws_secret(&name(1)).context("the AWS secret")?.arn;
    let event = |arn: &str, label: &str, version: &str| {
        json!({
            "version": "0", "id": MARK, "detail-type": "Secret Label Updated", "source": "aws.secretsmanager", "account": "123456789012",
            "time": "2026-05-05T12:00:00Z", "region": "us-east-1", "resources": [arn],
            "detail": {"name": MARK, "labelUpdated": label, "versionId": version},
        })
        .to_string()
    };
    let unknown = format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{MARK}-a1b2c3");
    let poison = [
        (MARK.to_owned(), "invalid"),
        (MARK.repeat(10_000), "invalid"),
        ("[".repeat(20_000), "invalid"),
        (event(&arn, "AWSCURRENT", &MARK.repeat(10)), "invalid"),
        (event(MARK, "AWSCURRENT", MARK), "invalid"),
        (event(&arn, MARK, MARK), "other"),
        (json!({"source": MARK, "detail-type": MARK, "account": MARK, "resources": [], "detail": MARK}).to_string(), "other"),
        (event(&unknown, "AWSCURRENT", MARK), "unknown"),
        // A version that does not exist: the object is looked at, and nothing changes.
        (event(&arn, "AWSCURRENT", MARK), "requested"),
    ];
    let writes = scene.stage.emulator.counters().writes();
    // The events of the creation came before the objects were known.
    let before = scene.messages("unknown").await?;
    for (body, _) in &poison {
        scene.queue.post(body);
    }
    scene.drained().await?;
    for outcome in ["invalid", "other", "unknown", "requested"] {
        let expected = poison.iter().filter(|(_, of)| *of == outcome).count() as u64;
        // The object may have been in a periodic check at this moment.
        let more = if outcome == "requested" { scene.messages("in_progress").await? } else { 0 };
        let counted = scene.messages(outcome).await? + more - if outcome == "unknown" { before } else { 0 };
        ensure!(counted == expected, "{outcome}: {counted} instead of {expected}");
    }
    scene.put(1, "after the poison")?;
    scene.mirrored(1, "after the poison").await?;
    for number in 0..OBJECTS {
        scene.stage.ready(&name(number)).await?;
    }
    ensure!(scene.stage.emulator.counters().writes() == writes, "nothing is written to AWS");
    let output = scene.operator.output()?;
    ensure!(!output.contains(MARK), "what a message says is not logged: {:?}", output.lines().find(|line| line.contains(MARK)));
    scene.operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_denied_or_gone_is_told_once_and_objects_keep_working() -> Result<()> {
    let scene = Scene::new("queue-denied", OFTEN, &["--log", "info"]).await?;
    let lines = |message: &str| -> Result<usize> { Ok(scene.operator.log()?.iter().filter(|line| line["message"] == message).count()) };
    let denied = Fault::Refuse { code: "AccessDenied".to_owned(), message: "no".to_owned() };
    scene.stage.emulator.set_faults(FaultPlan::none().with("ReceiveMessage", When::Always, denied));
    // Ends the call in progress.
    scene.queue.post("x");
    until("the queue was denied three times", async || {
        Ok((scene.operator.metric("rotated_secrets_feed_receives_total{outcome=\"denied\"}").await? >= 3.0).then_some(()))
    })
    .await?;
    ensure!((lines(UNREADABLE)?, lines(READABLE)?) == (1, 1), "one line");
    scene.unreadable(true).await?;
    scene.put(0, "found by the check")?;
    scene.mirrored(0, "found by the check").await?;

    scene.stage.emulator.set_faults(FaultPlan::none());
    until("the queue works again", async || Ok((lines(READABLE)? == 2).then_some(()))).await?;
    scene.unreadable(false).await?;

    scene.queue.delete();
    until("the queue is gone", async || Ok((lines(UNREADABLE)? == 2).then_some(()))).await?;
    scene.put(1, "found without a queue")?;
    scene.mirrored(1, "found without a queue").await?;
    for number in 0..OBJECTS {
        scene.stage.ready(&name(number)).await?;
    }
    scene.operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_cannot_be_deleted_are_told_once_and_used_all_the_same() -> Result<()> {
    let scene = Scene::new("queue-undeleted", SELDOM, &["--log", "info"]).await?;
    let lines = |message: &str| -> Result<usize> { Ok(scene.operator.log()?.iter().filter(|line| line["message"] == message).count()) };
    let denied = Fault::Refuse { code: "AccessDenied".to_owned(), message: "no".to_owned() };
    scene.stage.emulator.set_faults(FaultPlan::none().with("DeleteMessageBatch", When::Always, denied));
    scene.put(0, "not deleted")?;
    scene.mirrored(0, "not deleted").await?;
    // Each one ends a call for messages, which succeeds.
    for refused in 1..=3 {
        until("the deletion was refused", async || {
            Ok((scene.operator.metric("rotated_secrets_feed_receives_total{outcome=\"denied\"}").await? >= f64::from(refused))
                .then_some(()))
        })
        .await?;
        scene.queue.post("x");
    }
    ensure!((lines(UNREADABLE)?, lines(READABLE)?) == (1, 1), "one line");
    scene.unreadable(true).await?;

    scene.stage.emulator.set_faults(FaultPlan::none());
    scene.queue.post("x");
    until("the queue works again", async || Ok((lines(READABLE)? == 2).then_some(()))).await?;
    scene.unreadable(false).await?;
    ensure!(lines(UNREADABLE)? == 1, "one line");
    scene.operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_ends_leaves_messages_for_the_next_one() -> Result<()> {
    let scene = Scene::new("queue-end", SELDOM, &["--log", "info"]).await?;
    // A reconcile that holds the end up.
    let gate = Gate::at("PutSecretValue", Moment::Before);
    scene.stage.emulator.set_write_barrier(Some(Arc::clone(&gate) as Arc<dyn WriteBarrier>));
    scene.stage.request_rotation(&name(0), "now").await?;
    gate.hangs().await?;
    scene.operator.ask_to_stop()?;
    scene.operator.says("stopping: waiting for reconciles in progress").await?;
    scene.queue.post("of the next one");
    gate.open();
    ensure!(scene.operator.stopped().await?.success(), "it ends in order");
    let left = scene.queue.bodies();
    ensure!(left.contains(&"of the next one".to_owned()), "{left:?}");
    Ok(())
}
