//! Several replicas with a Lease between them: one acts, the next one takes over at once, and nothing is lost or doubled on the way.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use testkit::fixtures::scheduled;
use testkit::{Agreed, until};

use crate::operator::Operator;
use crate::rotating;
use crate::stage::{NAMESPACE, Stage};

/// How long a Lease lasts, and until when its holder renews it. It tries each second.
#[derive(Clone, Copy)]
struct Times(&'static str, &'static str);

/// A slow machine renews it in time. No test waits until it has run out.
const LONG: Times = Times("120s", "80s");
/// For tests that wait until it has run out. A slow machine may not renew it in time, and then another replica leads earlier.
const SHORT: Times = Times("3s", "2s");

/// A replica of this name.
async fn replica(stage: &Stage, name: &str, Times(duration, deadline): Times) -> Result<Operator> {
    let flags = ["--leader-elect", "--lease-namespace", NAMESPACE, "--lease-identity", name];
    let times = ["--lease-duration", duration, "--lease-renew-deadline", deadline, "--lease-retry-period", "1s", "--log", "info"];
    Operator::start_with(stage, &[flags.as_slice(), &times].concat()).await
}

fn leases(stage: &Stage) -> Api<Lease> {
    Api::namespaced(stage.plane().admin(), NAMESPACE)
}

async fn holder(stage: &Stage) -> Result<Option<String>> {
    Ok(leases(stage).get_opt("rotated-secrets").await?.and_then(|lease| lease.spec).and_then(|spec| spec.holder_identity))
}

async fn held_by(stage: &Stage, name: &str) -> Result<()> {
    until(&format!("{name} holds the Lease"), async || Ok((holder(stage).await?.as_deref() == Some(name)).then_some(()))).await
}

/// Waits until an operator has asked for the Lease this often since `from`, whatever it was answered: once in each round of an election.
async fn lease_requests(stage: &Stage, from: usize, count: usize) -> Result<()> {
    until("the Lease was asked for", async || {
        let asked = stage.asked(from).await?.0;
        Ok((asked.iter().filter(|event| event.resource == "leases").count() >= count).then_some(()))
    })
    .await
}

async fn leads(operator: &Operator) -> Result<bool> {
    Ok(operator.metric("rotated_secrets_leader").await? >= 1.0)
}

