//! Starts the processes of a control plane and waits until they serve.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::audit;
use super::binaries::{self, Binaries};
use super::place::Place;
use super::plane::{APISERVER, ControlPlane, INSIDE_KUBECONFIG, KUBELET_CLIENT_AUTHORITY};
use crate::process::{ProcessGroup, free_ports};
use crate::sandbox::authority::{Authority, Pair};

const ETCD: &str = "etcd";
const CONTROLLERS: &str = "kube-controller-manager";

/// Other processes take ports, too; a second try nearly always has luck.
const ATTEMPTS: u32 = 5;
/// Far above what a start takes on a slow, busy machine (seconds).
const DEADLINE: Duration = Duration::from_mins(10);
const POLL: Duration = Duration::from_millis(50);

const ISSUER: &str = "https://kubernetes.default.svc";
const CONTROLLER_NAMES: &str = "deployment-controller,replicaset-controller,garbage-collector-controller,namespace-controller,\
    serviceaccount-controller,serviceaccount-token-controller,root-ca-certificate-publisher-controller,daemonset-controller,\
    statefulset-controller,job-controller,cronjob-controller,clusterrole-aggregation-controller";
/// The first takes the taint of a new node away.
const NODE_CONTROLLER_NAMES: &str = "node-lifecycle-controller,pod-garbage-collector-controller";

/// For Go: half of the API server's processor time is spent on its memory, which small heaps make it collect often (percent).
const COLLECT_SELDOM: (&str, &str) = ("GOGC", "400");

/// What to start, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Also the controller manager: garbage collection, namespace deletion, Deployments, default service accounts.
    pub controllers: bool,
    /// Write an audit log, for [`ControlPlane::audit`].
    pub audit: bool,
    /// More flags for the API server.
    pub apiserver_flags: Vec<String>,
    /// In namespaces of its own, which a node joins; the node sets it.
    pub node: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { controllers: true, audit: true, apiserver_flags: Vec::new(), node: false }
    }
}

impl ControlPlane {
    /// Starts one and returns when it answers and, with controllers, when they work. Never downloads or builds anything.
    pub async fn start(options: Options) -> Result<Self> {
        launch(&options, &binaries::find()?).await
    }

    /// The one that all tests of this process share; it ends with the process. Clients of it must not be shared between runtimes, so ask for
    /// one where it is used.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_try_init(|| Self::start(Options::default())).await
    }
}

async fn launch(options: &Options, binaries: &Binaries) -> Result<ControlPlane> {
    let mut attempt = 1;
    loop {
        let group = ProcessGroup::new("testbed-controlplane-")?;
        let mut place = Place::choose(options.node, &group)?;
        match launch_in(&group, &mut place, options, binaries).await {
            Ok((admin, kubeconfig)) => {
                return Ok(ControlPlane { group, place, admin, kubeconfig, kubectl: binaries.kubectl.clone() });
            }
            Err(_) if attempt < ATTEMPTS && port_was_taken(&group) => attempt += 1,
            Err(error) => return Err(error.context("the control plane did not start")),
        }
    }
}

