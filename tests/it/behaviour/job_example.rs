//! The script of examples/orders-by-job.yaml, run by a shell against a service with its API.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, put};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use rotated_secrets::api::{ADOPT_BY, RotatedSecret};
use serde_json::json;
use testkit::control_plane;
use testkit::jobs::{Exit, Files};

use super::stage::{HOUR, MINUTE, Stage};

const EXAMPLE: &str = include_str!("../../../examples/orders-by-job.yaml");
const NAME: &str = "orders-by-job";
const USER: &str = "orders";
/// What a shell could take for something else.
const OLD: &str = "$HOME `id` \"it's\" \\ %s %%";

/// The password of the user, and whether the service answers.
type Service = Arc<Mutex<(String, bool)>>;

fn knows(service: &Service, headers: &HeaderMap) -> Result<(), StatusCode> {
    let (password, answers) = service.lock().unwrap().clone();
    let wanted = format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{password}")));
    match headers.get("authorization").is_some_and(|given| given.as_bytes() == wanted.as_bytes()) {
        _ if !answers => Err(StatusCode::SERVICE_UNAVAILABLE),
        false => Err(StatusCode::UNAUTHORIZED),
        true => Ok(()),
    }
}

async fn serve(service: Service) -> Result<String> {
    let login = async |State(service): State<Service>, headers: HeaderMap| knows(&service, &headers);
    let set = async |State(service): State<Service>, headers: HeaderMap, body: String| {
        knows(&service, &headers)?;
        service.lock().unwrap().0 = body;
        Ok::<_, StatusCode>(StatusCode::NO_CONTENT)
    };
    let router = Router::new().route("/login", get(login)).route("/password", put(set)).with_state(service);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

/// Runs the script as the pod does. Everything that it prints is kept.
fn run(script: &str, url: &str, files: &Files, printed: &Mutex<String>) -> Result<Exit> {
    let within = tempfile::tempdir()?;
    let folder = within.path();
    for (name, text) in files {
        std::fs::write(folder.join(name), text)?;
    }
    let program = folder.join("rotate.sh");
    std::fs::write(&program, script)?;
    let mut shell = Command::new("sh");
    shell.arg(&program).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("VALUES", folder).env("URL", url);
    let output = shell.stdin(Stdio::null()).output()?;
    printed.lock().unwrap().extend([output.stdout, output.stderr].iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    Ok(Exit::Code(output.status.code().context("an exit code")?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_of_the_example_rotates_the_password_of_its_service() -> Result<()> {
    let stage = Stage::new("job-example").await?;
    let namespace = stage.world.namespace.clone();
    control_plane().await?.apply_yaml_in(&namespace, EXAMPLE).await?;
    let maps: Api<ConfigMap> = Api::namespaced(stage.world.admin.clone(), &namespace);
    let script = maps.get("rotate-orders").await?.data.context("data")?.remove("rotate.sh").context("a script")?;
    // No pod can run here, so the Jobs are those of the test.
    let ours = json!({"spec": {"jobTemplate": {"spec": {"managedBy": "testkit.example.com/kubelet"}}}});
    let templates: Api<CronJob> = Api::namespaced(stage.world.admin.clone(), &namespace);
    templates.patch("rotate-orders", &PatchParams::default(), &Patch::Merge(ours)).await?;
    let (service, printed): (Service, Arc<Mutex<String>>) = (Arc::new(Mutex::new((OLD.to_owned(), true))), Arc::default());
    let url = serve(Arc::clone(&service)).await?;
    stage.world.jobs.set({
        let printed = Arc::clone(&printed);
        move |files: &Files| run(&script, &url, files, &printed).unwrap()
    });
    // The object of the example, adopted here.
    let objects: Api<RotatedSecret> = stage.world.objects();
    let mut spec = serde_json::to_value(&objects.get(NAME).await?.spec)?;
    // The example rotates on the first day of the month. The test must not depend on the day on which it runs.
    let rotation = spec["rotation"].as_object_mut().context("a rotation")?;
    rotation.retain(|field, _| field == "job");
    rotation.insert("schedule".to_owned(), json!("rate(30 days)"));
    objects.delete(NAME, &kube::api::DeleteParams::default()).await?;
    let tags = [(ADOPT_BY.to_owned(), format!("{namespace}/{NAME}"))].into();
    let value = json!({"username": USER, "password": OLD}).to_string();
    stage.external_writer().create(&stage.aws_name(NAME), &value, &tags)?;
    stage.settled(NAME, spec).await?;

    let request = async |token: &str| -> Result<String> {
        stage.advance(MINUTE);
        stage.world.request_rotation(NAME, token).await?;
        stage.live(NAME, 5 * MINUTE).await?;
        Ok(stage.data(NAME).await?["password"].clone())
    };
    let steps = || stage.world.jobs.take().into_iter().map(|(step, _)| step).collect::<Vec<_>>();
    let first = request("one").await?;
    ensure!(first != OLD && service.lock().unwrap().0 == first, "{:?}", printed.lock().unwrap());
    assert_eq!(steps(), ["apply", "verify"]);

    service.lock().unwrap().1 = false;
    request("two").await?;
    let message = stage.expect(NAME, "Rotated", "False", "TargetUnreachable").await?;
    ensure!(message.contains("JobFailed"), "a service that does not answer refuses nothing: {message}");
    service.lock().unwrap().1 = true;
    stage.live(NAME, HOUR).await?;
    let second = stage.data(NAME).await?["password"].clone();
    ensure!(second != first && service.lock().unwrap().0 == second);

    "of-another-client".clone_into(&mut service.lock().unwrap().0);
    request("three").await?;
    let message = stage.expect(NAME, "Rotated", "False", "ApplyFailed").await?;
    ensure!(message.contains("ExitCode1"), "{message}");
    service.lock().unwrap().0.clone_from(&second);
    stage.live(NAME, HOUR).await?;
    let third = stage.data(NAME).await?["password"].clone();
    ensure!(service.lock().unwrap().0 == third && third != second);

    stage.live(NAME, 25 * HOUR).await?;
    ensure!(steps().contains(&"check".to_owned()), "once a day");
    "of-another-client".clone_into(&mut service.lock().unwrap().0);
    stage.live(NAME, 25 * HOUR).await?;
    stage.expect(NAME, "Rotated", "False", "TargetDiverged").await?;
    let printed = printed.lock().unwrap().clone();
    ensure!(![OLD, &first, &second].iter().any(|password| printed.contains(*password)), "a value is in the log of a pod");
    Ok(())
}