/// How late the latest rotation was, in seconds.
fn latest(ends: &[(&str, Agreed)]) -> i64 {
    let pairs = ends.iter().flat_map(|(_, end)| end.aws.versions.windows(2));
    pairs.map(|pair| pair[1].created.as_second() - pair[0].created.as_second() - rotating::PERIOD).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_hands_the_lease_over_at_once_and_neither_loses_nor_doubles_a_rotation() -> Result<()> {
    let stage = Stage::enter("rollout").await?;
    let mut leader = replica(&stage, "replica-0", LONG).await?;
    held_by(&stage, "replica-0").await?;
    leader.says("became the leader").await?;
    rotating::create(&stage).await?;
    let mut gaps = Vec::new();
    for round in 1..=5 {
        // As a Deployment does: the next pod must be ready before the old one is told to go. A standby is.
        let next = replica(&stage, &format!("replica-{round}"), LONG).await?;
        ensure!(leads(&leader).await? && !leads(&next).await?, "ready, and not acting");
        rotating::rotate(&stage, 1).await?;
        ensure!(leader.terminate().await?.success(), "the old leader ends with code 0");
        let (released, ended) = (leader.said("released the Lease")?, Instant::now());
        held_by(&stage, &format!("replica-{round}")).await?;
        let taken = next.says("became the leader").await?;
        gaps.push(taken.duration_since(released).as_millis());
        println!("leader: round {round}: seen {:?} after the old leader's end", ended.elapsed());
        leader = next;
    }
    let ends = rotating::stop(&stage).await?;
    println!("leader: handed over after {gaps:?} ms; the latest rotation was {} s late", latest(&ends));
    let spec = leases(&stage).get("rotated-secrets").await?.spec.context("a spec")?;
    ensure!(spec.lease_transitions == Some(5), "five times: {spec:?}");
    let calls = stage.emulator.counters();
    let refused = calls.count("PutSecretValue", "ResourceExistsException") + calls.count("CreateSecret", "ResourceExistsException");
    ensure!(refused == 0, "never did two of them begin the same: {refused}");
    leader.terminate().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_killed_leader_the_standby_takes_over_when_the_lease_has_run_out() -> Result<()> {
    let stage = Stage::enter("killed-leader").await?;
    let mut leader = replica(&stage, "replica-0", SHORT).await?;
    held_by(&stage, "replica-0").await?;
    rotating::create(&stage).await?;
    let mut gaps = Vec::new();
    for round in 1..=3 {
        let next = replica(&stage, &format!("replica-{round}"), SHORT).await?;
        rotating::rotate(&stage, 1).await?;
        let killed = Timestamp::now();
        leader.kill().await?;
        held_by(&stage, &format!("replica-{round}")).await?;
        gaps.push(next.says("became the leader").await?.duration_since(killed).as_millis());
        leader = next;
    }
    let ends = rotating::stop(&stage).await?;
    println!("leader: with a Lease of 3 s, taken over after {gaps:?} ms; the latest rotation was {} s late", latest(&ends));
    leader.terminate().await?;
    Ok(())
}

/// Renews a Lease for another holder until it is dropped. The Lease lasts so long that no pause of this machine lets it run out.
struct Stranger(Api<Lease>, tokio::task::JoinHandle<()>);

impl Drop for Stranger {
    fn drop(&mut self) {
        self.1.abort();
    }
}

impl Stranger {
    async fn holds(api: Api<Lease>) -> Result<Self> {
        let spec = LeaseSpec {
            holder_identity: Some("somebody".to_owned()),
            lease_duration_seconds: Some(300),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta { name: Some("rotated-secrets".to_owned()), ..ObjectMeta::default() };
        api.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await?;
        let renewed = api.clone();
        let renews = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let renewal = json!({"spec": {"renewTime": MicroTime(Timestamp::now())}});
                let _ = renewed.patch("rotated-secrets", &PatchParams::default(), &Patch::Merge(renewal)).await;
            }
        });
        Ok(Self(api, renews))
    }

    /// Renews it no more. It has run out after one second.
    async fn leaves(self) -> Result<()> {
        self.1.abort();
        let last = json!({"spec": {"leaseDurationSeconds": 1}});
        self.0.patch("rotated-secrets", &PatchParams::default(), &Patch::Merge(last)).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_ready_and_asks_nothing_of_aws_and_writes_nothing_until_it_leads() -> Result<()> {
    let stage = Stage::enter("standby").await?;
    let (_, from) = stage.asked(0).await?;
    let stranger = Stranger::holds(leases(&stage)).await?;
    let standby = replica(&stage, "standby", LONG).await?;
    stage.create("a", scheduled("rate(30 days)")).await?;
    lease_requests(&stage, from, 6).await?;
    standby.check()?;
    let (asked, _) = stage.asked(from).await?;
    let wrote: Vec<&String> =
        asked.iter().filter(|event| !matches!(event.verb.as_str(), "get" | "list" | "watch")).map(|e| &e.uri).collect();
    ensure!(wrote.is_empty(), "a standby writes nothing, not even the Lease: {wrote:?}");
    ensure!(stage.emulator.counters().all().is_empty(), "nor does it ask AWS: {:?}", stage.emulator.counters().all());
    ensure!(!leads(&standby).await?, "and says so");
    ensure!(standby.metric("rotated_secrets_leaderless_seconds").await? < 1.0, "another replica leads");

    stranger.leaves().await?;
    held_by(&stage, "standby").await?;
    let agreed = stage.ready("a").await?;
    ensure!(agreed.aws.versions.len() == 1, "what it knew all the time is made");
    until("it leads", async || Ok(leads(&standby).await?.then_some(()))).await?;
    standby.terminate().await?;
    ensure!(holder(&stage).await?.is_none(), "and leaves the Lease behind, free");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_another_client_takes_names_it_and_leads_again_when_that_is_gone() -> Result<()> {
    let stage = Stage::enter("taken-lease").await?;
    let operator = replica(&stage, "replica-0", LONG).await?;
    held_by(&stage, "replica-0").await?;
    operator.says("became the leader").await?;
    let renewed = MicroTime(Timestamp::now());
    let taken = json!({"spec": {"holderIdentity": "another-client", "renewTime": renewed, "leaseDurationSeconds": 1}});
    leases(&stage).patch("rotated-secrets", &PatchParams::default(), &Patch::Merge(taken)).await?;
    let lost = until("it says who holds the Lease", async || {
        Ok(operator.log()?.into_iter().find(|line| line["message"] == "lost the leadership"))
    })
    .await?;
    ensure!(lost["holder"] == "another-client" && lost["identity"] == "replica-0", "{lost}");
    held_by(&stage, "replica-0").await?;
    operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_renew_begins_nothing_and_goes_on_when_it_can() -> Result<()> {
    // Alone: rights are taken away.
    let stage = Stage::alone("no-renewal").await?;
    // Far apart, so that it stops in time also if this machine pauses.
    let operator = replica(&stage, "replica-0", Times("15s", "5s")).await?;
    held_by(&stage, "replica-0").await?;
    stage.create("a", scheduled("rate(30 days)")).await?;
    stage.ready("a").await?;

    let bindings: Api<RoleBinding> = Api::namespaced(stage.plane().admin(), NAMESPACE);
    bindings.delete("rotated-secrets-leader", &DeleteParams::default()).await?;
    until("it leads no more", async || Ok((!leads(&operator).await?).then_some(()))).await?;
    let stopped = operator.says("could not renew the Lease before the renew deadline; starting no new reconciles").await?;
    let renewed = leases(&stage).get("rotated-secrets").await?.spec.and_then(|spec| spec.renew_time).context("a renewal")?;
    ensure!(renewed.0 < stopped && stopped < renewed.0 + Duration::from_secs(15), "it stopped before the Lease had run out");
    let leaderless = async || operator.metric("rotated_secrets_leaderless_seconds").await;
    until("the time without a leader is measured", async || Ok((leaderless().await? >= 1.0).then_some(()))).await?;
    let (_, from) = stage.asked(0).await?;
    stage.emulator.counters().reset();
    stage.create("b", scheduled("rate(30 days)")).await?;
    stage.patch("a", json!({"metadata": {"annotations": {"rotated-secrets.io/rotate": "please"}}})).await?;
    lease_requests(&stage, from, 4).await?;
    let (asked, _) = stage.asked(from).await?;
    let wrote = asked.iter().filter(|event| event.is_write()).count();
    ensure!(wrote == 0 && stage.emulator.counters().all().is_empty(), "nothing is begun: {:?}", stage.emulator.counters().all());
    ensure!(operator.get("/livez").await?.0 == 200 && operator.get("/readyz").await?.0 == 200, "alive and ready: a restart would not help");

    stage.plane().apply_yaml(include_str!("../../deploy/install.yaml")).await?;
    ensure!(stage.acknowledged("a", "please").await?.aws.versions.len() == 2, "the request is carried out, once");
    ensure!(stage.ready("b").await?.aws.versions.len() == 1, "and the new object made");
    until("the Lease is held again", async || Ok((leaderless().await? < 1.0).then_some(()))).await?;
    operator.check()
}
