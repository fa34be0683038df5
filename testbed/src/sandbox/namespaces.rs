//! An environment inside this machine: mount, pid, network, cgroup, uts and ipc namespaces of their own, and cgroups to count in. Nothing of the
//! machine itself changes: no sysctl, no mount, no link. The first process holds it all; when that one is killed, the kernel kills the rest.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use uuid::Uuid;

use crate::process::ProcessGroup;

/// The node's own address. Pods reach what listens there.
pub const ADDRESS: &str = "10.231.0.1";
/// Address of the API server for every pod: the first address of the Services' range. There is no proxy for Services, so the node has this
/// address itself.
pub(crate) const APISERVER_ADDRESS: &str = "10.0.0.1";

/// The controllers that kubelet and runc ask for.
const CONTROLLERS: [&str; 8] = ["blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"];
/// Hidden inside by empty ones: kubelet, containerd and the network plugins write there whatever they are told.
const HIDDEN: [&str; 4] = ["/run", "/var/log", "/var/lib", "/opt"];
/// In the group's directory; made when the inside is as it should be.
const READY: &str = "namespaces-ready";
const HOLDER: &str = "namespaces";
/// Far above what it takes.
const DEADLINE: Duration = Duration::from_mins(3);

/// First argument: the cgroups; then the inner script and its arguments.
const OUTER: &str = r#"
set -e
for group in $1; do
  mkdir "$group"
  for file in cpuset.cpus cpuset.mems; do
    if [ -e "$group/$file" ]; then cat "$group/../$file" > "$group/$file"; fi
  done
  echo $$ > "$group/cgroup.procs"
done
shift
exec unshare --mount --pid --fork --net --cgroup --uts --ipc --kill-child --mount-proc --propagation private sh -c "$@"
"#;

/// The first process inside; it also reaps orphaned processes. Arguments: address, the API server's address for pods, hierarchies, the
/// hidden directories, the mark to make. The kubelet insists on six settings of the kernel: it finds files that say what it wants.
const INNER: &str = r#"
set -e
hostname node
mount --make-rshared /
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /sys/fs/cgroup
for hierarchy in $3; do
  mkdir "/sys/fs/cgroup/$hierarchy"
  mount -t cgroup -o "$hierarchy" cgroup "/sys/fs/cgroup/$hierarchy"
done
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
for directory in $4; do mount -t tmpfs tmpfs "$directory"; done
mkdir -p /run/lock /run/settings
: > /run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000 \
  kernel/keys/root_maxbytes=25000000; do
  file=/run/settings/$(echo "${setting%=*}" | tr / .)
  echo "${setting#*=}" > "$file"
  mount --bind "$file" "/proc/sys/${setting%=*}"
done
ip link set lo up
ip link add node0 type bridge
ip address add "$1/32" dev node0
ip address add "$2/32" dev node0
ip link set node0 up
ip route add default dev node0
: > "$5"
while :; do sleep 1000 & wait; done
"#;

/// A cgroup hierarchy of version 1 with what it counts, as the machine has mounted it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    path: PathBuf,
    /// As a mount option; several with commas between them.
    controllers: String,
}

/// What of `/proc/self/mounts` we need: the hierarchies with controllers, and those without, in which processes must be at home as well.
fn hierarchies(mounts: &str) -> (Vec<Hierarchy>, Vec<PathBuf>) {
    let (mut counting, mut others) = (Vec::new(), Vec::new());
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(path), Some(kind), Some(options)) = (words.next(), words.next(), words.next()) else { continue };
        let controllers: Vec<&str> = options.split(',').filter(|option| CONTROLLERS.contains(option)).collect();
        match kind {
            "cgroup" if !controllers.is_empty() => {
                counting.push(Hierarchy { path: PathBuf::from(path), controllers: controllers.join(",") });
            }
            "cgroup" if options.contains("name=") => others.push(PathBuf::from(path)),
            "cgroup2" => others.push(PathBuf::from(path)),
            _ => {}
        }
    }
    (counting, others)
}

