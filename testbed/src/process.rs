//! Children that never outlive us.
//!
//! A `ProcessGroup` is a temporary directory and the processes that live in it. Each process leads a process group of its own, so that the Ctrl-C of
//! a terminal reaches only us. A watcher, a small shell script, reads from a pipe that only we hold open: when we are gone, for whatever
//! reason (the end, a panic, Ctrl-C, SIGKILL), the pipe closes, and the watcher kills the groups and removes the directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

pub use crate::ports::{free_ports, on_free_ports};

/// Reads `hold PID`, `gone PID` and `tree CGROUP`; at the end of its input kills what it holds, the newest first, removes the cgroups, which it
/// can as soon as the last process in them is dead, and the directory `$1`. The second try is for a file that a process made while it was dying.
const WATCHER: &str = r#"
trap '' HUP INT QUIT TERM PIPE
groups= trees=
while read -r verb group; do
  case $verb in
    tree) trees="$trees $group" ;;
    hold) groups="$group $groups" ;;
    gone)
      rest=
      for each in $groups; do [ "$each" = "$group" ] || rest="$rest $each"; done
      groups=$rest ;;
  esac
done
for each in $groups; do kill -KILL "-$each" 2>/dev/null; done
for each in $trees; do
  tries=0
  while [ -d "$each" ] && [ $tries -lt 100 ]; do
    find "$each" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
    tries=$((tries + 1))
  done
done
rm -rf -- "$1" 2>/dev/null || { sleep 1; rm -rf -- "$1"; }
"#;

/// Waits until the watcher knows it, then becomes the program. If this process dies in between, its input ends and it exits.
const GATE: &str = r#"read -r go && exec "$@" </dev/null"#;

/// How much of a log an error quotes.
const TAIL_LINES: usize = 12;

/// Processes and their temporary directory; all of it goes away with this value or with our own process.
#[derive(Debug)]
pub struct ProcessGroup {
    dir: TempDir,
    watcher: Child,
    pipe: Mutex<Option<ChildStdin>>,
    members: Mutex<Vec<Member>>,
}

#[derive(Debug)]
struct Member {
    name: String,
    child: Child,
}

