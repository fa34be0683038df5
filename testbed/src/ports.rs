//! Ports for servers that cannot be told to choose one.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

/// The ports that the kernel gives to sockets without one, such as those of clients: the first and the last.
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Below are ports of services that a machine may have.
const FIRST_PORT: u16 = 15_000;
/// So many must be left below the ephemeral ones. If not, those are used.
const ENOUGH_PORTS: u16 = 5_000;

/// Loopback ports that are free now, and that this function gives to no other caller in this process. They are not among those that the kernel
/// gives to clients, so that a server can also be stopped and started again on its port. Another process may take one before it is used, so the
/// user of a port tries again with others.
pub fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let range = port_range(&std::fs::read_to_string(EPHEMERAL).unwrap_or_default());
    // Processes begin at different ports.
    let begin = std::process::id().wrapping_mul(7_919);
    // All are held until all are known, or the same one could come twice.
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let mut tried = 0;
        let listener = loop {
            let next = range.as_ref().filter(|range| tried < range.len()).map(|range| {
                let count = u32::try_from(range.len()).unwrap_or(u32::MAX);
                let at = begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)).checked_rem(count).unwrap_or_default();
                range.start.saturating_add(u16::try_from(at).unwrap_or_default())
            });
            tried = tried.saturating_add(1);
            match (std::net::TcpListener::bind(("127.0.0.1", next.unwrap_or_default())), next) {
                (Err(_), Some(_)) => {}
                (bound, _) => break bound?,
            }
        };
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// The ports below the ephemeral ones, if they are enough. `text`: what [`EPHEMERAL`] has.
fn port_range(text: &str) -> Option<Range<u16>> {
    let end: u16 = text.split_whitespace().next()?.parse().ok()?;
    (end.checked_sub(FIRST_PORT)? >= ENOUGH_PORTS).then_some(FIRST_PORT..end)
}

/// Starts a server on ports that are free now. Another process may take one in between, so there is a second and a third try.
/// `start` ends what it has begun if it fails. Blocks.
pub fn on_free_ports<const N: usize>(mut start: impl FnMut([u16; N]) -> Result<()>) -> Result<()> {
    for _ in 0..2 {
        if start(free_ports()?).is_ok() {
            return Ok(());
        }
    }
    start(free_ports()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_and_none_is_one_of_the_clients() {
        let given: Vec<u16> = (0..100).flat_map(|_| free_ports::<3>().unwrap()).collect();
        let range = port_range(&std::fs::read_to_string(EPHEMERAL).unwrap_or_default());
        if let Some(range) = range {
            assert!(given.iter().all(|port| range.contains(port)), "{given:?}");
            assert_eq!(given.iter().collect::<std::collections::BTreeSet<_>>().len(), given.len(), "{given:?}");
        }
    }

    #[test]
    fn where_clients_have_nearly_all_ports_the_kernel_chooses() {
        assert_eq!(port_range("32768\t60999\n"), Some(FIRST_PORT..32_768));
        for text in ["1024 65535", "16000\t65000\n", "", "none"] {
            assert_eq!(port_range(text), None, "{text}");
        }
    }
}
