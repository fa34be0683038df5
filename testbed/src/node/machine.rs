//! A running node with its control plane.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::api::Api;
use tokio_rustls::rustls::ServerConfig;

use xtask::image::{Image, Written};

use super::config::{self, Files, NAME, PAUSE, SOCKET};
use super::programs::{Programs, find};
use crate::controlplane::binaries::Release;
use crate::controlplane::{ControlPlane, Options};
use crate::sandbox::authority::Authority;
use crate::sandbox::forward::Forward;
use crate::sandbox::namespaces::{self, ADDRESS};

/// The image of the tests' own program in pods; its arguments are `watch FILE`.
pub const POD_IMAGE: &str = "node.test/pod:1";

/// A Deployment `shop` of one pod, allowed by Pod Security `restricted`: it watches the key `password` of the Secret `db-admin`, and serves over
/// HTTP on port 8080 the fingerprint of what it has read.
pub const APPLICATION: &str = include_str!("application.yaml");

const CONTAINERD: &str = "containerd";
const KUBELET: &str = "kubelet";
const SCHEDULER: &str = "kube-scheduler";
/// Set to `off` to do without a node where one could be had.
const SWITCH: &str = "TESTBED_NODE";

/// Far above what a start takes on a slow, busy machine.
const DEADLINE: Duration = Duration::from_mins(10);
const POLL: Duration = Duration::from_millis(100);

/// Why no node can be had here, in words; `None` when it can.
pub fn obstacle() -> Option<String> {
    if std::env::var(SWITCH).as_deref() == Ok("off") {
        return Some(format!("{SWITCH} is off"));
    }
    if !matches!(Release::selected(), Ok(Release::Newest)) {
        return Some("the node is of the newest version of Kubernetes only".to_owned());
    }
    namespaces::obstacle()
}

/// A running node with its control plane. Goes as that does: with this value, or with this process, however it ends.
#[derive(Debug)]
pub struct Node {
    plane: ControlPlane,
    programs: Programs,
    authority: Authority,
    ways_in: std::sync::Mutex<Vec<Forward>>,
}

impl Node {
    /// Starts one and returns when pods can run. Never downloads or builds anything but the pods' small program.
    pub async fn start() -> Result<Self> {
        let programs = find()?;
        let options = Options { node: true, controllers: true, ..Options::default() };
        let plane = ControlPlane::start(options).await?;
        let node = Self { plane, programs, authority: Authority::new()?, ways_in: std::sync::Mutex::default() };
        node.launch().await.context("the node did not start")?;
        Ok(node)
    }

