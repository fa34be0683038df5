//! Incidents, and the alerts that they cause: the operator meets a fault, its metrics are read once a minute, and the engine
//! of Prometheus evaluates the rules and the dashboard of the chart over them. Time is that of the emulator, so the minutes are
//! exact.

mod dashboard;
mod documented;
mod operator;
mod release;
mod rollouts;

use anyhow::{Context as _, Result, ensure};
use kube::api::DeleteParams;
use serde_json::json;
use testkit::emulator::{Fault, FaultPlan, When};
use testkit::fixtures::{spec, unscheduled};

use self::dashboard::Shows::{Above, Exactly, Nothing};
use self::dashboard::Sight;
use self::documented::is_documented;
use self::release::Release;

/// What panels show of four objects that are as declared.
const HEALTHY: [(&str, dashboard::Shows); 11] = [
    ("Ready A", Exactly(4)),
    ("Not Ready A", Exactly(0)),
    ("Overdue A", Exactly(0)),
    ("User action required A", Exactly(0)),
    ("Out of step A", Exactly(0)),
    ("Leaders A", Exactly(1)),
    ("Objects that are not Ready, by reason A", Nothing),
    ("Objects by reason B", Exactly(0)),
    ("Most overdue A", Exactly(0)),
    ("Failed reconciles A", Nothing),
    ("Objects that are not Ready, by namespace A", Nothing),
];

fn healthy(minute: usize) -> impl Iterator<Item = Sight> {
    HEALTHY.into_iter().map(move |(panel, shows)| (minute, panel, shows))
}

fn refuse(code: &str) -> Fault {
    Fault::Refuse { code: code.to_owned(), message: "no".to_owned() }
}

/// What is wrong, and which alerts fire and what panels show how many minutes after it began.
struct Incident {
    name: &'static str,
    faults: FaultPlan,
    moments: Vec<(usize, &'static [&'static str])>,
    sights: Vec<Sight>,
}