impl ProcessGroup {
    /// A group without members, in a fresh temporary directory that only this user can read.
    pub fn new(prefix: &str) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir()
            .context("cannot make a temporary directory: set TMPDIR to one that is writable")?;
        let mut watcher = Command::new("sh")
            .args([OsStr::new("-c"), OsStr::new(WATCHER), OsStr::new("watcher"), dir.path().as_os_str()])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start sh, which every POSIX system has: check PATH")?;
        let pipe = watcher.stdin.take();
        Ok(Self { dir, watcher, pipe: Mutex::new(pipe), members: Mutex::default() })
    }

    /// The directory that goes away with the group.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the output of a member goes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir().join(format!("{name}.log"))
    }

    /// Where the standard output of a member goes that was started with `start_apart`.
    pub fn output(&self, name: &str) -> PathBuf {
        self.dir().join(format!("{name}.out"))
    }

    /// Starts a program under a name of its own; its output goes to `log(name)`. Returns its process id, which is that of its group, too.
    pub fn start(&self, name: &str, command: &Command) -> Result<u32> {
        self.start_into(name, command, &self.log(name))
    }

    /// The same, with standard output in `output(name)`, and only standard error in `log(name)`.
    pub fn start_apart(&self, name: &str, command: &Command) -> Result<u32> {
        self.start_into(name, command, &self.output(name))
    }

    fn start_into(&self, name: &str, command: &Command, output: &Path) -> Result<u32> {
        let append = |path: &Path| File::options().create(true).append(true).open(path);
        let mut gated = gated(command);
        let mut child = gated
            .stdin(Stdio::piped())
            .stdout(append(output)?)
            .stderr(append(&self.log(name))?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let id = child.id();
        let gate = child.stdin.take();
        lock(&self.members).push(Member { name: name.to_owned(), child });
        self.tell("hold", id)?;
        if let Some(mut gate) = gate {
            gate.write_all(b"go\n").with_context(|| format!("{name} ended before it began"))?;
        }
        Ok(id)
    }

    /// A cgroup, which need not exist yet, that is removed with all below it when the members are dead.
    pub(crate) fn remove_at_end(&self, cgroup: &Path) -> Result<()> {
        self.tell("tree", cgroup.display())
    }

    /// Runs a program to its end; calls `tick` now and then meanwhile.
    pub fn run(&self, name: &str, command: &Command, mut tick: impl FnMut()) -> Result<ExitStatus> {
        self.start(name, command)?;
        loop {
            if let Some(status) = self.status(name)? {
                self.stop(name, Duration::ZERO)?;
                return Ok(status);
            }
            tick();
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// How a member has ended; `None` while it runs.
    fn status(&self, name: &str) -> Result<Option<ExitStatus>> {
        let mut members = lock(&self.members);
        let member = members.iter_mut().find(|member| member.name == name).with_context(|| format!("nobody started {name}"))?;
        Ok(member.child.try_wait()?)
    }

    /// The process ids of the members, in the order of their start.
    pub fn ids(&self) -> Vec<u32> {
        lock(&self.members).iter().map(|member| member.child.id()).collect()
    }

    /// The first member that has exited: its name and exit status.
    pub fn ended(&self) -> Result<Option<(String, ExitStatus)>> {
        for member in lock(&self.members).iter_mut() {
            if let Some(status) = member.child.try_wait()? {
                return Ok(Some((member.name.clone(), status)));
            }
        }
        Ok(None)
    }

    /// Fails with the last lines of its log if a member has exited.
    pub fn check(&self) -> Result<()> {
        if let Some((name, status)) = self.ended()? {
            bail!("{name} ended ({status}):\n{}", self.log_tail(&name));
        }
        Ok(())
    }

    /// The last lines of a member's log.
    pub fn log_tail(&self, name: &str) -> String {
        let text = std::fs::read(self.log(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)).copied().collect::<Vec<_>>().join("\n")
    }

    /// Ends one member: asks it to (SIGTERM), and kills it when it has not ended after `patience`. Blocks; does nothing for an unknown name.
    pub fn stop(&self, name: &str, patience: Duration) -> Result<()> {
        let found = {
            let mut members = lock(&self.members);
            members.iter().position(|member| member.name == name).map(|at| members.remove(at))
        };
        found.map_or(Ok(()), |member| self.end(member, patience))
    }

    /// Ends all members, the newest first. Blocks.
    pub fn stop_all(&self, patience: Duration) -> Result<()> {
        loop {
            let Some(member) = lock(&self.members).pop() else {
                return Ok(());
            };
            self.end(member, patience)?;
        }
    }

    /// Sends a signal to a member's whole group.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        let members = lock(&self.members);
        let member = members.iter().find(|member| member.name == name).with_context(|| format!("{name} is not running"))?;
        Ok(kill_process_group(Pid::from_child(&member.child), signal)?)
    }

    fn end(&self, mut member: Member, patience: Duration) -> Result<()> {
        let group = Pid::from_child(&member.child);
        if !patience.is_zero() && kill_process_group(group, Signal::TERM).is_ok() {
            let deadline = Instant::now() + patience;
            while member.child.try_wait()?.is_none() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
        }
        // Also after an orderly end: the group may hold children of the member. No such group is fine.
        let _ = kill_process_group(group, Signal::KILL);
        member.child.wait()?;
        self.tell("gone", member.child.id())
    }

    fn tell(&self, verb: &str, what: impl std::fmt::Display) -> Result<()> {
        lock(&self.pipe)
            .as_mut()
            .map_or(Ok(()), |pipe| pipe.write_all(format!("{verb} {what}\n").as_bytes()))
            .context("the watcher of the child processes was killed: start again")
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // Nothing in here is worth an orderly end; who wants one calls `stop_all` first.
        while let Some(member) = lock(&self.members).pop() {
            let _ = self.end(member, Duration::ZERO);
        }
        *lock(&self.pipe) = None;
        let _ = self.watcher.wait();
    }
}

/// The same command, behind the gate.
fn gated(command: &Command) -> Command {
    let mut gated = Command::new("sh");
    gated.args(["-c", GATE, "gate"]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => gated.env(key, value),
            None => gated.env_remove(key),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        gated.current_dir(dir);
    }
    gated
}

/// A panic elsewhere must not keep us from killing what we started.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_alive(id: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    #[test]
    fn grandchildren_and_files_go_with_the_group_also_after_a_panic() {
        let seen = std::thread::spawn(|| {
            let group = ProcessGroup::new("testbed-test-").unwrap();
            let mut command = Command::new("sh");
            command.current_dir(group.dir()).args(["-c", "sleep 1000 & echo $! > made; mv made told; wait"]);
            group.start("parent", &command).unwrap();
            let told = group.dir().join("told");
            while !told.exists() {
                group.check().unwrap();
                thread::sleep(Duration::from_millis(5));
            }
            let grandchild = std::fs::read_to_string(&told).unwrap().trim().to_owned();
            assert!(is_alive(&grandchild));
            std::panic::panic_any((group.dir().to_owned(), grandchild));
        })
        .join()
        .unwrap_err();
        let (dir, grandchild) = seen.downcast_ref::<(PathBuf, String)>().unwrap();
        assert!(!dir.exists());
        while is_alive(grandchild) {
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_member_that_ends_by_itself_is_reported_with_its_last_words() {
        let group = ProcessGroup::new("testbed-test-").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo farewell; exit 3"]);
        group.start("short", &command).unwrap();
        let error = loop {
            if let Err(error) = group.check() {
                break error.to_string();
            }
            thread::sleep(Duration::from_millis(5));
        };
        assert!(error.contains("short ended (exit status: 3)") && error.contains("farewell"), "{error}");
    }

    #[test]
    fn who_ignores_the_polite_signal_is_killed() {
        let group = ProcessGroup::new("testbed-test-").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]);
        let id = group.start("deaf", &command).unwrap();
        while !group.log_tail("deaf").contains("ready") {
            thread::sleep(Duration::from_millis(5));
        }
        group.stop("deaf", Duration::from_millis(50)).unwrap();
        assert!(!is_alive(&id.to_string()));
    }
}