    async fn launch(&self) -> Result<()> {
        let (plane, dir) = (&self.plane, self.plane.dir());
        let group = plane.group();
        let inside = plane.inside()?;
        let files = Files { dir, programs: &self.programs };
        fs::create_dir(files.network_dir())?;
        fs::write(files.network_dir().join("10-bridge.conflist"), config::Files::network().to_string())?;
        let containerd_config = dir.join("containerd.toml");
        fs::write(&containerd_config, files.containerd())?;
        // containerd looks for its shim, and the shim for runc, on the PATH.
        let path = std::env::join_paths(
            [self.programs.containerd.clone()]
                .into_iter()
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into()))),
        )?;
        let mut containerd = Command::new(self.programs.containerd.join("containerd"));
        containerd.arg("--config").arg(&containerd_config).env("PATH", &path);
        group.start(CONTAINERD, &inside.enter(&containerd))?;
        self.wait("containerd answers", async || self.ctr(&["version"]).await.map(drop)).await?;

        // Under two names, by which the processes can be told apart.
        let (pod, pause) = (dir.join("pod"), dir.join("pause"));
        compile_pod(&pod)?;
        fs::copy(&pod, &pause)?;
        self.import(&Image::of_program(&pod)?, POD_IMAGE).await?;
        let mut image = Image::of_program(&pause)?;
        image.entrypoint.push("pause".to_owned());
        self.import(&image, PAUSE).await?;

        let kubelet_config = dir.join("kubelet.json");
        fs::write(&kubelet_config, files.kubelet(&plane.kubelet_client_authority()).to_string())?;
        let kubeconfig = plane.kubeconfig_inside();
        let mut kubelet = Command::new(&self.programs.kubelet);
        kubelet.args(config::kubelet_flags(&kubelet_config, &kubeconfig)).env("PATH", &path);
        group.start(KUBELET, &inside.enter(&kubelet))?;
        let mut scheduler = Command::new(&self.programs.kube_scheduler);
        let flag = |name: &str| format!("--{name}={}", kubeconfig.display());
        scheduler.args([flag("kubeconfig"), flag("authentication-kubeconfig"), flag("authorization-kubeconfig")]).args([
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--profiling=false",
            "--cert-dir=/run/scheduler",
        ]);
        group.start(SCHEDULER, &inside.enter(&scheduler))?;

        let nodes: Api<NodeObject> = Api::all(plane.admin());
        self.wait("the node is ready", async || {
            let node = nodes.get_opt(NAME).await?.context("the kubelet has not registered")?;
            // The taint of a node that was not ready is taken away a moment later.
            let free = node.spec.iter().all(|spec| spec.taints.as_ref().is_none_or(Vec::is_empty));
            let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let ready = conditions.filter(|condition| condition.type_ == "Ready").any(|condition| condition.status == "True");
            ensure!(ready && free, "not yet");
            Ok(())
        })
        .await
    }

    /// The control plane that the node belongs to.
    pub fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// Gives an image to the node under a name; pods take it with `imagePullPolicy: Never`.
    pub async fn import(&self, image: &Image, name: &str) -> Result<Written> {
        let file = tempfile::Builder::new().prefix("image-").suffix(".tar").tempfile_in(self.plane.dir())?;
        let written = image.write(&[name], file.path())?;
        self.ctr(&["--namespace", "k8s.io", "images", "import", &file.path().display().to_string()]).await?;
        Ok(written)
    }

    /// Runs containerd's own client inside and gives what it printed.
    async fn ctr(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.programs.containerd.join("ctr"));
        command.args(["--address", SOCKET]).args(arguments);
        let output = tokio::process::Command::from(self.plane.inside()?.enter(&command)).output().await?;
        ensure!(output.status.success(), "ctr {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Connects to an address on the node's network, such as a pod's.
    pub fn connect(&self, address: SocketAddr) -> Result<TcpStream> {
        Ok(self.plane.inside()?.connect(address)?)
    }

    /// Makes a server of this machine reachable for pods, over TLS. Gives the URL; [`Node::authority`] vouches for it.
    pub fn serve_to_pods(&self, server: SocketAddr) -> Result<String> {
        let address: Ipv4Addr = ADDRESS.parse()?;
        let tls = self.authority.server(IpAddr::V4(address))?;
        Ok(format!("https://{}", self.way_in(server, Some(tls))?))
    }

    /// Makes a server of this machine reachable for pods, byte for byte. Gives the address for them.
    pub fn lead_pods_to(&self, server: SocketAddr) -> Result<SocketAddr> {
        self.way_in(server, None)
    }

    fn way_in(&self, server: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Result<SocketAddr> {
        let address: Ipv4Addr = ADDRESS.parse()?;
        let listener: TcpListener = self.plane.inside()?.listen(SocketAddr::from((address, 0)))?;
        let way = Forward::start(listener, tls, move || TcpStream::connect(server))?;
        let address = way.address();
        self.ways_in.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(way);
        Ok(address)
    }

    /// The certificate, as PEM, of who vouches for the servers of [`Node::serve_to_pods`].
    pub fn authority(&self) -> String {
        self.authority.pem()
    }

    /// The processes of a pod, by the pod's uid, that run a program of this name; by this machine's numbers.
    pub fn processes(&self, pod: &str, program: &str) -> Result<Vec<u32>> {
        let mut found = self.plane.inside()?.processes_of(pod);
        found.retain(|process| {
            // The kernel keeps fifteen characters of a name.
            let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            !name.trim().is_empty() && (name.trim() == program || name.trim().len() == 15 && program.starts_with(name.trim()))
        });
        Ok(found)
    }

    /// SIGKILL for these processes. Gives how many there were.
    pub fn kill(&self, pod: &str, program: &str) -> Result<usize> {
        let processes = self.processes(pod, program)?;
        for process in &processes {
            let process = rustix::process::Pid::from_raw((*process).try_into()?).context("a process has a number")?;
            rustix::process::kill_process(process, rustix::process::Signal::KILL)?;
        }
        Ok(processes.len())
    }

    /// What all containers of a pod have printed so far, in the order of their files: restarted ones, too.
    pub fn pod_log(&self, namespace: &str, pod: &str) -> Result<String> {
        let folder = Files { dir: self.plane.dir(), programs: &self.programs }.pod_logs();
        let prefix = format!("{namespace}_{pod}_");
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder)?.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)) {
            for container in fs::read_dir(entry.path())?.flatten() {
                files.extend(fs::read_dir(container.path())?.flatten().map(|file| file.path()));
            }
        }
        files.sort();
        let mut text = String::new();
        for file in files {
            for line in String::from_utf8_lossy(&fs::read(file)?).lines() {
                // `<time> <stream> <F or P> <what was printed>`
                text.push_str(line.splitn(4, ' ').nth(3).unwrap_or_default());
                text.push('\n');
            }
        }
        Ok(text)
    }

    /// Ends everything and returns when it is gone.
    pub async fn stop(self) -> Result<()> {
        self.plane.stop().await
    }

    async fn wait(&self, what: &str, done: impl AsyncFn() -> Result<()>) -> Result<()> {
        let (group, start) = (self.plane.group(), Instant::now());
        while let Err(error) = done().await {
            group.check()?;
            if start.elapsed() > DEADLINE {
                let tails: Vec<String> =
                    [CONTAINERD, KUBELET, SCHEDULER].iter().map(|name| format!("{name}:\n{}", group.log_tail(name))).collect();
                bail!("waited {} s until {what}, in vain: {error:#}\n{}", DEADLINE.as_secs(), tails.join("\n"));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

/// The fingerprint that the pods' program tells of a file with these bytes.
pub fn fingerprint(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

/// A second: one file, the standard library, and nothing from this crate.
fn compile_pod(program: &Path) -> Result<()> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/node/pod.rs");
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "-C", "opt-level=s", "-C", "panic=abort", "-C", "strip=symbols", "-C", "target-feature=+crt-static"])
        .arg("-o")
        .arg(program)
        .arg(source)
        .output()
        .context("rustc cannot be started")?;
    ensure!(output.status.success(), "rustc: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
