//! Flags, their environment names and their defaults, and the wiring of `run`.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::{Client, ResourceExt as _};

use crate::endpoints::{self, Endpoints, Heartbeat, Readiness};
use crate::aws::{Aws, EndpointConfig};
use crate::kubernetes::events::Events;
use crate::kubernetes::stored::Brief;
use crate::controller::{self, Working};
use crate::desired::Policy;
use crate::metrics::Metrics;
use crate::reconcile::Context;
use crate::telemetry::{self, LogFormat};

mod availability;

use availability::AvailabilityArgs;

/// The least that AWS bears: one write of a secret in ten minutes.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
const LEAST_INTERVAL: SignedDuration = SignedDuration::from_mins(10);

/// Owns the whole life of credentials: creates them in AWS Secrets Manager, rotates them on schedule and mirrors them into Secrets, as
/// RotatedSecret objects ask.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator until SIGTERM or Ctrl-C.
    Run(Box<RunArgs>),
    /// Print the CustomResourceDefinition as YAML.
    Crd,
}

/// Flags of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The AWS region of objects that name none in spec.aws.region. Default: as the AWS SDK finds it (AWS_REGION, profile).
    #[arg(long, env = "ROTATED_SECRETS_AWS_REGION", value_name = "REGION")]
    aws_region: Option<String>,
    /// The regions that objects may name; default: any.
    #[arg(long, env = "ROTATED_SECRETS_ALLOWED_REGIONS", value_name = "REGION,...", value_delimiter = ',')]
    allowed_regions: Vec<String>,
    /// The KMS keys that objects may name in spec.aws, as globs over alias, id or ARN, whichever they write; default: any.
    #[arg(long, env = "ROTATED_SECRETS_ALLOWED_KMS_KEYS", value_name = "GLOB,...", value_delimiter = ',')]
    allowed_kms_keys: Vec<String>,
    /// Let objects say with spec.aws.resourcePolicy who else may use their AWS secret. Whoever may write such an object can then grant access to it.
    #[arg(long, env = "ROTATED_SECRETS_ALLOW_RESOURCE_POLICIES")]
    allow_resource_policies: bool,
    /// Speak to this endpoint instead of AWS's own; https, or http on loopback.
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL", value_parser = endpoint)]
    aws_endpoint_url: Option<String>,
    /// Use AWS's FIPS endpoints (as AWS_USE_FIPS_ENDPOINT does).
    #[arg(long, env = "ROTATED_SECRETS_AWS_USE_FIPS_ENDPOINT")]
    aws_use_fips_endpoint: bool,
    /// Let objects act in AWS as a ServiceAccount of their own namespace (spec.aws.serviceAccountRef). Needs further rights:
    /// deploy/optional/service-accounts.yaml.
    #[arg(long, env = "ROTATED_SECRETS_ALLOW_SERVICE_ACCOUNT_IDENTITY")]
    allow_service_account_identity: bool,
    /// AWS names are `<prefix>/<namespace>/<name>`.
    #[arg(long, env = "ROTATED_SECRETS_NAME_PREFIX", value_name = "PREFIX", default_value = "k8s", value_parser = prefix)]
    name_prefix: String,
    /// The cluster's name in the ownership tags of AWS secrets; default: the uid of the namespace kube-system.
    #[arg(long, env = "ROTATED_SECRETS_CLUSTER_ID", value_name = "ID", value_parser = tag_value)]
    cluster_id: Option<String>,
    /// Schedules may not ask for rotations closer than this. AWS bears no less than 10m for one secret.
    #[arg(long, env = "ROTATED_SECRETS_MINIMUM_ROTATION_INTERVAL", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    minimum_rotation_interval: SignedDuration,
    /// Allow a minimum rotation interval under ten minutes. For demonstrations against an emulator: AWS runs out of versions.
    #[arg(long, env = "ROTATED_SECRETS_DEVELOPMENT")]
    development: bool,
    /// How long an object without news may go without a look at AWS.
    #[arg(long, env = "ROTATED_SECRETS_REFRESH_INTERVAL", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    refresh_interval: SignedDuration,
    /// How many objects are looked at at once.
    #[arg(long, env = "ROTATED_SECRETS_CONCURRENCY", value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=512))]
    concurrency: u16,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "ROTATED_SECRETS_HTTP_ADDRESS", value_name = "IP:PORT", default_value = "0.0.0.0:8080")]
    http_address: SocketAddr,
    /// Also tell metrics of each object, with its namespace and name: five series each.
    #[arg(long, env = "ROTATED_SECRETS_METRICS_PER_OBJECT")]
    metrics_per_object: bool,
    /// For people or for machines.
    #[arg(long, env = "ROTATED_SECRETS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
    /// What to log: a level, or directives as in `info,rotated_secrets=debug`. Libraries that could log a value stay quiet whatever is said here.
    #[arg(long, env = "ROTATED_SECRETS_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
    #[command(flatten)]
    availability: AvailabilityArgs,
}

