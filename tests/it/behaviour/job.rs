//! Values that Jobs take to their service: one Job for each step, made from a suspended CronJob of the namespace.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use rotated_secrets::api::{ABANDONED_LABEL, ADOPT_BY, JOB_OF, Outcome, REFRESH, TEMPLATE_FOR};
use serde_json::{Value, json};
use testkit::jobs::{self, Exit, Files, Service};

use super::stage::{HOUR, MINUTE, Stage};

/// The password that the service has before.
const OLD: &str = "theirs-canary-4rT9";
const TEMPLATE: &str = "rotate-orders";

/// A service, a template, and an object that has adopted the password of the service.
struct Scene {
    stage: Stage,
    service: Service,
    /// The exit code of the next programs, which do nothing then; 0: they do their step.
    exits: Arc<AtomicI32>,
}

/// Programs that go on until their Job is deleted.
const RUNS: i32 = -1;
const TIMED_OUT: i32 = -2;

impl Scene {
    async fn new() -> Result<Self> {
        let scene = Self { stage: Stage::new("job").await?, service: Service::new(OLD), exits: Arc::default() };
        let stage = &scene.stage;
        jobs::template(&stage.world.admin, &stage.world.namespace, TEMPLATE, "app").await?;
        let (service, exits) = (scene.service.clone(), Arc::clone(&scene.exits));
        stage.world.jobs.set(move |files: &Files| match exits.load(Ordering::SeqCst) {
            0 => service.program(files),
            RUNS => Exit::Runs,
            TIMED_OUT => Exit::TimedOut,
            code => Exit::Code(code),
        });
        let value = json!({"username": "orders", "password": OLD, "realm": "shop"}).to_string();
        let tags = [(ADOPT_BY.to_owned(), format!("{}/app", stage.world.namespace))].into();
        stage.external_writer().create(&stage.aws_name("app"), &value, &tags)?;
        Ok(scene)
    }

    fn spec() -> Value {
        json!({
            "aws": {"adoptionPolicy": "IfTagged"},
            "value": {"data": {"username": "orders"}, "generate": {"password": {}}},
            "rotation": {"schedule": "rate(12 hours)", "job": {"templateRef": {"kind": "CronJob", "name": TEMPLATE}, "checkInterval": "1h"}},
        })
    }

    /// With an object that is settled and has the old password.
    async fn settled() -> Result<Self> {
        let scene = Self::new().await?;
        scene.stage.settled("app", Self::spec()).await?;
        assert_eq!(scene.stage.data("app").await?["password"], OLD, "an adopted password stays until a rotation is due");
        scene.stage.world.jobs.take();
        Ok(scene)
    }

    /// The same, and the Job of a requested rotation runs.
    async fn running() -> Result<Self> {
        let scene = Self::settled().await?;
        scene.exit(RUNS);
        scene.stage.world.request_rotation("app", "now").await?;
        for _ in 0..8 {
            scene.stage.reconcile("app").await?;
        }
        Ok(scene)
    }

    fn exit(&self, code: i32) {
        self.exits.store(code, Ordering::SeqCst);
    }

    async fn request(&self, token: &str) -> Result<()> {
        self.stage.advance(MINUTE);
        self.stage.world.request_rotation("app", token).await?;
        self.stage.settle("app").await
    }

