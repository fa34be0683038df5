//! Command-line flags with their environment variables and defaults, and the startup and shutdown of `run`.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use jiff::{SignedDuration, Timestamp};

use crate::api::AwsAdoptionPolicy;
use crate::aws::EndpointConfig;
use crate::controller::{self, Counted, Settings};
use crate::desired::Policy;
use crate::endpoints::{self, Endpoints, Heartbeat, Readiness};
use crate::flags::{duration, endpoint, interval, tag};
use crate::kubernetes::publisher::Events;
use crate::metrics::Metrics;
use crate::reconcile::Context;

mod availability;
mod connecting;
mod fatal;
mod intervals;
mod logging;
mod shutdown;

use availability::AvailabilityArgs;
use connecting::{Connected, connect};
pub use fatal::Fatal;
use intervals::IntervalArgs;
use logging::LoggingArgs;
use shutdown::{Signals, Tasks};

/// AWS's recommendation: at most one write to a secret every ten minutes over long periods.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html>
const LEAST_INTERVAL: SignedDuration = SignedDuration::from_mins(10);

/// Kubernetes operator for AWS Secrets Manager: creates secrets, rotates them on a schedule and mirrors them into
/// Kubernetes Secrets, as declared by RotatedSecret objects.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator until it receives SIGTERM or SIGINT (Ctrl-C).
    Run(Box<RunArgs>),
    /// Print the CustomResourceDefinition as YAML.
    Crd,
}