async fn check(incident: &Incident) -> Result<()> {
    let mut release = Release::of(4, &spec()).await?;
    let (start, lines) = (release.now(), release.lines());
    release.stage.world.emulator.set_faults(incident.faults.clone());
    let end = incident.moments.iter().map(|(minute, _)| *minute).max().context("a moment")?;
    release.run(end).await?;
    let trouble = release.trouble();
    let log = (release.lines() - lines, end);
    // The release recovers, the alerts end, and the panels show it.
    release.stage.mend_aws();
    release.run(75).await?;
    let mut moments: Vec<_> = incident.moments.iter().map(|(minute, alerts)| (start + minute, *alerts)).collect();
    moments.push((release.now(), &[]));
    let mut sights: Vec<_> = incident.sights.iter().map(|(minute, panel, shows)| (start + minute, *panel, *shows)).collect();
    sights.extend(healthy(release.now()));
    release.check(&moments, &sights).with_context(|| format!("{}, from minute {start} to {}: {trouble}", incident.name, start + end))?;
    is_documented(incident.name, &incident.moments, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_without_incidents_fires_no_alert_while_it_rotates() -> Result<()> {
    let mut release = Release::of(4, &spec()).await?;
    release.run(150).await?;
    ensure!(release.stage.versions("app-0") >= 3, "rotations");
    let end = release.now();
    release.check(&[(end, &[])], &healthy(end).collect::<Vec<_>>())?;
    // What is not as expected is noticed.
    ensure!(release.check(&[(end, &["RotatedSecretsOverdue"])], &[]).is_err());
    for wrong in [("Ready A", Exactly(3)), ("Not Ready A", Nothing), ("Overdue A", Above(0.0)), ("No such panel A", Nothing)] {
        ensure!(release.check(&[(end, &[])], &[(end, wrong.0, wrong.1)]).is_err(), "{wrong:?}");
    }
    Ok(())
}

/// AWS does this to every call.
fn everything(fault: Fault) -> FaultPlan {
    FaultPlan::none().with("*", When::Always, fault)
}

/// What panels show when every call to AWS fails, for 90 minutes.
fn all_fail() -> Vec<Sight> {
    vec![
        (90, "Ready A", Exactly(0)),
        (90, "Not Ready A", Exactly(4)),
        (90, "Overdue A", Exactly(4)),
        (90, "Objects that are not Ready, by reason A", Exactly(4)),
        (90, "Objects by reason B", Exactly(4)),
        (90, "Most overdue A", Above(900.0)),
        (90, "Overdue, by namespace A", Above(900.0)),
        (90, "Objects that are not Ready, by namespace A", Exactly(4)),
        (90, "Not Ready since, by namespace A", Above(3600.0)),
        (90, "Leaders A", Exactly(1)),
        // Later attempts are rare.
        (6, "Failed reconciles A", Above(0.0)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_refuses_to_all_pages_once_and_ends_when_it_is_over() -> Result<()> {
    const ALL: &[&str] = &["RotatedSecretsFailing", "RotatedSecretsMostObjectsFail", "RotatedSecretsOverdue"];
    for (name, fault) in
        [("AWS denies everything", refuse("AccessDeniedException")), ("AWS does not work", Fault::ServerError { status: 503 })]
    {
        let moments = vec![(5, &[][..]), (20, &["RotatedSecretsMostObjectsFail"]), (90, ALL)];
        check(&Incident { name, faults: everything(fault), moments, sights: all_fail() }).await?;
    }
    let moments = vec![
        (5, &[][..]),
        (20, &["RotatedSecretsMostObjectsFail"]),
        (30, &["RotatedSecretsMostObjectsFail", "RotatedSecretsThrottled"]),
        (90, &["RotatedSecretsFailing", "RotatedSecretsMostObjectsFail", "RotatedSecretsOverdue", "RotatedSecretsThrottled"]),
    ];
    let sights = [all_fail(), vec![(6, "Throttled requests A", Above(0.5))]].concat();
    check(&Incident { name: "AWS throttles everything", faults: everything(Fault::Throttle), moments, sights }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_refuses_to_a_rotation_is_noticed_when_it_is_due() -> Result<()> {
    const ALL: &[&str] = &["RotatedSecretsFailing", "RotatedSecretsMostObjectsFail", "RotatedSecretsOverdue"];
    let put = |fault: Fault| FaultPlan::none().with("PutSecretValue", When::Always, fault);
    // The objects are an hour old in minute 50.
    let moments = vec![(40, &[][..]), (105, ALL)];
    let sights = vec![
        (40, "Not Ready A", Exactly(0)),
        (105, "Not Ready A", Exactly(4)),
        (53, "Failed steps A", Above(0.0)),
        (53, "New versions B", Above(0.0)),
    ];
    check(&Incident { name: "the key is disabled", faults: put(refuse("EncryptionFailure")), moments, sights }).await?;
    let moments = vec![
        (40, &[][..]),
        (105, &["RotatedSecretsFailing", "RotatedSecretsMostObjectsFail", "RotatedSecretsOverdue", "RotatedSecretsThrottled"]),
    ];
    let sights = vec![(105, "Not Ready A", Exactly(4)), (53, "Throttled requests A", Above(0.5))];
    check(&Incident { name: "AWS throttles PutSecretValue", faults: put(Fault::Throttle), moments, sights }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn short_errors_of_aws_fire_no_alert() -> Result<()> {
    let now_and_then = |chance: f64, fault: Fault| FaultPlan::seeded(1).with("*", When::Probability(chance), fault);
    let faults = now_and_then(0.1, Fault::ServerError { status: 500 });
    check(&Incident { name: "one call of ten fails", faults, moments: vec![(120, &[])], sights: Vec::new() }).await?;
    let faults = now_and_then(0.01, Fault::Throttle);
    check(&Incident { name: "one call of a hundred is throttled", faults, moments: vec![(120, &[])], sights: Vec::new() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_aws_that_is_used_up_is_an_alert_also_if_no_object_suffers() -> Result<()> {
    let throttled = async |release: &mut Release| {
        release.stage.world.emulator.set_faults(FaultPlan::seeded(1).with("*", When::Probability(0.25), Fault::Throttle));
        Ok(())
    };
    let release = Release::of(30, &unscheduled()).await?;
    let (moments, sights) = ([(15, &[][..]), (40, &["RotatedSecretsThrottled"])], [(40, "Throttled requests A", Above(0.05))]);
    with_release(release, "one call of four is throttled", throttled, &moments, &sights).await
}

/// What happens to a release with four objects, by hand.
async fn with(
    incident: &str,
    begin: impl AsyncFnOnce(&mut Release) -> Result<()>,
    moments: &[(usize, &[&str])],
    sights: &[Sight],
) -> Result<()> {
    with_release(Release::of(4, &spec()).await?, incident, begin, moments, sights).await
}

async fn with_release(
    mut release: Release,
    incident: &str,
    begin: impl AsyncFnOnce(&mut Release) -> Result<()>,
    moments: &[(usize, &[&str])],
    sights: &[Sight],
) -> Result<()> {
    let (start, lines) = (release.now(), release.lines());
    begin(&mut release).await?;
    let end = moments.iter().map(|(minute, _)| start + minute).max().unwrap_or(start);
    release.run(end.saturating_sub(release.now())).await?;
    let log = (release.lines() - lines, release.now() - start);
    let since_start: Vec<_> = moments.iter().map(|(minute, alerts)| (start + minute, *alerts)).collect();
    let sights: Vec<_> = sights.iter().map(|(minute, panel, shows)| (start + minute, *panel, *shows)).collect();
    release.check(&since_start, &sights).with_context(|| format!("{incident}: {}", release.trouble()))?;
    is_documented(incident, moments, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_owner_of_one_object_has_to_correct_is_no_alert_for_the_platform() -> Result<()> {
    let taken = async |release: &mut Release| {
        let name = release.stage.aws_name("theirs");
        release.stage.external_writer().create(&name, "{}", &std::collections::BTreeMap::new())?;
        release.add("theirs", unscheduled()).await
    };
    with(
        "the AWS secret of one object belongs to another owner",
        taken,
        &[(10, &[]), (20, &["RotatedSecretsStalled"])],
        &[(20, "Ready A", Exactly(4)), (20, "Not Ready A", Exactly(1)), (20, "User action required A", Exactly(1))],
    )
    .await?;
    let mut often = spec();
    often["rotation"]["schedule"] = json!("rate(5 minutes)");
    let refused = async |release: &mut Release| release.add("often", often).await;
    with(
        "the operator refuses the spec of one object",
        refused,
        &[(10, &[]), (20, &["RotatedSecretsStalled"])],
        &[(20, "Ready A", Exactly(4)), (20, "User action required A", Exactly(1))],
    )
    .await?;
    let pending = async |release: &mut Release| {
        let name = release.stage.aws_name("app-0");
        release.stage.external_writer().put_pending(&name, r#"{"password":"theirs"}"#)?;
        Ok(())
    };
    with(
        "a version of another writer is pending in one AWS secret",
        pending,
        &[(40, &[]), (80, &["RotatedSecretsOverdue", "RotatedSecretsStalled"])],
        &[(80, "Overdue A", Exactly(1)), (80, "Overdue, by namespace A", Above(900.0))],
    )
    .await?;
    let refused = async |release: &mut Release| {
        release.stage.world.refusals.quota.set(true);
        release.add("new", unscheduled()).await
    };
    with(
        "a quota of the namespace refuses a new Secret",
        refused,
        &[(5, &[]), (20, &["RotatedSecretsOutOfStep"]), (45, &["RotatedSecretsFailing", "RotatedSecretsOutOfStep"])],
        &[(20, "Out of step A", Exactly(1)), (20, "Out of step, by namespace A", Exactly(1))],
    )
    .await?;
    let refused = async |release: &mut Release| {
        release.stage.world.refusals.policy.set(true);
        release.add("new", unscheduled()).await
    };
    with(
        "an admission policy refuses a new Secret",
        refused,
        &[(5, &[]), (25, &["RotatedSecretsOutOfStep", "RotatedSecretsStalled"])],
        &[(25, "Out of step A", Exactly(1)), (25, "User action required A", Exactly(1))],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_owner_is_told_also_while_aws_throttles() -> Result<()> {
    let both = async |release: &mut Release| {
        let name = release.stage.aws_name("theirs");
        release.stage.external_writer().create(&name, "{}", &std::collections::BTreeMap::new())?;
        release.add("theirs", unscheduled()).await?;
        release.run(20).await?;
        release.stage.world.emulator.set_faults(everything(Fault::Throttle));
        Ok(())
    };
    with(
        "AWS throttles everything from minute 20 on, and one object has been waiting for its owner since minute 0",
        both,
        &[
            (20, &["RotatedSecretsStalled"]),
            (40, &["RotatedSecretsMostObjectsFail", "RotatedSecretsOutOfStep", "RotatedSecretsStalled"]),
            (50, &["RotatedSecretsMostObjectsFail", "RotatedSecretsOutOfStep", "RotatedSecretsStalled", "RotatedSecretsThrottled"]),
        ],
        &[(45, "User action required A", Exactly(1))],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fight_over_a_secret_is_an_alert_of_its_own() -> Result<()> {
    let fight = async |release: &mut Release| {
        for minute in 0..30 {
            release.stage.edit_secret("app-0", json!({"stringData": {"password": format!("edit-{minute}")}})).await?;
            release.touch("app-0");
            release.run(1).await?;
        }
        Ok(())
    };
    with(
        "another client writes a Secret once a minute",
        fight,
        &[(4, &[]), (25, &["RotatedSecretsContested", "RotatedSecretsOutOfStep", "RotatedSecretsStalled"])],
        &[(5, "Writes of Secrets and corrections of drift B", Above(1.0)), (25, "User action required A", Exactly(1))],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_aws_refuses_is_an_alert_of_its_own() -> Result<()> {
    let mut deletable = spec();
    deletable["aws"] = json!({"deletionPolicy": "Delete"});
    let denied = async |release: &mut Release| {
        release.add("old", deletable).await?;
        release.run(5).await?;
        release.stage.break_aws("DeleteSecret", refuse("AccessDeniedException"));
        release.stage.world.objects().delete("old", &DeleteParams::default()).await?;
        release.touch("old");
        Ok(())
    };
    // The time of the deletion is that of the API server, whose clock is behind: the alert is early here.
    with(
        "AWS refuses a deletion",
        denied,
        &[(30, &["RotatedSecretsDeletionStuck"])],
        &[(30, "Deletions and objects without rotation A", Exactly(1)), (30, "Longest deletion in progress, by namespace A", Above(900.0))],
    )
    .await
}