    fn steps(&self) -> Vec<String> {
        self.stage.world.jobs.take().into_iter().map(|(step, _)| step).collect()
    }

    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.stage.world.admin.clone(), &self.stage.world.namespace)
    }

    fn templates(&self) -> Api<CronJob> {
        Api::namespaced(self.stage.world.admin.clone(), &self.stage.world.namespace)
    }

    /// The Secrets of Jobs that still have values.
    async fn held(&self) -> Result<Vec<String>> {
        let secrets = self.stage.world.secrets().list(&ListParams::default().labels(JOB_OF)).await?;
        Ok(secrets.into_iter().filter(|secret| secret.data.iter().flatten().next().is_some()).map(|secret| secret.name_any()).collect())
    }

    /// The current password is the one that pods have, that the service accepts, and that no Job or Event shows.
    async fn check(&self) -> Result<String> {
        let password = self.stage.data("app").await?["password"].clone();
        ensure!(self.service.accepts(&password), "the mirrored password works");
        ensure!(self.held().await?.is_empty(), "values are left: {:?}", self.held().await?);
        let shown = serde_json::to_string(&self.jobs().list(&ListParams::default()).await?.items)?;
        let status = serde_json::to_string(&self.stage.object("app").await?)?;
        ensure!(![OLD, &password].iter().any(|password| shown.contains(*password) || status.contains(*password)), "a value is shown");
        Ok(password)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_take_each_value_to_its_service_before_pods_get_it() -> Result<()> {
    let scene = Scene::settled().await?;
    let stage = &scene.stage;
    scene.request("now").await?;
    let requested = scene.check().await?;
    ensure!(requested != OLD);
    assert_eq!(scene.steps(), ["apply", "verify"], "one Job for each step");
    assert_eq!(stage.value("app")["realm"], "shop", "what is not declared stays");
    stage.world.check_agreement("app").await?;
    stage.assert_silence("app").await?;
    stage.advance(12 * HOUR);
    stage.settle("app").await?;
    ensure!(scene.check().await? != requested, "also by schedule");
    let steps = scene.steps();
    ensure!(steps.ends_with(&["apply".to_owned(), "verify".to_owned()]), "{steps:?}");

    let jobs = scene.jobs().list(&ListParams::default().labels(JOB_OF)).await?.items;
    let uid = stage.object("app").await?.uid().context("a uid")?;
    for job in &jobs {
        let spec = job.spec.as_ref().context("a spec")?;
        assert_eq!((spec.backoff_limit, spec.completions, spec.active_deadline_seconds), (Some(0), Some(1), Some(300)));
        ensure!(job.owner_references().iter().any(|owner| owner.uid == uid && owner.controller == Some(true)));
        ensure!(job.name_any().len() <= 63 && job.name_any().starts_with("app-"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_with_its_exit_code_and_tried_seldom() -> Result<()> {
    let scene = Scene::settled().await?;
    let stage = &scene.stage;
    scene.exit(3);
    scene.request("now").await?;
    let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    ensure!(message.contains("JobRefused: ExitCode3") && message.contains(&format!("CronJob {TEMPLATE}")), "{message}");
    scene.check().await?;
    scene.steps();
    stage.live("app", HOUR).await?;
    let attempts = scene.steps().len();
    ensure!((3..=8).contains(&attempts), "{attempts} attempts in an hour: 1 minute first, then twice as long each time");
    stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    scene.exit(0);
    // The longest wait between two attempts is 72 minutes.
    stage.live("app", 2 * HOUR).await?;
    ensure!(scene.check().await? != OLD, "the staged version is finished");
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_made_before_the_backoff_is_over_is_looked_at_when_it_ends() -> Result<()> {
    let scene = Scene::settled().await?;
    let stage = &scene.stage;
    scene.exit(3);
    scene.request("now").await?;
    stage.live("app", HOUR).await?;
    scene.exit(0);
    scene.steps();
    stage.world.annotate("app", REFRESH, "now").await?;
    stage.live("app", MINUTE).await?;
    assert_eq!(scene.steps(), ["apply", "verify"]);
    ensure!(scene.check().await? != OLD, "the staged version is finished");
    stage.expect("app", "Ready", "True", "Succeeded").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_did_is_not_known_after_a_deadline_or_another_exit_code_and_another_one_follows() -> Result<()> {
    let scene = Scene::settled().await?;
    let stage = &scene.stage;
    for (round, (exit, word)) in [(TIMED_OUT, "Timeout"), (10, "JobFailed"), (137, "JobFailed")].into_iter().enumerate() {
        scene.exit(exit);
        stage.advance(MINUTE);
        stage.world.request_rotation("app", &format!("{exit}")).await?;
        stage.live("app", 2 * MINUTE).await?;
        let first = stage.expect("app", "Rotated", "False", "TargetUnreachable").await?;
        ensure!(first.contains(word) && first.contains("refuses the one in the Secret"), "{first}");
        let jobs = scene.jobs().list(&ListParams::default().labels(JOB_OF)).await?.items;
        ensure!(jobs.len() <= 2 * (round + 1) + 1, "one Job for each step of a version: {}", jobs.len());
        scene.exit(0);
        stage.live("app", 10 * MINUTE).await?;
        ensure!(scene.check().await? != OLD);
        stage.expect("app", "Rotated", "True", "Succeeded").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_cannot_be_verified_is_undone() -> Result<()> {
    let scene = Scene::settled().await?;
    let stage = &scene.stage;
    let service = scene.service.clone();
    stage.world.jobs.set(move |files: &Files| if files["step"] == "verify" { Exit::Code(2) } else { service.program(files) });
    scene.request("now").await?;
    let message = stage.expect("app", "Rotated", "False", "VerifyFailed").await?;
    ensure!(message.contains("was abandoned"), "{message}");
    assert_eq!(scene.steps(), ["apply", "verify", "undo"]);
    assert_eq!(scene.check().await?, OLD);
    let aws = stage.world.aws_secret("app").context("an AWS secret")?;
    ensure!(!aws.labels.contains_key("AWSPENDING") && aws.labels.contains_key(ABANDONED_LABEL), "{:?}", aws.labels);
    assert_eq!(stage.status("app").await?.history.first().map(|entry| entry.outcome), Some(Outcome::Abandoned));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_missing_runs_by_itself_or_does_not_name_the_object_is_refused() -> Result<()> {
    let scene = Scene::settled().await?;
    let stage = &scene.stage;
    let patch = async |patch: Value| scene.templates().patch(TEMPLATE, &PatchParams::default(), &Patch::Merge(patch)).await;
    for (number, change, undo, word) in [
        (0, json!({"spec": {"suspend": false}}), json!({"spec": {"suspend": true}}), "TemplateNotSuspended"),
        (
            1,
            json!({"metadata": {"annotations": {TEMPLATE_FOR: null}}}),
            json!({"metadata": {"annotations": {TEMPLATE_FOR: "another, app"}}}),
            "TemplateNotOffered",
        ),
        (
            2,
            json!({"spec": {"jobTemplate": {"spec": {"managedBy": "not a name"}}}}),
            json!({"spec": {"jobTemplate": {"spec": {"managedBy": "testkit.example.com/kubelet"}}}}),
            "TemplateUnusable",
        ),
    ] {
        if patch(change).await.is_err() {
            // The API server did not accept such a template either.
            continue;
        }
        scene.request(&format!("{number}")).await?;
        let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
        ensure!(message.contains(word) && message.starts_with(&format!("CronJob {TEMPLATE} ")), "{message}");
        assert_eq!(scene.steps(), Vec::<String>::new(), "nothing ran");
        patch(undo).await?;
        stage.live("app", 10 * MINUTE).await?;
        scene.check().await?;
        scene.steps();
    }
    let template = scene.templates().get(TEMPLATE).await?;
    scene.templates().delete(TEMPLATE, &DeleteParams::default()).await?;
    scene.request("3").await?;
    let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    ensure!(message.contains("TemplateMissing"), "{message}");
    drop(template);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_nothing_runs_and_the_condition_says_what_to_set() -> Result<()> {
    let mut scene = Scene::new().await?;
    scene.stage.ctx.policy.rotation_jobs = false;
    scene.stage.settled("app", Scene::spec()).await?;
    scene.request("now").await?;
    let message = scene.stage.expect("app", "Rotated", "False", "JobsNotAllowed").await?;
    ensure!(message.contains("--allow-rotation-jobs") && message.contains("rotationJobs.namespaces"), "{message}");
    assert_eq!(scene.stage.data("app").await?["password"], OLD, "pods keep what works");
    ensure!(scene.jobs().list(&ListParams::default()).await?.items.is_empty());
    scene.stage.ctx.policy.rotation_jobs = true;
    scene.stage.settle("app").await?;
    ensure!(scene.check().await? != OLD);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_job_runs_the_reconcile_does_not_wait_and_the_condition_names_it() -> Result<()> {
    let scene = Scene::running().await?;
    let stage = &scene.stage;
    let result = stage.reconcile("app").await?;
    let again = result.again.context("a time")?.as_secs();
    ensure!((1..=30).contains(&again) && !result.changed && !result.failed, "{result:?}");
    let message = stage.expect("app", "Rotated", "True", "Succeeded").await?;
    ensure!(message.contains("step apply goes on in Job app-apply-"), "{message}");
    stage.expect("app", "Ready", "True", "Succeeded").await?;
    assert_eq!(scene.held().await?.len(), 1, "its pod can read the values");
    let before = stage.writes.take();
    for _ in 0..3 {
        stage.reconcile("app").await?;
    }
    assert_eq!(stage.writes.take(), Vec::<String>::new(), "after {before:?}");
    // Another process goes on with the same Job.
    let jobs = async || -> Result<Vec<Option<String>>> {
        Ok(scene.jobs().list(&ListParams::default()).await?.iter().map(ResourceExt::uid).collect())
    };
    let running = jobs().await?;
    let other = stage.operator().await?;
    stage.world.settle(&other, "app").await.ok();
    assert_eq!(jobs().await?, running);
    scene.exit(0);
    stage.settle("app").await?;
    ensure!(scene.check().await? != OLD);
    assert_eq!(scene.steps(), ["apply", "verify"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_while_a_job_applies_has_it_undone() -> Result<()> {
    let scene = Scene::running().await?;
    let stage = &scene.stage;
    assert_eq!(scene.jobs().list(&ListParams::default()).await?.items.len(), 1);
    // It did its work and was not seen to end.
    let pending = stage.world.aws_secret("app").context("a secret")?;
    let value = pending.labelled("AWSPENDING").and_then(|version| version.value()).context("a staged value")?;
    let value: Value = serde_json::from_slice(value.as_bytes())?;
    scene.service.set(value["password"].as_str().context("a password")?);
    scene.exit(0);
    stage.delete_object("app").await?;
    stage.settle("app").await?;
    ensure!(stage.world.objects().get_opt("app").await?.is_none(), "it is gone");
    ensure!(scene.service.accepts(OLD), "the current password works");
    assert_eq!(scene.steps(), ["apply", "undo"], "the Job that applied it was at work, and ended first");
    ensure!(scene.held().await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_finds_out_that_the_service_has_another_password() -> Result<()> {
    let scene = Scene::settled().await?;
    let stage = &scene.stage;
    stage.live("app", 3 * HOUR).await?;
    let steps = scene.steps();
    ensure!((2..=4).contains(&steps.len()) && steps.iter().all(|step| step == "check"), "one in an hour: {steps:?}");
    scene.service.set("of another client");
    stage.live("app", 2 * HOUR).await?;
    let message = stage.expect("app", "Rotated", "False", "TargetDiverged").await?;
    ensure!(message.contains("JobRefused: ExitCode1"), "{message}");
    ensure!(scene.held().await?.is_empty());
    scene.service.set(OLD);
    stage.live("app", 2 * HOUR).await?;
    stage.expect("app", "Rotated", "True", "Succeeded").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_tenant_with_the_name_of_a_step_is_not_taken_for_ours() -> Result<()> {
    let scene = Scene::running().await?;
    let stage = &scene.stage;
    // The name is known, since it follows from what everybody can read.
    let ours = scene.jobs().list(&ListParams::default()).await?.items.remove(0);
    scene.jobs().delete(&ours.name_any(), &DeleteParams::background()).await?;
    let gone = async || Ok(scene.jobs().get_opt(&ours.name_any()).await?.is_none().then_some(()));
    testkit::until("the Job is gone", gone).await?;
    let theirs: Job = serde_json::from_value(json!({
        "metadata": {"name": ours.name_any()},
        "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}},
    }))?;
    scene.jobs().create(&kube::api::PostParams::default(), &theirs).await?;
    stage.settle("app").await?;
    let message = stage.expect("app", "Rotated", "False", "ApplyFailed").await?;
    ensure!(message.contains("JobNameTaken"), "{message}");
    assert_eq!(stage.data("app").await?["password"], OLD);
    ensure!(scene.held().await?.is_empty(), "nobody gets the values");
    Ok(())
}
