//! A connection to a target: the name is resolved, and the address is checked.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::endpoint::{Addresses, Endpoint};
use super::{Problem, Refused, Unknown};

/// Configuration of the resolver.
const RESOLVER: &str = "/etc/resolv.conf";

/// What a session runs on.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for S {}

/// The name is resolved once, and each address is checked and then used as it is.
pub(super) async fn dial(endpoint: &Endpoint) -> Result<TcpStream, Problem> {
    endpoint.tried.note(None);
    let resolver = tokio::fs::read_to_string(RESOLVER).await.unwrap_or_default();
    let name = absolute(&endpoint.address, &resolver);
    let found: Vec<SocketAddr> =
        tokio::net::lookup_host((name.as_str(), endpoint.port)).await.map_err(|_| Unknown::NameNotResolved)?.collect();
    let allowed: Vec<&SocketAddr> = found.iter().filter(|address| is_allowed(address.ip(), endpoint.addresses)).collect();
    if allowed.is_empty() {
        return Err(if found.is_empty() { Unknown::NameNotResolved.into() } else { Refused::AddressRefused.into() });
    }
    for address in allowed {
        endpoint.tried.note(Some(address.ip().to_canonical()));
        if let Ok(stream) = TcpStream::connect(address).await {
            // Small messages that wait for an answer.
            let _ = stream.set_nodelay(true);
            return Ok(stream);
        }
    }
    Err(Unknown::Unreachable.into())
}

/// The absolute name of a Service (`db.shop.svc`), if the search list of the resolver has the domain of the cluster. Otherwise
/// the resolver would try the search list first, and `db.shop.svc.svc.DOMAIN` belongs to the namespace `svc`.
fn absolute(address: &str, resolver: &str) -> String {
    let mut search = resolver.lines().filter_map(|line| line.trim().strip_prefix("search")).flat_map(str::split_whitespace);
    let domain = search.find_map(|entry| entry.strip_prefix("svc."));
    match domain.filter(|_| address.rsplit_once('.').is_some_and(|(_, last)| last == "svc")) {
        Some(domain) => format!("{address}.{}.", domain.trim_end_matches('.')),
        None => address.to_owned(),
    }
}

/// Addresses of the neighbourhood are refused always, the metadata service among them.
fn is_allowed(address: IpAddr, addresses: Addresses) -> bool {
    let address = address.to_canonical();
    if address.is_loopback() {
        return addresses == Addresses::Local;
    }
    match address {
        IpAddr::V4(v4) => !(v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast() || v4.is_multicast()),
        IpAddr::V6(v6) => {
            // The metadata service of AWS and EKS Pod Identity over IPv6.
            let metadata = [0x254, 0x23].map(|last| Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, last)).contains(&v6);
            !(v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast() || metadata)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_asked_for_by_its_absolute_name() {
        let pod = "search operators.svc.example.org svc.example.org example.org eu-west-1.compute.internal\nnameserver 10.96.0.10\noptions ndots:5\n";
        for (address, resolver, expected) in [
            ("db.shop.svc", pod, "db.shop.svc.example.org."),
            ("db.shop.svc", "nameserver 10.0.0.2\n", "db.shop.svc"),
            ("db.shop.svc", "search example.org\n", "db.shop.svc"),
            ("db.example.com", pod, "db.example.com"),
            ("10.0.0.7", pod, "10.0.0.7"),
        ] {
            assert_eq!(absolute(address, resolver), expected);
        }
    }

    #[test]
    fn addresses_of_this_machine_and_its_neighbourhood_are_refused_in_every_notation() {
        let local = ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"];
        let refused = [
            "0.0.0.0",
            "169.254.169.254",
            "169.254.170.23",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "::ffff:169.254.169.254",
            "ff02::1",
        ];
        for address in refused.into_iter().chain(local) {
            assert!(!is_allowed(address.parse().unwrap(), Addresses::Remote), "{address}");
        }
        for address in refused {
            assert!(!is_allowed(address.parse().unwrap(), Addresses::Local), "{address}");
        }
        for address in local {
            assert!(is_allowed(address.parse().unwrap(), Addresses::Local), "{address}");
        }
        for address in ["10.0.0.7", "192.168.1.1", "172.16.0.1", "203.0.113.9", "fd12::1", "2001:db8::1", "100.64.0.1"] {
            assert!(is_allowed(address.parse().unwrap(), Addresses::Remote), "{address}");
        }
    }
}