/// Flags of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// AWS region of objects that do not set spec.aws.region. Default: the region that the AWS SDK determines
    /// (AWS_REGION, profile; the node with --allow-instance-identity).
    #[arg(long, env = "ROTATED_SECRETS_AWS_REGION", value_name = "REGION")]
    aws_region: Option<String>,
    /// AWS regions that objects may use, `*` for any. Default: the operator's own region only. A region that the
    /// cluster cannot reach delays the objects in it.
    #[arg(long, env = "ROTATED_SECRETS_ALLOWED_REGIONS", value_name = "REGION,...", value_delimiter = ',')]
    allowed_regions: Vec<String>,
    /// KMS keys that objects may use in spec.aws. Globs that are matched against the alias, ID or ARN as written in the
    /// object. Default: any. Otherwise an object without a key needs aws/secretsmanager in the list.
    #[arg(long, env = "ROTATED_SECRETS_ALLOWED_KMS_KEYS", value_name = "GLOB,...", value_delimiter = ',')]
    allowed_kms_keys: Vec<String>,
    /// Tags of every AWS secret that the operator creates or adopts, `KEY=VALUE,...`. Tags of the object with the same key
    /// take precedence. Drift is corrected as for the tags of the object.
    #[arg(long, env = "ROTATED_SECRETS_DEFAULT_TAGS", value_name = "KEY=VALUE,...", value_delimiter = ',', value_parser = tag)]
    default_tags: Vec<(String, String)>,
    /// Allow objects to set a resource policy (spec.aws.resourcePolicy). Users who can write such an object can then
    /// grant other principals access to its AWS secret.
    #[arg(long, env = "ROTATED_SECRETS_ALLOW_RESOURCE_POLICIES")]
    allow_resource_policies: bool,
    /// Allow spec.aws.blockPublicPolicy: false, with which a resource policy may grant public access.
    #[arg(long, env = "ROTATED_SECRETS_ALLOW_PUBLIC_POLICIES")]
    allow_public_policies: bool,
    /// The most that spec.aws.adoptionPolicy may request: Never, IfTagged or Always. With Always, an object may adopt any
    /// AWS secret without owner that its namespace may own.
    #[arg(long, env = "ROTATED_SECRETS_MAX_ADOPTION_POLICY", value_name = "POLICY", default_value = "IfTagged", value_parser = adoption)]
    max_adoption_policy: AwsAdoptionPolicy,
    /// Endpoint to use instead of the AWS endpoint. Must be https, or http on loopback.
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL", value_parser = endpoint)]
    aws_endpoint_url: Option<String>,
    /// Use the FIPS endpoints of AWS (same as AWS_USE_FIPS_ENDPOINT).
    #[arg(long, env = "ROTATED_SECRETS_AWS_USE_FIPS_ENDPOINT")]
    aws_use_fips_endpoint: bool,
    /// Allow objects to use the IAM role of a ServiceAccount in their namespace for AWS calls (spec.aws.serviceAccountRef),
    /// and a token of one for the receiver of a webhook (spec.rotation.webhook.serviceAccountToken). Requires additional RBAC: deploy/optional/service-accounts.yaml.
    #[arg(long, env = "ROTATED_SECRETS_ALLOW_SERVICE_ACCOUNT_IDENTITY")]
    allow_service_account_identity: bool,
    /// Allow rotations by Jobs of the namespace (spec.rotation.job). Requires additional RBAC:
    /// deploy/optional/rotation-jobs.yaml.
    #[arg(long, env = "ROTATED_SECRETS_ALLOW_ROTATION_JOBS")]
    allow_rotation_jobs: bool,
    /// Use the role of the node for AWS calls, from the EC2 instance metadata service (IMDS), if there are no other
    /// credentials. Every pod that reaches the service can use this role.
    #[arg(long, env = "ROTATED_SECRETS_ALLOW_INSTANCE_IDENTITY")]
    allow_instance_identity: bool,
    /// Prefix of AWS secret names, which have the form `<prefix>/<namespace>/<name>`. Default: `k8s/<cluster ID>`, so that
    /// clusters in one AWS account do not use the same names.
    #[arg(long, env = "ROTATED_SECRETS_NAME_PREFIX", value_name = "PREFIX", value_parser = prefix)]
    name_prefix: Option<String>,
    /// Cluster ID in the ownership tags and, by default, in the names of AWS secrets. Default: uid of the namespace
    /// kube-system.
    #[arg(long, env = "ROTATED_SECRETS_CLUSTER_ID", value_name = "ID", value_parser = tag_value)]
    cluster_id: Option<String>,
    /// Minimum interval between two rotations that a schedule may request. AWS recommends at most one write per
    /// secret every 10m over long periods.
    #[arg(long, env = "ROTATED_SECRETS_MINIMUM_ROTATION_INTERVAL", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    minimum_rotation_interval: SignedDuration,
    /// Minimum interval between the versions that rotate and rollback requests create in one AWS secret, and between those
    /// of changes of spec.value. The first three in a row do not wait. 0s turns it off.
    #[arg(long, env = "ROTATED_SECRETS_MINIMUM_REQUEST_INTERVAL", value_name = "DURATION", default_value = "10m", value_parser = interval)]
    minimum_request_interval: SignedDuration,
    /// Allow a minimum rotation interval below 10m, and databases on this machine (loopback). For demonstrations with an
    /// emulator only: AWS would reach its limit of about 100 versions per secret.
    #[arg(long, env = "ROTATED_SECRETS_DEVELOPMENT")]
    development: bool,
    #[command(flatten)]
    intervals: IntervalArgs,
    /// Maximum number of concurrent reconciles.
    #[arg(long, env = "ROTATED_SECRETS_CONCURRENCY", value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=512))]
    concurrency: u16,
    /// Address of the health endpoints /livez and /readyz. `[::]` is every IPv4 and IPv6 address.
    #[arg(long, env = "ROTATED_SECRETS_HEALTH_ADDRESS", value_name = "IP:PORT", default_value = "[::]:8081")]
    health_address: SocketAddr,
    /// Address of /metrics. `[::]` is every IPv4 and IPv6 address.
    #[arg(long, env = "ROTATED_SECRETS_METRICS_ADDRESS", value_name = "IP:PORT", default_value = "[::]:8080")]
    metrics_address: SocketAddr,
    /// Export metrics for each object, labelled with its namespace and name: five series per object.
    #[arg(long, env = "ROTATED_SECRETS_METRICS_PER_OBJECT")]
    metrics_per_object: bool,
    #[command(flatten)]
    logging: LoggingArgs,
    #[command(flatten)]
    availability: AvailabilityArgs,
}

