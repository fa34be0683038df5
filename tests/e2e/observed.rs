//! What is seen from outside of one rotation: the log, the metrics, the user agent that CloudTrail shows.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::emulator::{Fault, FaultPlan, When};
use testkit::until;

use crate::operator::Operator;
use crate::stage::Stage;

fn field<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    line[name].as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_id_leads_through_the_log_and_the_user_agent_names_operator_and_cluster() -> Result<()> {
    let stage = Stage::enter("traced").await?;
    let operator = Operator::start_with(&stage, &["--log", "info"]).await?;
    stage.create("db", json!({"value": {"generate": {"password": {}}}, "rotation": {"schedule": "rate(30 days)"}})).await?;
    stage.ready("db").await?;
    let agreed = stage.rotate("db", "please").await?;
    let version = agreed.aws.labels.get("AWSCURRENT").context("a current version")?.clone();
    operator.says("rotated").await?;
    let log = operator.log()?;
    let traced: Vec<&Value> = log.iter().filter(|line| field(line, "version") == Some(&version)).collect();
    let steps: Vec<&str> = traced.iter().filter(|line| line["message"] == "step").filter_map(|line| field(line, "step")).collect();
    ensure!(steps == ["Put", "ReplaceMirror"], "each step, in its order: {steps:?}");
    let end = traced.last().context("lines")?;
    ensure!(end["message"] == "rotated" && end["cause"] == "Requested", "and what came of it: {end}");
    for line in traced {
        ensure!(field(line, "object") == Some(&format!("{}/db", stage.namespace)), "each names the object: {line}");
    }
    let audited = until("the audit stream has the rotation and its Secret", async || {
        let lines = operator.audited()?;
        let last = lines.iter().filter(|line| field(line, "version") == Some(&version)).map(|line| field(line, "action")).next_back();
        Ok((last == Some(Some("mirrored"))).then_some(lines))
    })
    .await?;
    // A line may be repeated.
    let mut changes = Vec::new();
    for change in audited.iter().map(|line| (field(line, "action"), field(line, "version"))) {
        if !changes.contains(&change) {
            changes.push(change);
        }
    }
    let actions: Vec<&str> = changes.iter().filter_map(|(action, _)| *action).collect();
    ensure!(actions == ["created", "mirrored", "rotated", "mirrored"], "the audit stream has each change: {audited:#?}");
    let rotated = audited.iter().find(|line| line["action"] == "rotated").context("a rotation")?;
    ensure!(field(rotated, "version") == Some(&version) && field(rotated, "request") == Some("please"), "{rotated}");
    ensure!(field(rotated, "requester").is_some() && field(rotated, "arn") == Some(&agreed.aws.arn), "{rotated}");

    let uid = stage.kubectl(&["get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}"]).await?;
    let name = format!("app/rotated-secrets-{}-{uid}", env!("CARGO_PKG_VERSION"));
    let (name, callers) = (&name[.."app/".len() + 50], stage.emulator.callers());
    ensure!(!callers.is_empty() && callers.iter().all(|caller| caller.contains(name)), "{name} in {callers:?}");
    operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_filter_follows_a_file_and_a_refusal_of_aws_has_its_request_id() -> Result<()> {
    let stage = Stage::enter("filtered").await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("log");
    let operator = Operator::start_with(&stage, &["--log", "info", "--log-filter-file", &file.display().to_string()]).await?;
    let says = async |message: &str| {
        let what = format!("the log says: {message}");
        until(&what, async || Ok(operator.log()?.into_iter().find(|line| field(line, "message") == Some(message)))).await
    };
    let denied = Fault::Refuse { code: "AccessDeniedException".to_owned(), message: "no".to_owned() };
    stage.emulator.set_faults(FaultPlan::none().with("CreateSecret", When::Always, denied));
    let spec = || json!({"value": {"generate": {"password": {}}}});
    stage.create("one", spec()).await?;
    let failed = says("a step failed").await?;
    let id = field(&failed, "request_id").context("an ID")?;
    ensure!(id.len() == 36 && field(&failed, "reason") == Some("AccessDenied"), "{failed}");
    ensure!(field(&failed, "version").is_some_and(|version| !version.is_empty()), "the version that is created: {failed}");
    ensure!(!operator.log()?.iter().any(|line| line["level"] == "DEBUG"), "not yet");

    std::fs::write(&file, "rotated_secrets=loud")?;
    says("the log filter in the file is not used").await?;
    std::fs::write(&file, "rotated_secrets=debug\n")?;
    says("the log filter was changed").await?;
    stage.create("two", spec()).await?;
    says("an AWS call failed").await?;
    operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_throttling_that_the_sdk_absorbs_of_repairs_and_if_asked_of_each_object() -> Result<()> {
    let stage = Stage::enter("measured").await?;
    let operator = Operator::start_with(&stage, &["--metrics-per-object", "--log", "info"]).await?;
    stage.emulator.set_faults(FaultPlan::none().with("CreateSecret", When::First(1), Fault::Throttle));
    let spec = json!({
        "aws": {"description": "ours"}, "value": {"generate": {"password": {}}}, "rotation": {"schedule": "rate(30 days)"},
    });
    stage.create("db", spec).await?;
    stage.ready("db").await?;
    let once = async |series: &str| operator.counts(&format!("rotated_secrets_{series}"), 1.0).await;
    once("aws_requests_total{operation=\"CreateSecret\",outcome=\"throttled\"}").await?;
    once("aws_requests_total{operation=\"CreateSecret\",outcome=\"ok\"}").await.context("sent again")?;
    once("aws_calls_total{operation=\"CreateSecret\",outcome=\"ok\"}").await.context("which was one call")?;
    once("aws_call_duration_seconds_count{operation=\"CreateSecret\"}").await.context("measured as one")?;
    once("rotations_total{strategy=\"Generate\",cause=\"Created\",outcome=\"Succeeded\"}").await?;
    once("mirror_writes_total{cause=\"NewVersion\"}").await?;
    once("objects{ready=\"True\",reason=\"Succeeded\"}").await?;
    let requests = async |labels: &str| operator.metric(&format!("rotated_secrets_kubernetes_requests_total{{{labels}}}")).await;
    ensure!(requests("method=\"POST\",code=\"201\"").await? >= 1.0, "the Secret was created");
    until("three kinds of objects were listed and are watched", async || {
        Ok((requests("method=\"GET\",code=\"200\"").await? >= 6.0).then_some(()))
    })
    .await?;
    ensure!(requests("method=\"GET\",code=\"429\"").await? < 1.0, "the API server refused none for its load");
    let labels = format!("{{object_namespace=\"{}\",object_name=\"db\"}}", stage.namespace);
    once(&format!("object_ready{labels}")).await.context("by name")?;
    operator.counts(&format!("rotated_secrets_object_overdue_seconds{labels}"), 0.0).await.context("by name")?;

    stage.mirrors_have_aged().await?;
    stage.kubectl(&["delete", "secret", "db"]).await?;
    until("the Secret is back", async || Ok(stage.secrets().get_opt("db").await?.map(drop))).await?;
    stage.emulator.external_writer().set_description(&stage.aws_name("db"), "theirs")?;
    stage.refresh("db", "look").await?;
    until("the description is ours again", async || {
        Ok((stage.aws_secret("db").and_then(|aws| aws.description).as_deref() == Some("ours")).then_some(()))
    })
    .await?;
    stage.ready("db").await?;
    once("mirror_writes_total{cause=\"Repair\"}").await?;
    once("drift_repairs_total{step=\"CreateMirror\"}").await?;
    once("drift_repairs_total{step=\"SetDescription\"}").await?;

    stage.emulator.set_faults(FaultPlan::none().with(
        "PutSecretValue",
        When::Always,
        Fault::Refuse { code: "AccessDeniedException".to_owned(), message: String::new() },
    ));
    stage.ask_rotation("db", "please").await?;
    stage.refused("db", "AccessDenied").await?;
    once("rotations_total{strategy=\"Generate\",cause=\"Requested\",outcome=\"Failed\"}").await.context("an attempt that failed")?;
    once("steps_total{step=\"Put\",outcome=\"failed\"}").await.context("at its step")?;
    once("errors_total{reason=\"AccessDenied\"}").await.context("for its reason")?;
    once("objects_failing").await?;
    operator.check()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_secret_that_outlives_its_object_is_logged_counted_and_told() -> Result<()> {
    let stage = Stage::enter("retained").await?;
    let operator = Operator::start_with(&stage, &["--log", "info"]).await?;
    for (name, policy) in [("kept", "Retain"), ("gone", "Delete")] {
        stage.create(name, json!({"aws": {"deletionPolicy": policy}, "value": {"generate": {"password": {}}}})).await?;
        stage.ready(name).await?;
        stage.kubectl(&["delete", "rsec", name]).await?;
    }
    let count = "rotated_secrets_aws_secrets_retained_total";
    until("the secret is counted", async || Ok((operator.metric(count).await? >= 1.0).then_some(()))).await?;
    let event = until("the Event", async || {
        let notes = stage.kubectl(&["get", "events", "--field-selector=reason=AwsSecretRetained", "--output=jsonpath={.items[*].message}"]);
        Ok(Some(notes.await?).filter(|notes| !notes.is_empty()))
    })
    .await?;
    let secret = stage.aws_secret("kept").context("it stays")?;
    ensure!(event.matches("the AWS secret").count() == 1 && event.contains(&secret.arn), "{event}");
    ensure!((operator.metric(count).await? - 1.0).abs() < f64::EPSILON, "the other secret does not stay");
    let log = operator.log()?;
    ensure!(log.iter().any(|line| field(line, "note").is_some_and(|note| note.contains(&secret.arn))), "the log has its name");
    operator.check()
}