/// Why the operator stopped before it was asked to. One sentence, with what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Fatal(String);

/// Carries out the command line.
///
/// # Errors
/// One sentence that says what is missing and what to do.
pub async fn execute(cli: Cli) -> Result<(), Fatal> {
    match cli.command {
        Command::Crd => {
            use std::io::Write as _;
            std::io::stdout().write_all(crd()?.as_bytes()).map_err(|_| Fatal("standard output is closed".to_owned()))
        }
        Command::Run(args) => run(*args).await,
    }
}

/// The CustomResourceDefinition as it is shipped in `crds/`.
///
/// # Errors
/// Never for the type as it is.
pub fn crd() -> Result<String, Fatal> {
    let unwritable = || Fatal("the definition could not be written as YAML".to_owned());
    let definition = crate::api::definition().ok_or_else(unwritable)?;
    let yaml = serde_saphyr::to_string(&definition).map_err(|_| unwritable())?;
    Ok(format!("# Generated by `rotated-secrets crd`; pinned by a test. Do not edit.\n{yaml}"))
}

async fn run(args: RunArgs) -> Result<(), Fatal> {
    let RunArgs {
        aws_region,
        allowed_regions,
        allowed_kms_keys,
        allow_resource_policies,
        aws_endpoint_url,
        aws_use_fips_endpoint,
        allow_service_account_identity,
        name_prefix,
        cluster_id,
        minimum_rotation_interval,
        development,
        refresh_interval,
        concurrency,
        http_address,
        metrics_per_object,
        log_format,
        log,
        availability,
    } = args;
    telemetry::init(log_format, &log).map_err(|error| Fatal(format!("--log: {error}")))?;
    if minimum_rotation_interval < LEAST_INTERVAL && !development {
        return Err(Fatal(
            "--minimum-rotation-interval: AWS bears no less than 10m for one secret; against an emulator add --development".to_owned(),
        ));
    }
    availability.check()?;
    let metrics = Metrics::new();
    let (readiness, pulse) = (Readiness::default(), Heartbeat::default());
    tokio::spawn(pulse.clone().beat());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let pages = Endpoints { metrics: metrics.clone(), readiness: readiness.clone(), pulse };
    let serving = endpoints::serve(http_address, pages, until(stopped.clone()))
        .map_err(|_| Fatal(format!("--http-address: {http_address} cannot be listened on; is another operator running there?")))?;

    let mut config =
        kube::Config::infer().await.map_err(|_| Fatal("no cluster to work for: set KUBECONFIG, or run in a pod".to_owned()))?;
    // The queue tries again, with everybody else's turn in between.
    config.default_retry = false;
    let client = Client::try_from(config.clone()).map_err(|_| Fatal("the kubeconfig cannot be used: check its certificates".to_owned()))?;
    let scope = availability.scope();
    controller::check(&client, &scope).await.map_err(|error| Fatal(error.to_string()))?;
    let cluster = match cluster_id {
        Some(id) => id,
        None => cluster_uid(&client).await?,
    };
    let endpoints = EndpointConfig { region: aws_region, endpoint: aws_endpoint_url, fips: aws_use_fips_endpoint };
    let aws = Aws::load(&endpoints, &cluster, metrics.clone()).await;
    let default_region = aws.region().ok_or_else(|| Fatal("no AWS region: set --aws-region, AWS_REGION or a profile".to_owned()))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        region = default_region,
        prefix = name_prefix,
        cluster,
        minimum_rotation_interval = %minimum_rotation_interval,
        "starting"
    );
    let ctx = Arc::new(Context {
        events: Events::new(client.clone()),
        client: client.clone(),
        aws,
        policy: Policy {
            default_region,
            allowed_regions,
            name_prefix,
            cluster,
            minimum_interval: minimum_rotation_interval,
            service_accounts: allow_service_account_identity,
            allowed_kms_keys,
            allow_resource_policies,
        },
        clock: Arc::new(now),
        metrics,
        refresh_interval,
        #[cfg(feature = "weakened")]
        weakness: None,
    });
    // Heard from here on: a signal that comes before ends the process as it is, with nothing under way.
    let signalled = signalled()?;
    let (election, leadership) = availability.election(&client, &config, &ctx.metrics);
    let (ended, all_ended) = tokio::sync::watch::channel(false);
    let electing = election.map(|election| tokio::spawn(election.run(until(all_ended))));
    let mut watching =
        tokio::spawn(controller::run(ctx, &scope, Working { concurrency, metrics_per_object }, leadership, readiness, until(stopped)));
    tokio::select! {
        () = signalled => {}
        // Alive and idle would look like health.
        _ = &mut watching => return Err(Fatal("the watches have ended by a defect; please report it with the log".to_owned())),
    }
    tracing::info!("stopping: turns under way are finished first");
    let _ = stop.send(true);
    let _ = watching.await;
    // Not before: who takes the Lease finds nothing under way.
    let _ = ended.send(true);
    if let Some(electing) = electing {
        let _ = electing.await;
    }
    // Somebody who scrapes slowly must not hold up the end.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), serving).await;
    tracing::info!("stopped");
    Ok(())
}