/// Executes the command line.
///
/// # Errors
/// One sentence that states the cause and the action to take.
pub async fn execute(cli: Cli) -> Result<(), Fatal> {
    match cli.command {
        Command::Crd => {
            use std::io::Write as _;
            std::io::stdout().write_all(crd()?.as_bytes()).map_err(|_| Fatal("standard output is closed".to_owned()))
        }
        Command::Run(args) => run(*args).await,
    }
}

/// The CustomResourceDefinition as published in `crds/`.
///
/// # Errors
/// If the definition cannot be serialized. A test shows that this does not happen.
pub fn crd() -> Result<String, Fatal> {
    let unwritable = || Fatal("the CustomResourceDefinition could not be written as YAML".to_owned());
    let definition = crate::api::definition().ok_or_else(unwritable)?;
    let yaml = serde_saphyr::to_string(&definition).map_err(|_| unwritable())?;
    Ok(format!("# Generated by `rotated-secrets crd`; pinned by a test. Do not edit.\n{yaml}"))
}

async fn run(args: RunArgs) -> Result<(), Fatal> {
    let RunArgs {
        aws_region: region,
        allowed_regions,
        allowed_kms_keys,
        default_tags,
        allow_resource_policies,
        allow_public_policies,
        max_adoption_policy,
        aws_endpoint_url: endpoint,
        aws_use_fips_endpoint: fips,
        allow_service_account_identity,
        allow_rotation_jobs,
        allow_instance_identity: instance_identity,
        name_prefix,
        cluster_id,
        minimum_rotation_interval,
        minimum_request_interval,
        development,
        intervals,
        concurrency,
        health_address,
        metrics_address,
        metrics_per_object,
        logging,
        availability,
    } = args;
    // The first process of a container does not end by a signal that it does not handle.
    let mut signals = Signals::new()?;
    let (audit, max_age) = (logging.begin()?, intervals.max_age());
    let lines = audit.clone();
    check_interval(minimum_rotation_interval, development)?;
    availability.check()?;
    let metrics = Metrics::new();
    let (readiness, pulse) = (Readiness::default(), Heartbeat::default());
    tokio::spawn(pulse.clone().beat());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let pages = Endpoints { metrics: metrics.clone(), readiness: readiness.clone(), pulse };
    let serving =
        endpoints::serve(health_address, metrics_address, pages, until(stopped.clone())).map_err(|error| Fatal(error.to_string()))?;

    let scope = availability.scope();
    let endpoints = EndpointConfig { region, endpoint, fips, instance_identity };
    let connected = tokio::select! {
        connected = Box::pin(connect(&scope, cluster_id, &endpoints, &metrics)) => connected?,
        // Nothing is in progress.
        () = signals.next() => {
            tracing::info!("stopped before the start was complete");
            return Ok(());
        }
    };
    let Connected { config, client, unavailable, cluster, aws, default_region } = connected;
    let name_prefix = name_prefix.unwrap_or_else(|| default_prefix(&cluster));
    report_start(&default_region, &name_prefix, &cluster, minimum_rotation_interval);
    let ctx = Arc::new(Context {
        memory: Arc::default(),
        known: Arc::default(),
        events: Events::new(client.clone(), metrics.clone()).at_home(availability.home(&config)),
        client: client.clone(),
        aws,
        policy: Policy {
            allowed_regions: regions(allowed_regions, &default_region),
            default_region,
            name_prefix,
            cluster,
            minimum_interval: minimum_rotation_interval,
            request_interval: minimum_request_interval,
            service_accounts: allow_service_account_identity,
            rotation_jobs: allow_rotation_jobs,
            allowed_kms_keys,
            allow_resource_policies,
            default_tags: default_tags.into_iter().collect(),
            allow_public_policies,
            max_adoption: max_adoption_policy,
            local_targets: development,
        },
        clock: Arc::new(now),
        metrics,
        audit,
        feed: intervals.feed(&scope),
        event_index: intervals.event_index(),
        refresh_interval: intervals.refresh_interval,
        sweep_interval: intervals.sweep_interval,
        deletion_timeout: intervals.deletion_timeout,
        #[cfg(feature = "weakened")]
        weakness: None,
    });
    let (election, leadership) = availability.election(&client, &config, &ctx.metrics);
    let (ended, all_ended) = tokio::sync::watch::channel(false);
    let electing = election.map(|election| tokio::spawn(election.run(until(all_ended))));
    let settings =
        Settings { concurrency, counted: Counted { each: metrics_per_object, max_age }, unavailable, event_queues: intervals.event_queues };
    let watching = tokio::spawn(controller::run(ctx, &scope, &settings, leadership, readiness, until(stopped)));
    let ended = Tasks { watching, electing, stop, ended }.run(&mut signals).await;
    lines.close().await;
    ended?;
    // A slow scrape must not delay the shutdown.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), serving).await;
    tracing::info!("stopped");
    Ok(())
}