async fn launch_in(group: &ProcessGroup, place: &mut Place, options: &Options, binaries: &Binaries) -> Result<(Config, PathBuf)> {
    let dir = group.dir();
    let [etcd_clients, etcd_peers, apiserver, controllers] = free_ports()?;
    let token = Uuid::new_v4().simple().to_string();
    write_private(&dir.join("tokens.csv"), format!("{token},admin,1,\"system:masters\"\n").as_bytes())?;
    write_signing_key(dir)?;

    group.start(ETCD, &place.enter(etcd_command(binaries, dir, etcd_clients, etcd_peers)))?;
    // An API server that comes too early waits longer than etcd needs.
    wait(group, "etcd listens", async || place.connect(([127, 0, 0, 1], etcd_clients).into()).is_ok()).await?;
    if options.node {
        write_kubelet_client(dir)?;
    }
    let apiserver_flags = place.apiserver_flags(apiserver);
    group.start(APISERVER, &place.enter(apiserver_command(binaries, dir, options, etcd_clients, &apiserver_flags)?))?;

    let certificate = dir.join("certs/apiserver.crt");
    wait(group, "the API server has made its certificate", async || certificate.exists() && dir.join("certs/apiserver.key").exists())
        .await?;
    let url = place.apiserver_url(apiserver)?;
    wait(group, "the API server is ready", async || {
        // The certificate may be half written on the first rounds: read it again on each.
        let Ok(kubeconfig) = write_kubeconfig(dir, "admin", &url, &token, "default") else {
            return false;
        };
        let Ok(config) = read_config(&kubeconfig).await else {
            return false;
        };
        is_ready(config).await
    })
    .await?;
    let kubeconfig = dir.join("admin.kubeconfig");
    let inside = match place.apiserver_url_inside() {
        Some(url) => write_kubeconfig(dir, INSIDE_KUBECONFIG.trim_end_matches(".kubeconfig"), url, &token, "default")?,
        None => kubeconfig.clone(),
    };
    let admin = read_config(&kubeconfig).await?;

    // Ready means that it serves, not that it has made what every cluster has.
    let namespaces: Api<Namespace> = Api::all(Client::try_from(admin.clone())?);
    for name in ["default", "kube-system"] {
        wait(group, "the first namespaces are there", async || namespaces.get_opt(name).await.is_ok_and(|found| found.is_some())).await?;
    }
    if options.controllers {
        group.start(CONTROLLERS, &place.enter(controllers_command(binaries, dir, options, &inside, controllers)))?;
        let accounts: Api<ServiceAccount> = Api::namespaced(Client::try_from(admin.clone())?, "default");
        wait(group, "the controllers work", async || accounts.get_opt("default").await.is_ok_and(|account| account.is_some())).await?;
    }
    Ok((admin, kubeconfig))
}

/// Polls until `done`; gives up when a process has ended or the deadline has passed.
async fn wait(group: &ProcessGroup, what: &str, done: impl AsyncFn() -> bool) -> Result<()> {
    let start = Instant::now();
    while !done().await {
        group.check()?;
        if start.elapsed() > DEADLINE {
            let tails: Vec<String> =
                [ETCD, APISERVER, CONTROLLERS].iter().map(|name| format!("{name}:\n{}", group.log_tail(name))).collect();
            bail!("waited {} s until {what}, in vain\n{}", DEADLINE.as_secs(), tails.join("\n"));
        }
        sleep(POLL).await;
    }
    Ok(())
}

async fn is_ready(config: Config) -> bool {
    let Ok(client) = Client::try_from(config) else {
        return false;
    };
    let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else {
        return false;
    };
    matches!(timeout(Duration::from_secs(30), client.request_text(request)).await, Ok(Ok(answer)) if answer == "ok")
}

fn port_was_taken(group: &ProcessGroup) -> bool {
    [ETCD, APISERVER, CONTROLLERS].iter().any(|name| group.log_tail(name).contains("address already in use"))
}

fn etcd_command(binaries: &Binaries, dir: &Path, clients: u16, peers: u16) -> Command {
    let clients = format!("http://127.0.0.1:{clients}");
    let peers = format!("http://127.0.0.1:{peers}");
    let mut command = Command::new(&binaries.etcd);
    command
        .env(COLLECT_SELDOM.0, COLLECT_SELDOM.1)
        .arg("--data-dir")
        .arg(dir.join("etcd"))
        .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers, "--initial-cluster", &format!("default={peers}")])
        .args(["--unsafe-no-fsync", "--log-level", "warn"]);
    command
}

