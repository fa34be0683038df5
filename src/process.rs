//! Protection of the memory of the process, which holds secret values.

/// Allocator of both binaries: it overwrites memory when it is freed. This covers the copies that libraries make of secret
/// values, such as the bodies of requests and responses.
pub type Allocator = zeroizing_alloc::ZeroAlloc<std::alloc::System>;

/// The allocator.
pub const ALLOCATOR: Allocator = zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Disables core dumps, and on Linux also the access of other processes of the same user to the memory of this one
/// (ptrace, `/proc/<pid>/mem`). Returns what the system did not allow, for example because of a seccomp profile.
pub fn protect_memory() -> Vec<&'static str> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let mut failed = Vec::new();
    if setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).is_err() {
        failed.push("RLIMIT_CORE");
    }
    #[cfg(target_os = "linux")]
    if rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).is_err() {
        failed.push("PR_SET_DUMPABLE");
    }
    failed
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, getrlimit};

    use super::*;

    #[test]
    fn the_process_leaves_no_core_dump_and_cannot_be_read() {
        assert_eq!(protect_memory(), Vec::<&str>::new());
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        #[cfg(target_os = "linux")]
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::NotDumpable);
    }
}