fn report_start(region: &str, prefix: &str, cluster: &str, minimum_rotation_interval: SignedDuration) {
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, region, prefix, cluster, %minimum_rotation_interval, "starting");
}

fn check_interval(minimum: SignedDuration, development: bool) -> Result<(), Fatal> {
    const TOO_SHORT: &str = "--minimum-rotation-interval must be at least 10m, because AWS recommends at most one write per secret every 10m; with an emulator, add --development";
    if minimum < LEAST_INTERVAL && !development { Err(Fatal(TOO_SHORT.to_owned())) } else { Ok(()) }
}

/// The regions as the policy has them, where an empty list means any.
fn regions(allowed: Vec<String>, own: &str) -> Vec<String> {
    if allowed.iter().any(|region| region == "*") {
        return Vec::new();
    }
    if allowed.is_empty() { vec![own.to_owned()] } else { allowed }
}

/// Current time in whole seconds, the precision of the API server, so that equal facts give an equal status.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

async fn until(mut stopped: tokio::sync::watch::Receiver<bool>) {
    // An error means that the sender was dropped, which also means stop.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// A string that is valid both as the value of an AWS secret tag and as the value of a session tag.
fn tag_value(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || " _.:/=+@-".contains(c);
    if text.is_empty() || text.len() > 128 || !text.chars().all(fine) {
        return Err("use 1 to 128 letters, digits, spaces and _ . : / = + @ -".to_owned());
    }
    Ok(text.to_owned())
}

fn adoption(text: &str) -> Result<AwsAdoptionPolicy, String> {
    text.parse().map_err(|_| "use Never, IfTagged or Always".to_owned())
}

fn prefix(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    if text.is_empty() || text.len() > 128 || !text.chars().all(fine) || text.starts_with('/') || text.ends_with('/') {
        return Err("use 1 to 128 letters, digits and / _ + = . @ -, without a slash at either end".to_owned());
    }
    Ok(text.to_owned())
}

/// The prefix for names in this cluster. What a name cannot have, and a slash, becomes a hyphen: no cluster's prefix is that
/// of a namespace of another cluster.
fn default_prefix(cluster: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || "_+=.@-".contains(c);
    let part: String = cluster.chars().map(|c| if fine(c) { c } else { '-' }).collect();
    format!("k8s/{part}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_prefix_has_the_cluster_and_is_a_valid_prefix() {
        let arn = "arn:aws:eks:eu-central-1:123456789012:cluster/prod";
        for (cluster, expected) in
            [("prod", "k8s/prod"), ("a b/c", "k8s/a-b-c"), (arn, "k8s/arn-aws-eks-eu-central-1-123456789012-cluster-prod")]
        {
            assert_eq!(default_prefix(cluster), expected);
            assert_eq!(prefix(expected).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn objects_may_use_the_operators_own_region_unless_the_flag_says_otherwise() {
        let list = |regions: &[&str]| regions.iter().map(|region| (*region).to_owned()).collect::<Vec<_>>();
        for (flag, allowed) in [
            (list(&[]), list(&["eu-central-1"])),
            (list(&["eu-west-1"]), list(&["eu-west-1"])),
            (list(&["*"]), list(&[])),
            (list(&["eu-west-1", "*"]), list(&[])),
        ] {
            assert_eq!(regions(flag.clone(), "eu-central-1"), allowed, "{flag:?}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