/// Why this machine cannot provide such namespaces; `None` when it can.
pub(crate) fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it takes root".to_owned());
    }
    let (counting, _) = hierarchies(&fs::read_to_string("/proc/self/mounts").unwrap_or_default());
    let has = |wanted: &str| counting.iter().any(|hierarchy| hierarchy.controllers.split(',').any(|one| one == wanted));
    if let Some(lacking) = CONTROLLERS.iter().find(|one| !has(one)) {
        return Some(format!("it takes cgroups of version 1, and the controller {lacking} is not mounted as one"));
    }
    let tried = Command::new("unshare").args(["--mount", "--pid", "--fork", "--net", "--cgroup", "--uts", "--ipc", "true"]).output();
    match tried {
        Ok(output) if output.status.success() => {}
        Ok(output) => return Some(format!("namespaces are refused: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(_) => return Some("unshare, of the package util-linux, is not on the PATH".to_owned()),
    }
    for (program, flag) in [("nsenter", "--version"), ("ip", "-Version")] {
        if Command::new(program).arg(flag).output().is_err() {
            return Some(format!("{program} is not on the PATH"));
        }
    }
    None
}

/// The namespaces of one group of processes.
#[derive(Debug, Clone)]
pub(crate) struct Namespaces {
    /// Enters the cgroups and the namespaces and becomes the program.
    enter: String,
    network: Arc<File>,
    /// The cgroup in which pods are counted by their processes.
    processes: PathBuf,
}

impl Namespaces {
    /// Opens it as a member of the group, with which it goes. Blocks for a moment.
    pub(crate) fn open(group: &ProcessGroup) -> Result<Self> {
        for hidden in HIDDEN {
            ensure!(!group.dir().starts_with(hidden), "the node hides {hidden} from its programs: set TMPDIR to another place");
        }
        let (counting, others) = hierarchies(&fs::read_to_string("/proc/self/mounts")?);
        let name = format!("rotated-secrets-{}", Uuid::new_v4().simple());
        let cgroups: Vec<PathBuf> =
            counting.iter().map(|hierarchy| hierarchy.path.join(&name)).chain(others.iter().map(|path| path.join(&name))).collect();
        let words = cgroups.iter().map(|cgroup| cgroup.display().to_string()).collect::<Vec<_>>().join(" ");
        // Before they are made, so that they go in any case.
        for cgroup in &cgroups {
            group.remove_at_end(cgroup)?;
        }
        let ready = group.dir().join(READY);
        let mut command = Command::new("sh");
        command
            .args(["-c", OUTER, "outer", &words, INNER, "inner", ADDRESS, APISERVER_ADDRESS])
            .arg(counting.iter().map(|hierarchy| hierarchy.controllers.as_str()).collect::<Vec<_>>().join(" "))
            .arg(HIDDEN.join(" "))
            .arg(&ready);
        let unshare = group.start(HOLDER, &command)?;
        let start = Instant::now();
        while !ready.exists() {
            group.check()?;
            ensure!(start.elapsed() < DEADLINE, "the namespaces did not open:\n{}", group.log_tail(HOLDER));
            std::thread::sleep(Duration::from_millis(10));
        }
        let holder = only_child(unshare)?;
        let enter = format!(
            "for group in {words}; do echo $$ > $group/cgroup.procs; done\n\
             exec nsenter --target {holder} --mount --pid --net --cgroup --uts --ipc -- \"$@\""
        );
        let network = Arc::new(File::open(format!("/proc/{holder}/ns/net"))?);
        let processes = counting.iter().find(|one| one.controllers.split(',').any(|one| one == "pids")).map(|one| one.path.join(&name));
        Ok(Self { enter, network, processes: processes.context("no hierarchy counts processes")? })
    }

    /// The same command, inside.
    pub(crate) fn enter(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        inside.args(["-c", &self.enter, "enter"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(key, value),
                None => inside.env_remove(key),
            };
        }
        inside
    }

    /// Connects to an address inside.
    pub(crate) fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.on_network(move || TcpStream::connect_timeout(&address, Duration::from_secs(30)))
    }

    /// Listens inside.
    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        self.on_network(move || TcpListener::bind(address))
    }

    /// A socket always belongs to the network namespace in which it was created. A thread enters the namespace, creates the
    /// socket, and ends.
    fn on_network<T: Send + 'static>(&self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let network = Arc::clone(&self.network);
        let thread = std::thread::spawn(move || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread inside panicked")))
    }

    /// The processes of a pod, by the machine's numbers.
    pub(crate) fn processes_of(&self, pod: &str) -> Vec<u32> {
        // The kubelet writes a pod's uid with or without its dashes, after a word of its own.
        let wanted = format!("pod{pod}");
        let mut found = Vec::new();
        for group in below(&self.processes) {
            if group.ancestors().any(|part| part.file_name().is_some_and(|name| name.to_string_lossy() == wanted)) {
                let list = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
                found.extend(list.lines().filter_map(|line| line.parse::<u32>().ok()));
            }
        }
        found
    }
}

/// A directory and all below it.
fn below(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = left.pop() {
        // A cgroup may disappear meanwhile.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(entry.path());
            }
        }
        found.push(folder);
    }
    found
}

fn only_child(process: u32) -> Result<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    match children.split_whitespace().collect::<Vec<_>>().as_slice() {
        [child] => Ok(child.parse()?),
        other => bail!("unshare has {} children instead of one", other.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_read_as_they_are_mounted_also_several_controllers_in_one() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
            cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n\
            cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
            cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        let (counting, others) = hierarchies(mounts);
        let shown: Vec<_> = counting.iter().map(|one| (one.path.to_str().unwrap(), one.controllers.as_str())).collect();
        assert_eq!(shown, [("/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct"), ("/sys/fs/cgroup/memory", "memory")]);
        assert_eq!(others, [PathBuf::from("/sys/fs/cgroup/systemd"), PathBuf::from("/sys/fs/cgroup/unified")]);
    }
}