fn apiserver_command(binaries: &Binaries, dir: &Path, options: &Options, etcd: u16, place: &[String]) -> Result<Command> {
    let mut command = Command::new(&binaries.kube_apiserver);
    command
        .env(COLLECT_SELDOM.0, COLLECT_SELDOM.1)
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
        .args(place)
        .arg("--endpoint-reconciler-type=none")
        .arg(flag("--cert-dir", &dir.join("certs")))
        .arg(flag("--token-auth-file", &dir.join("tokens.csv")))
        .args(["--authorization-mode=RBAC", "--allow-privileged=true", "--profiling=false", "--service-cluster-ip-range=10.0.0.0/24"])
        .args([format!("--service-account-issuer={ISSUER}"), format!("--api-audiences={ISSUER}")])
        .args([flag("--service-account-key-file", &dir.join("sa.pub")), flag("--service-account-signing-key-file", &dir.join("sa.key"))]);
    if options.audit {
        let policy = dir.join("audit-policy.yaml");
        fs::write(&policy, audit::POLICY)?;
        command
            .args([flag("--audit-policy-file", &policy), flag("--audit-log-path", &dir.join(audit::LOG))])
            // A rotated log would be read only in part; the default is 100 MB.
            .args(["--audit-log-maxsize=100000", "--audit-log-mode=blocking"]);
    }
    if options.node {
        command
            // Its name is not known to other processes.
            .arg("--kubelet-preferred-address-types=InternalIP")
            .args([flag("--kubelet-client-certificate", &dir.join("kubelet-client.crt"))])
            .args([flag("--kubelet-client-key", &dir.join("kubelet-client.key"))]);
    }
    command.args(&options.apiserver_flags);
    Ok(command)
}

fn controllers_command(binaries: &Binaries, dir: &Path, options: &Options, kubeconfig: &Path, port: u16) -> Command {
    let more = if options.node { format!(",{NODE_CONTROLLER_NAMES}") } else { String::new() };
    let mut command = Command::new(&binaries.kube_controller_manager);
    command
        .args(["--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig"].map(|name| flag(name, kubeconfig)))
        .args(["--bind-address=127.0.0.1", "--leader-elect=false", "--use-service-account-credentials=true", "--profiling=false"])
        .arg(format!("--secure-port={port}"))
        .arg(flag("--cert-dir", &dir.join("controller-certs")))
        .arg(flag("--service-account-private-key-file", &dir.join("sa.key")))
        .arg(flag("--root-ca-file", &dir.join("certs/apiserver.crt")))
        .arg(format!("--controllers={CONTROLLER_NAMES}{more}"));
    command
}

fn flag(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// Writes the key of the service-account tokens, `sa.key`, and its public half, `sa.pub`. Elliptic: made in no time, where an RSA key takes up
/// to a second; but unlike with RSA the API server does not find the public half in the private one.
fn write_signing_key(dir: &Path) -> Result<()> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).context("cannot make a key")?;
    let private = pair.to_pkcs8v1().context("cannot encode a key")?;
    let public = pair.public_key().as_der().context("cannot encode a key")?;
    write_private(&dir.join("sa.key"), pem("PRIVATE KEY", private.as_ref()).as_bytes())?;
    write_private(&dir.join("sa.pub"), pem("PUBLIC KEY", public.as_ref()).as_bytes())
}

/// What the API server shows when it asks a kubelet for a log, and what the kubelet checks it against.
fn write_kubelet_client(dir: &Path) -> Result<()> {
    let authority = Authority::new()?;
    let Pair { certificate, key } = authority.client("kube-apiserver", "system:masters")?;
    write_private(&dir.join(KUBELET_CLIENT_AUTHORITY), authority.pem().as_bytes())?;
    write_private(&dir.join("kubelet-client.crt"), certificate.as_bytes())?;
    write_private(&dir.join("kubelet-client.key"), key.as_bytes())
}

fn pem(label: &str, bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Writes `NAME.kubeconfig` into the directory of the control plane: one cluster, one user with a token.
pub(super) fn write_kubeconfig(dir: &Path, name: &str, url: &str, token: &str, namespace: &str) -> Result<PathBuf> {
    let authority = STANDARD.encode(fs::read(dir.join("certs/apiserver.crt"))?);
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": "testbed", "cluster": {"server": url, "certificate-authority-data": authority}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": "testbed", "user": name, "namespace": namespace}}],
    });
    let path = dir.join(format!("{name}.kubeconfig"));
    // JSON is YAML.
    write_private(&path, serde_json::to_string_pretty(&kubeconfig)?.as_bytes())?;
    Ok(path)
}

/// The client configuration in a kubeconfig.
pub(super) async fn read_config(path: &Path) -> Result<Config> {
    let mut config = Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default()).await?;
    // The server is on the loopback interface; a proxy of the environment is not for it.
    config.proxy_url = None;
    Ok(config)
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)?;
    Ok(())
}
