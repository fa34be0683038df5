//! What a process has used so far, as the kernel tells it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Memory, processor time and open files of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory of its own in KiB, without the pages of the program (`RssAnon`).
    pub own: u64,
    /// The most memory that it ever held in KiB, with the pages of the program (`VmHWM`).
    pub peak: u64,
    /// User and system time since its start.
    pub processor: Duration,
    /// Open files, sockets among them.
    pub files: usize,
}

impl Usage {
    /// Reads `/proc/ID`.
    pub fn of(id: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        let files = fs::read_dir(format!("/proc/{id}/fd"))?.count();
        Ok(Self { own: kib(&status, "RssAnon:")?, peak: kib(&status, "VmHWM:")?, processor: processor(&stat)?, files })
    }
}

/// A line of `/proc/ID/status`, such as `VmHWM:     6224 kB`.
fn kib(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// User and system time are the 14th and 15th field of `/proc/ID/stat`, in hundredths of a second. The second field may hold spaces.
fn processor(stat: &str) -> Result<Duration> {
    let after = stat.rsplit_once(") ").context("a stat line")?.1;
    let times: Vec<u64> = after.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(times.iter().sum::<u64>() * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_in_what_the_kernel_writes() {
        let status = "Name:\tsh\nVmHWM:\t    6224 kB\nRssAnon:\t     128 kB\n";
        assert_eq!(kib(status, "VmHWM:").unwrap(), 6224);
        assert_eq!(kib(status, "RssAnon:").unwrap(), 128);
        assert!(kib(status, "VmSwap:").is_err());
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 1 0 99";
        assert_eq!(processor(stat).unwrap(), Duration::from_millis(1750));
    }

    #[test]
    fn this_process_has_memory_and_open_files() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.peak >= usage.own && usage.own > 0 && usage.files > 0, "{usage:?}");
    }
}