/// The time in whole seconds, which is what the API server keeps: a status computed twice from the same facts is the same.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

async fn until(mut stopped: tokio::sync::watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn signalled() -> Result<impl Future<Output = ()>, Fatal> {
    use tokio::signal::unix::{SignalKind, signal};
    let heard = |kind| signal(kind).map_err(|_| Fatal("signals cannot be received".to_owned()));
    let (mut terminate, mut interrupt) = (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn cluster_uid(client: &Client) -> Result<String, Fatal> {
    let namespace = Api::<Brief<Namespace>>::all(client.clone()).get("kube-system").await;
    namespace
        .ok()
        .and_then(|namespace| namespace.uid())
        .ok_or_else(|| Fatal("the uid of the namespace kube-system, which names the cluster, cannot be read: set --cluster-id".to_owned()))
}

pub(crate) fn duration(text: &str) -> Result<SignedDuration, String> {
    let parsed: SignedDuration = text.parse().map_err(|_| "write a duration such as 90m or 36h".to_owned())?;
    if parsed < SignedDuration::from_secs(1) { Err("at least 1s".to_owned()) } else { Ok(parsed) }
}

/// A value of a tag of an AWS secret and of a session, in a form that both take.
fn tag_value(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || " _.:/=+@-".contains(c);
    if text.is_empty() || text.len() > 128 || !text.chars().all(fine) {
        return Err("1 to 128 letters, digits, spaces and _ . : / = + @ -".to_owned());
    }
    Ok(text.to_owned())
}

fn prefix(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    if text.is_empty() || text.len() > 128 || !text.chars().all(fine) || text.starts_with('/') || text.ends_with('/') {
        return Err("1 to 128 letters, digits and / _ + = . @ -, with no slash at either end".to_owned());
    }
    Ok(text.to_owned())
}

/// Credentials and values go there, so it is AWS's own, or TLS, or this machine.
pub(crate) fn endpoint(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|_| "write a URL such as https://secretsmanager.eu-central-1.amazonaws.com".to_owned())?;
    let loopback = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => Ok(text.to_owned()),
        Some("http") if loopback => Ok(text.to_owned()),
        _ => Err("https, or http on loopback: secret values go there".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for good in ["https://secretsmanager.eu-central-1.amazonaws.com", "http://127.0.0.1:4566", "http://localhost:1", "http://[::1]:8"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in ["http://example.com", "http://127.0.0.1.example.com", "ftp://127.0.0.1", "secretsmanager", "http://10.0.0.1"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_written_as_in_go() {
        assert_eq!(duration("90m").unwrap(), SignedDuration::from_mins(90));
        assert_eq!(duration("36h").unwrap(), SignedDuration::from_hours(36));
        for bad in ["", "0s", "-1h", "soon", "10"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
